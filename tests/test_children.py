"""Programs of ours that we start: files of the folder that a user is in never stand for ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch.cli.run import job
from imgbatch.errors import ImgbatchError
from imgbatch.models.export import Order, _in_child

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be in a folder that has modules by names of ours and of Python's."""
    for name in ("imgbatch/models/export", "jobs/retry"):
        file = tmp_path / f"{name}.py"
        file.parent.mkdir(parents=True)
        file.write_text("print('planted')\n")
        (tmp_path / name).parent.joinpath("__init__.py").touch()
    (tmp_path / "imgbatch/__init__.py").touch()
    (tmp_path / "queue.py").write_text("raise SystemExit(77)\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("planted")
def test_a_job_is_ours(capfd: pytest.CaptureFixture[str]) -> None:
    code = job("retry", "--help")
    said = capfd.readouterr().out
    assert (code, "planted" in said, "--class" in said) == (0, False, True)


@pytest.mark.usefixtures("planted")
def test_the_exporter_of_networks_is_ours(tmp_path: Path) -> None:
    order = Order("nobody", "knows", str(tmp_path / "weights"), {}, str(tmp_path / "out"), 1)
    with pytest.raises(ImgbatchError) as told:
        _in_child(order)
    assert "planted" not in str(told.value)
    assert "exit code 77" not in str(told.value)
