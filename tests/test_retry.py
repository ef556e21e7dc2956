"""Failed sources are done again, and nothing else is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pytest

import imgbatch
from imgbatch import crew
from imgbatch.dataset import SOURCES, Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import (
    AnalyzeError,
    ArchiveError,
    DatasetError,
    DecodeError,
    FetchError,
    PoisonError,
    SettingsError,
)
from imgbatch.retry import CLASSES, KNOWN, Again, retry
from imgbatch.settings import Limits
from tests.corpus import PHOTOS, Silent, many, run_inline
from tests.equal import assert_equal

if TYPE_CHECKING:
    from imgbatch.summary import Summary

RECIPE = "[analyzers.image]\n[analyzers.quality]\n"
LIMITS = Limits(shard_sources=10, commit_seconds=0.001)


def again(dataset: Path, *classes: str) -> Summary:
    return retry(Again(str(dataset), classes, "inline"), LIMITS, crew.inline, Silent())


def classes(dataset: Path) -> list[str]:
    rows = Dataset.open(str(dataset)).read(SOURCES, where=pc.field("status") == "failed")
    return sorted(rows["error_class"].to_pylist())


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Forty pictures, of which two went away while they were read and one is broken."""
    corpus = many(tmp_path / "in", 40)
    (corpus / "00005.jpg").write_bytes(PHOTOS["china.jpg"].read_bytes()[:20_000])
    away = [corpus / "00003.jpg", corpus / "00033.jpg"]

    def take_away() -> None:
        for file in away:
            file.rename(file.with_suffix(".away"))

    run_inline(corpus, tmp_path / "own", recipe=RECIPE, limits=LIMITS, before_work=take_away)
    for file in away:
        file.with_suffix(".away").rename(file)
    return corpus


def test_the_sources_of_a_class_are_read_again_and_no_others(corpus: Path) -> None:
    own = corpus.parent / "own"
    assert classes(own) == ["decode.truncated", "fetch.missing", "fetch.missing"]
    table = Dataset.open(str(own)).table("tables/quality")
    former = {part.shard: part.path for part in table.parts().values()}
    summary = again(own, "fetch.*")
    assert (summary.changed, summary.sources, dict(summary.outcomes)) == (2, 2, {"ok": 2})
    assert classes(own) == ["decode.truncated"]
    assert verify(Dataset.open(str(own))).problems == []
    table.refresh()
    assert sum(former[p.shard] == p.path for p in table.parts().values()) == 2
    run_inline(corpus, corpus.parent / "fresh", recipe=RECIPE, limits=LIMITS)
    assert_equal(own, corpus.parent / "fresh")
    assert run_inline(corpus, own, recipe=RECIPE, limits=LIMITS).sources == 0


def test_several_classes_and_what_fails_again(corpus: Path) -> None:
    own = corpus.parent / "own"
    summary = again(own, "fetch.missing", "decode.t*")
    assert dict(summary.outcomes) == {"ok": 2, "decode.truncated": 1}
    assert again(own, "fetch.missing").changed == 0


def test_rows_that_failed_in_an_analyzers_table_are_done_again_too(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imgbatch.analyzers import quality

    own = corpus.parent / "other"
    with monkeypatch.context() as patched:
        patched.setattr(quality, "sharpness", lambda luma: 1 / (luma.shape[0] % 7))
        run_inline(corpus, own, recipe=RECIPE, limits=LIMITS)
    rows = Dataset.open(str(own)).read("quality", where=pc.field("status") == "failed")
    assert set(rows["error_class"].to_pylist()) == {"analyze.failed"}
    assert again(own, "analyze.*").changed == rows.num_rows > 0
    rows = Dataset.open(str(own)).read("quality", where=pc.field("status") == "failed")
    assert rows.num_rows == 0


def test_nothing_that_failed_so_is_nothing_to_do(corpus: Path) -> None:
    own = corpus.parent / "own"
    before = len(Dataset.open(str(own)).runs())
    assert again(own, "archive.*").changed == 0
    assert len(Dataset.open(str(own)).runs()) == before


def test_a_class_that_can_not_be_names_the_stages(corpus: Path) -> None:
    with pytest.raises(SettingsError, match="'decod'; did you mean 'decode'"):
        again(corpus.parent / "own", "decod.*")


@pytest.mark.parametrize("wrong", ["decode.trunkated", "decode.trunk*"])
def test_a_class_that_there_is_not_names_those_near_it_and_those_that_are_there(
    corpus: Path, wrong: str
) -> None:
    own = corpus.parent / "own"
    before = sorted(own.rglob("*"))
    with pytest.raises(SettingsError, match=r"did you mean 'decode\.truncated'") as refused:
        again(own, "fetch.*", wrong)
    assert refused.value.remedy == (
        "Sources of this dataset failed with: decode.truncated, fetch.missing."
    )
    assert sorted(own.rglob("*")) == before


def test_a_class_that_only_the_dataset_knows_can_be_asked_for(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As another version of imgbatch may have written it.
    monkeypatch.setattr("imgbatch.retry.KNOWN", ["decode.empty"])
    with pytest.raises(SettingsError, match=r"'decode\.trunk'; did you mean 'decode\.truncated'"):
        again(corpus.parent / "own", "decode.trunk")
    assert again(corpus.parent / "own", "decode.truncated").changed == 1


def test_the_classes_that_can_be_asked_for_are_those_of_the_tree() -> None:
    kinds = [FetchError, ArchiveError, DecodeError, AnalyzeError, PoisonError]
    told = [re.findall(r"\b[a-z]+\.[a-z-]+\b", kind.__doc__ or "") for kind in kinds]
    assert sorted(KNOWN) == sorted({code for codes in told for code in codes})


def test_no_module_gives_an_outcome_of_a_class_that_cannot_be_asked_for() -> None:
    stages = "|".join(CLASSES)
    # A word in quotes, alone; notes of a success and lines of the log are no classes.
    code = re.compile(rf'"((?:{stages})\.[a-z-]+)"')
    others = {"decode.tail", "decode.damaged", "decode.hole", "decode.extraneous", "fetch.retried"}
    folder = Path(imgbatch.__file__).parent
    said = {found for path in folder.rglob("*.py") for found in code.findall(path.read_text())}
    assert said
    assert said - others <= set(KNOWN)


def test_a_dataset_without_a_run(tmp_path: Path) -> None:
    Dataset.create(str(tmp_path / "empty"))
    with pytest.raises(DatasetError, match="has no run"):
        again(tmp_path / "empty", "fetch.*")
