"""How long a run waits for us, and for no cloud: with machines that are up at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobs.lead import AGAIN_SECONDS
from jobs.node import WAIT_SECONDS
from tests.cloud import night as nights
from tests.cloud.night import LIST_SECONDS, Night

if TYPE_CHECKING:
    from pathlib import Path

BAR = 30.0


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Night:
    # Finer than other nights: each wait counts.
    monkeypatch.setattr(nights, "STEP_SECONDS", 0.5)
    return Night(tmp_path, boot=lambda _: 0.0)


def test_all_waits_that_are_ours_are_below_half_a_minute_in_sum(night: Night) -> None:
    """From the order to the first shard, by the head's own steps.

    What Ray and the listing of INPUT take here is the stand-in's (`LIST_SECONDS`, Ray's start among
    them), and is no wait. A worker looks for the head's address each `WAIT_SECONDS`, which no
    simulation does; and one call that fails for once has the head come again after
    `AGAIN_SECONDS`.
    """
    order = night.order()
    night.run(2 * LIST_SECONDS + BAR)
    steps = night.state(order).steps
    assert "first-shard-begun" in steps, steps
    waits = {
        "the head is up": steps["head"],
        "it takes the order": steps["taken"] - steps["head"],
        "machines are asked for": steps["first-shard-begun"] - steps["taken"] - LIST_SECONDS,
        "a worker looks": WAIT_SECONDS,
        "a call failed once": AGAIN_SECONDS,
    }
    assert min(waits.values()) >= 0, waits
    assert sum(waits.values()) < BAR, waits
