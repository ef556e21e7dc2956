"""The job that does failed sources again, on a real Ray and from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import ClusterError
from tests.corpus import many, run_inline
from tests.equal import assert_equal

if TYPE_CHECKING:
    from pathlib import Path


# Whoever needs Ray has to go where nobody is.
NO_RAY = {"RAY_ADDRESS": "127.0.0.1:1"}


def imgbatch(
    *words: str | Path, variables: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imgbatch", *map(str, words)],
        env={**os.environ, "IMGBATCH_SHARD_SOURCES": "20", **(variables or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_sources_that_went_away_while_they_were_read_are_done_again_on_ray(tmp_path: Path) -> None:
    corpus, own = many(tmp_path / "in", 60), tmp_path / "own"
    away = corpus / "00007.jpg", tmp_path / "away.jpg"
    run_inline(corpus, own, before_work=lambda: away[0].rename(away[1]))
    away[1].rename(away[0])
    done = imgbatch("retry", own, "--class", "fetch.*", "--workers", "2", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["event"], said["changed"], said["outcomes"]) == ("retried", 1, {"ok": 1})
    assert verify(Dataset.open(str(own))).problems == []
    run_inline(corpus, tmp_path / "fresh")
    assert_equal(own, tmp_path / "fresh")


def test_nothing_to_do_again_starts_no_ray_and_says_so(tmp_path: Path) -> None:
    run_inline(many(tmp_path / "in", 3), tmp_path / "own")
    done = imgbatch("retry", tmp_path / "own", "--class", "fetch.*", variables=NO_RAY)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("nothing to do again: no source of file:")
    typo = imgbatch("retry", tmp_path / "own", "--class", "fetsch.*", "--engine", "inline")
    assert (typo.returncode, typo.stdout) == (10, "")
    assert "did you mean 'fetch'?" in typo.stderr


@pytest.mark.slow
def test_something_to_do_again_is_where_the_same_variable_leads_to_nothing(tmp_path: Path) -> None:
    cut = many(tmp_path / "in", 3) / "00001.jpg"
    cut.write_bytes(cut.read_bytes()[:-100])
    run_inline(tmp_path / "in", tmp_path / "own")
    done = imgbatch("retry", tmp_path / "own", "--class", "decode.*", variables=NO_RAY)
    assert done.returncode == ClusterError.exit_code
    assert f"nothing answers at {NO_RAY['RAY_ADDRESS']}" in done.stderr
