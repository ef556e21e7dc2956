"""Analyzers of somebody else's, taken by their dotted module names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch import analyzers
from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import MissingExtraError, SettingsError, WeightsError
from tests import corpus, killer

if TYPE_CHECKING:
    from pathlib import Path


def test_a_module_of_ones_own_fills_a_table_of_its_dotted_name(tmp_path: Path) -> None:
    folder = corpus.many(tmp_path / "in", 3)
    corpus.run_inline(folder, tmp_path / "d", recipe='[analyzers."tests.killer"]\n')
    dataset = Dataset.open(str(tmp_path / "d"))
    assert dataset.read("tests.killer")["width"].to_pylist() == [96, 96, 96]
    assert verify(dataset).problems == []


@pytest.mark.parametrize("step", ["prepare", "infer"])
def test_what_is_no_fault_of_a_picture_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def broken(*_: object) -> None:
        raise WeightsError("they are of another network")

    folder = corpus.many(tmp_path / "in", 3)
    monkeypatch.setattr(killer.Analyzer, step, broken)
    with pytest.raises(WeightsError, match="another network"):
        corpus.run_inline(folder, tmp_path / "d", recipe='[analyzers."tests.killer"]\n')
    monkeypatch.undo()
    corpus.run_inline(folder, tmp_path / "d", recipe='[analyzers."tests.killer"]\n')
    assert verify(Dataset.open(str(tmp_path / "d"))).problems == []


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("tests.nowhere", SettingsError, "Python finds no module tests.nowhere"),
        ("nowhere.at.all", SettingsError, "Python finds no module nowhere"),
        ("json.decoder", SettingsError, "it has no GRAIN, VERSION, TOLERANCE"),
        ("foreign.needy", MissingExtraError, "needs the package nobodyhasthis"),
    ],
)
def test_what_is_no_analyzer_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: type[Exception],
    said: str,
) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "needy.py").write_text("import nobodyhasthis\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(error, match=said):
        analyzers.load(name)
