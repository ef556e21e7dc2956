"""Nights in a cloud that fails: heads, workers and the cloud's own answers, in simulated time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cloud.night import Night

if TYPE_CHECKING:
    from pathlib import Path


def test_a_quiet_night_does_all_and_ends_all(tmp_path: Path) -> None:
    night = Night(tmp_path)
    order = night.order()
    night.until_quiet()
    night.check()
    state = night.state(order)
    assert (state.phase, state.code) == ("done", 0)
    assert night.datasets["data"].whole
    assert night.control.orders() == []
    assert night.control.lease() is None
