"""The shared corpora as a user runs them: run, verify and report, each a command of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset
from tests.report.conftest import Page

if TYPE_CHECKING:
    from pathlib import Path

# All that `quick` measures of 70,000 pictures would take minutes.
DIGITS = "[analyzers.image]\n"


def imgbatch(*words: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "imgbatch", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words", "states", "formats"),
    [
        # On the engine that a user gets who names none.
        pytest.param(
            "photos", [], {"ok": 53, "sidecar": 1}, {"JPEG": 52, "WEBP": 1}, marks=pytest.mark.ray
        ),
        pytest.param(
            "videos", [], {"ok": 5, "sidecar": 1}, {"mov": 4, "GIF": 1}, marks=pytest.mark.ray
        ),
        # Besides: a licence, two tables of labels, and the archive itself.
        (
            "mnist-png.tar.gz",
            ["--engine", "inline", "--recipe", "{tmp}/digits.toml"],
            {"ok": 70_000, "sidecar": 3, "archive": 1},
            {"PNG": 70_000},
        ),
    ],
)
def test_a_shared_corpus_runs_verifies_and_reports(
    shared: Path,
    tmp_path: Path,
    name: str,
    words: list[str],
    states: dict[str, int],
    formats: dict[str, int],
) -> None:
    corpus = shared / "corpora" / name
    if not corpus.exists():
        pytest.skip(f"no {name} in the shared folder")
    (tmp_path / "digits.toml").write_text(DIGITS)
    imgbatch("run", corpus, tmp_path / "d", *(word.format(tmp=tmp_path) for word in words))
    (record,) = Dataset.open(str(tmp_path / "d")).runs()
    assert record["engine"] == ("inline" if "inline" in words else "ray")

    total, ok = sum(states.values()), states["ok"]
    verified = json.loads(imgbatch("verify", tmp_path / "d", "--json"))
    assert verified["problems"] == verified["notes"] == verified["orphans"] == []
    counted = {key: verified[key] for key in ("sources", "ok", "failed", "filtered")}
    assert counted == {"sources": total, "ok": ok, "failed": 0, "filtered": total - ok}
    sources = Dataset.open(str(tmp_path / "d")).read("sources")
    assert Counter(word or "ok" for word in sources["error_class"].to_pylist()) == states
    assert Counter(sources["format"].drop_null().to_pylist()) == formats

    written = imgbatch("report", tmp_path / "d").strip()
    assert written == (tmp_path / "d/report/index.html").as_uri()
    page = Page((tmp_path / "d/report/index.html").read_text("utf-8"))
    equation = f"{total:,} sources = {ok:,} ok + 0 failed + {total - ok:,} filtered it adds up"
    assert equation in page.text
