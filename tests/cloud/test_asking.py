"""What costs or ends something is asked about at a terminal, and refused where there is none."""

from __future__ import annotations

import os
import pty
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import typer

from imgbatch.cli.cloud.at_work import refuse
from imgbatch.cli.cloud.given import agree
from imgbatch.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LAB: Any = SimpleNamespace(name="lab")


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Somebody at a terminal who types a line."""
    master, slave = pty.openpty()
    with os.fdopen(slave) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)

        def typed(line: str) -> None:
            os.write(master, f"{line}\n".encode())

        yield typed
    os.close(master)


def test_only_a_yes_goes_on(
    types: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    for line in ("n", ""):
        types(line)
        with pytest.raises(typer.Exit):
            agree("Make it?", yes=False)
        assert "Make it? [y/N]" in (said := capsys.readouterr().err)
        assert "nothing was done" in said
    types("y")
    agree("Make it?", yes=False)


def test_down_asks_before_it_ends_a_run_and_takes_no_yes_for_it_that_came_before(
    types: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    types("n")
    with pytest.raises(typer.Exit):
        refuse(LAB, ["r1", "r2"], yes=False)
    assert "This ends r1, r2" in capsys.readouterr().err
    types("y")
    refuse(LAB, ["r1"], yes=False)
    with pytest.raises(DeploymentError, match="r1") as refused:
        refuse(LAB, ["r1"], yes=True)
    assert "--force" in refused.value.remedy
