"""A small corpus of photographs and a video, and its table `classic`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from imgbatch.dataset import Dataset
from tests import corpus
from tests.media.clips import Encoding, clip

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = "[media]\n[media.video]\nsample = 'every_n'\nevery_n = 5\n[analyzers.classic]\n"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `in` (the corpus, a plain grey picture and a clip) and `d`, its dataset."""
    folder = tmp_path_factory.mktemp("search")
    source = corpus.make(folder / "in")
    Image.new("RGB", (64, 64), (128, 128, 128)).save(source / "plain.png")
    (source / "clip.mp4").write_bytes(clip(Encoding("mp4", "libx264")))
    corpus.run_inline(source, folder / "d", recipe=RECIPE)
    return folder


@pytest.fixture
def dataset(made: Path) -> Dataset:
    """That dataset."""
    return Dataset.open(str(made / "d"))
