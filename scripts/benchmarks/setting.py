"""What a bench run is asked for, and where its files lie."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


CORPUS_VERSION = 1  # grows when the corpora would come out otherwise than those that are cached


@dataclass(frozen=True, slots=True)
class Setting:
    """What every section is told.

    Attributes:
        out: caches corpora and the peers' environment; gets logs, datasets and the JSON file.
        images: how many JPEGs a corpus has.
        repeats: rounds; in each, everything that is compared runs once, in turn.
        threads: threads of the bare loops; imgbatch and the peers take as many cores.
        named: the sections that were asked for by name; none where all are measured.
        sources: how many sources the planned manifest has.
        shards: how many empty shards are scheduled.
        objects: how many objects of a bucket are listed.
        posts: how many posts a dump holds.
    """

    out: Path
    images: int
    repeats: int
    threads: int
    named: frozenset[str]
    sources: int
    shards: int = 20_000
    objects: int = 200_000
    posts: int = 1_000_000

    @property
    def corpora(self) -> Path:
        """Where corpora are cached."""
        return self.out / f"corpora-{CORPUS_VERSION}"

    def log(self, name: str) -> Path:
        """Return where a child's log goes."""
        return self.out / "logs" / f"{name}.log"

    def fresh(self, name: str) -> Path:
        """Return a folder for a result, with nothing there from an earlier round."""
        folder = self.out / "results" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        return folder
