"""A corpus with a dataset beside it, and what `plan` says of a run over it, for several tests."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from imgbatch import planned
from imgbatch.dataset import Dataset
from imgbatch.settings import Limits
from imgbatch.summary import Request
from tests.corpus import PHOTOS, Silent, many, run_inline

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.planned import Plan

RECIPE = "[analyzers.image]\n[analyzers.quality]\n"
OTHER = "[analyzers.image]\n[analyzers.quality]\nblank_levels = 9.0\n"
MORE = RECIPE + "[analyzers.motion]\n"
EXACT = "[media]\nexact = true\n" + RECIPE
LIMITS = Limits(shard_sources=5, commit_seconds=0.001)
KILLED = """
import os, signal, sys
from pathlib import Path
from imgbatch.dataset.commit import Committer
from imgbatch.settings import Limits
from tests.corpus import run_inline
calls = 0
kept = Committer.flush
def flush(self):
    global calls
    calls += any(self._waiting.values())
    if calls > 1:
        os.kill(os.getpid(), signal.SIGKILL)
    kept(self)
Committer.flush = flush
limits = Limits(shard_sources=5, commit_seconds=0.001)
run_inline(Path(sys.argv[1]), Path(sys.argv[2]), recipe=sys.argv[3], limits=limits)
"""


class Place:
    """A corpus of twelve pictures, and a dataset beside it."""

    def __init__(self, folder: Path) -> None:
        self.corpus = many(folder / "in", 12)
        (self.corpus / "00011.jpg").write_bytes(b"no picture")
        self.own = folder / "own"

    def change(self, name: str) -> None:
        (self.corpus / name).write_bytes(PHOTOS["flower.jpg"].read_bytes())

    def run(self, recipe: str = RECIPE) -> None:
        run_inline(self.corpus, self.own, recipe=recipe, limits=LIMITS)

    def killed(self, recipe: str = RECIPE) -> None:
        """Run in a process that is killed at its second commit of parts."""
        words = [str(self.corpus), str(self.own), recipe]
        done = subprocess.run([sys.executable, "-c", KILLED, *words], check=False, timeout=60)
        assert done.returncode == -signal.SIGKILL

    def undo(self, *, delete: bool) -> None:
        """Take the parts of one shard of five out of every snapshot, as if never committed."""
        own = Dataset.open(str(self.own))
        shard = min(p.shard for p in own.table("tables/sources").parts().values() if p.rows == 5)
        for name in own.tables():
            table = own.table(f"tables/{name}")
            lost = [part for part in table.parts().values() if part.shard == shard]
            table.commit([], lost, fence=table.fence, run="x")
            for part in lost if delete else []:
                own.store.delete(f"{part.table}/{part.path}")


def everywhere(counts: dict[str, int]) -> dict[str, dict[str, int]]:
    return dict.fromkeys(("sources", "image", "quality"), counts)


def plan(place: Place, recipe: str, **only: float) -> Plan:
    request = Request(str(place.corpus), str(place.own), recipe, "inline", **only)  # type: ignore[arg-type] # a limit is an int
    return planned.plan(request, LIMITS, Silent())
