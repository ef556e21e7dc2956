"""Shared by the tests of posts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from imgbatch.__main__ import main
from tests.posts.made import Done

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def imgbatch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """The command line in this process: starting Python costs more than what is tested."""

    def call(*words: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["imgbatch", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return call
