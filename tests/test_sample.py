"""The sample corpus of `scripts/quickstart`: made, run over and verified, without Ray."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.settings import recipe_text
from tests import corpus

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

# What is broken on purpose, as the script has it: --max-failed 8.
BROKEN = 8
OUTCOMES = {
    "ok": 78,
    "sidecar": 5,
    "archive": 2,
    "decode.truncated": 4,
    "decode.unrecognised": 2,
    "decode.empty": 1,
    "archive.truncated": 1,
}
# The same bytes under several names: as files, and as members of the zip and of the tar.
SAME = [
    {"photos/retina.jpg", "duplicates/retina-again.jpg"},
    {"photos/rocket.jpg", "duplicates/rocket-again.jpg", "duplicates/reposted/rocket.jpg"}
    | {"archives/album.zip!/album/rocket.jpg", "archives/dump.tar.gz!/album/rocket.jpg"},
    {"photos/cell.png", "archives/album.zip!/album/cell.png"}
    | {"archives/dump.tar.gz!/album/cell.png"},
    {"photos/caf\u00e9 cr\u00e8me.jpg", "archives/album.zip!/album/coffee.jpg"}
    | {"archives/dump.tar.gz!/album/coffee.jpg"},
    *(
        {f"archives/album.zip!/album/{name}", f"archives/dump.tar.gz!/album/{name}"}
        for name in ("2024/gravel.jpg", "2024/ihc.webp")
    ),
]
# Four seconds a shot, a key frame each second.
VIDEOS = {
    "videos/pan.mp4": ("mov", 4.0, 4),
    "videos/three-shots.mp4": ("mov", 12.0, 12),
    "videos/two-shots.mkv": ("matroska", 8.0, 8),
}


@pytest.fixture(scope="module")
def sample(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    make(root, folder)
    corpus.run_inline(
        folder / "corpus", folder / "dataset", recipe=recipe_text("quick"), max_failed=BROKEN
    )
    return folder


def make(root: Path, folder: Path) -> str:
    command = [sys.executable, root / "scripts/sample_corpus.py", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


def rows(sample: Path) -> dict[str, dict[str, object]]:
    found = Dataset.open(str(sample / "dataset")).read("sources").to_pylist()
    return {row["address"].partition("/corpus/")[2]: row for row in found}


def test_each_file_of_the_sample_comes_to_what_it_was_made_for(sample: Path) -> None:
    found = {name: row["error_class"] or row["status"] for name, row in rows(sample).items()}
    assert Counter(found.values()) == OUTCOMES
    failed = {name for name, row in rows(sample).items() if row["status"] == "failed"}
    assert len(failed) == BROKEN
    assert {name.partition("/")[0] for name in failed} == {"broken"}


def test_the_sample_verifies_with_the_counts_of_a_first_start(sample: Path) -> None:
    found = verify(Dataset.open(str(sample / "dataset")))
    assert found.problems == []
    assert (found.sources, found.ok, found.failed, found.filtered) == (93, 78, 8, 7)


def test_what_the_sample_holds_twice_has_one_digest_and_nothing_else_has(sample: Path) -> None:
    by_digest: dict[object, set[str]] = {}
    for name, row in rows(sample).items():
        if row["status"] == "ok":
            by_digest.setdefault(row["sha256"], set()).add(name)
    several = [names for names in by_digest.values() if len(names) > 1]
    assert sorted(map(sorted, several)) == sorted(map(sorted, SAME))


def test_the_videos_of_the_sample_give_a_picture_for_each_key_frame(sample: Path) -> None:
    found = {
        name: (row["format"], row["duration"], row["n_pictures"])
        for name, row in rows(sample).items()
        if name.startswith("videos/")
    }
    assert found == VIDEOS


def test_making_the_sample_again_makes_nothing_and_a_run_has_nothing_to_do(
    root: Path, sample: Path
) -> None:
    assert make(root, sample).strip().endswith(", 0 made now")
    recipe = recipe_text("quick")
    summary = corpus.run_inline(sample / "corpus", sample / "dataset", recipe=recipe)
    assert (summary.shards, summary.new, summary.changed) == (0, 0, 0)
