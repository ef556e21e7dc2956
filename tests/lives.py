"""Runs that are killed at one store call of theirs, each in a process of its own.

`python -m tests.lives FOLDER SCENE STEP` has everything imported and never runs anything itself:
each run, killed or not, is forked from it, which takes no time. It prints one JSON object: how many
store calls the undisturbed run makes, how many kills hit, and what went wrong after which.
`python -m tests.lives FOLDER SCENE COUNT races` starts two runs at once instead, so many times.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import shutil
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgbatch import analyzers, crew, pipeline, run
from imgbatch.__main__ import main as imgbatch
from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import DamageError, DatasetError
from imgbatch.observe import logs, progress
from tests import corpus, squares
from tests.calls import Calls
from tests.equal import assert_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIDE_BY_SIDE = 4
# What verify may say of what a killed run left: all is well, no dataset yet, or unfinished shards.
LOOKED = (0, DatasetError.exit_code, DamageError.exit_code)
RECIPES = {
    "A": "[analyzers.quality]\n",
    "B": "[analyzers.quality]\nblank_levels = 9.0\n",
    "R": '[analyzers."tests.squares"]\n',
    "S": '[analyzers."tests.squares"]\nwith_area = true\n',
}
# What is written now and then, and not by what a run does, would be another number of calls.
logs.FLUSH_SECONDS = 600.0
# Loaded before any fork.
IMPORTED = (crew, pipeline, run, progress, analyzers.load("quality"), squares)


def forked(work: Callable[[], None], out: Path) -> int:
    """Start a process that does something and says what it has to say into a file."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        with out.open("a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            try:
                work()
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
            except BaseException:  # noqa: BLE001 - told to who waits
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for a process; its exit code, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def command(life: str, dataset: Path) -> list[str]:
    """Return what is typed for a life: a run is called by its recipe, a retry by its class."""
    what, *rest = life.split()
    if what == "retry":
        return ["retry", str(dataset), "--class", *rest]
    return ["run", "in", str(dataset), "--recipe", f"{what}.toml", *rest]


@dataclass(frozen=True)
class Scene:
    """What is there when a life is cut short, and what must be there after which others.

    A life is the name of the recipe of a run, with more words if it has some, or a retry.

    Attributes:
        base: the dataset before; None: none.
        killed: the life that is killed.
        then: the lives after, each with the dataset that must have come of it.
    """

    folder: Path
    base: Path | None
    killed: str
    then: tuple[tuple[str, Path], ...]

    def life(self, dataset: Path, life: str, expected: Path | None = None) -> int:
        """Run to the end; the dataset must then be whole, and equal the expected one."""
        return ended(forked(lambda: self.live(dataset, life, expected), said(dataset)))

    def life_of(self, dataset: Path, calls: Calls) -> int:
        """Run under watch."""

        def live() -> None:
            calls.watch()
            try:
                self.live(dataset, self.killed)
            finally:
                dataset.with_suffix(".calls").write_text(str(calls.count))

        return ended(forked(live, said(dataset)))

    def live(self, dataset: Path, life: str, expected: Path | None = None) -> None:
        """Run in this process; the dataset must then equal the expected one."""
        sys.argv = ["imgbatch", *command(life, dataset), "--engine", "inline", "--json"]
        os.chdir(self.folder)
        try:
            imgbatch()
        except SystemExit as end:
            if end.code:
                raise
        if expected:
            assert verify(Dataset.open(str(dataset))).problems == []
            assert_equal(expected, dataset)

    def begin(self, name: str) -> Path:
        dataset = self.folder / name
        if self.base:
            shutil.copytree(self.base, dataset)
        return dataset

    def count(self) -> int:
        dataset = self.begin("counted")
        assert self.life_of(dataset, Calls(0, "")) == 0, said(dataset).read_text()
        return int(dataset.with_suffix(".calls").read_text())

    def trial(self, at: int, when: str) -> None:
        dataset = self.begin(f"{when}-{at}")
        code = self.life_of(dataset, Calls(at, when))
        assert code == -signal.SIGKILL, f"not killed: {code}"
        code = ended(forked(lambda: look(dataset), said(dataset)))
        assert code in LOOKED, (
            f"verify after it was killed {when} call {at}: {said(dataset).read_text()}"
        )
        for life, expected in self.then:
            code = self.life(dataset, life, expected)
            assert code == 0, (
                f"killed {when} call {at}, then {life}: {code}: {said(dataset).read_text()}"
            )
        shutil.rmtree(dataset)


def look(dataset: Path) -> None:
    """Verify what a killed run left."""
    sys.argv = ["imgbatch", "verify", str(dataset)]
    imgbatch()


def said(dataset: Path) -> Path:
    """Return the file that takes what the runs over a dataset say."""
    return dataset.with_suffix(".said")


def first(folder: Path) -> Scene:
    """Return the scene of a first run."""
    scene = Scene(folder, None, "A", (("A", folder / "whole"),))
    assert scene.life(folder / "whole", "A") == 0
    return scene


def change(folder: Path, recipe: str = "A") -> Scene:
    """Return the scene of a run after sources changed, left and came; one shard lost all of its."""
    scene = Scene(folder, folder / "base", recipe, ((recipe, folder / "whole"),))
    assert scene.life(folder / "base", recipe) == 0
    files = sorted((folder / "in").glob("0*.jpg"))
    files[0].write_bytes(corpus.PHOTOS["flower.jpg"].read_bytes())
    for gone in files[2:]:
        gone.unlink()
    (folder / "in" / "new.jpg").write_bytes(files[1].read_bytes())
    assert scene.life(folder / "whole", recipe) == 0
    return scene


def regions(folder: Path) -> Scene:
    """Return the scene of `change`, with an analyzer that has two tables."""
    return change(folder, "R")


def recipes(folder: Path, former: str = "A", other: str = "B") -> Scene:
    """Return the scene of a run with another recipe, that is given up for the former one."""
    then = ((former, folder / "whole"), (other, folder / "other"))
    scene = Scene(folder, folder / "whole", other, then)
    assert scene.life(folder / "whole", former) == 0
    assert scene.life(folder / "other", other) == 0
    return scene


def columns(folder: Path) -> Scene:
    """Return the scene of `recipes`, where a table gets a column with the other one."""
    return recipes(folder, "R", "S")


def retry(folder: Path) -> Scene:
    """Return the scene of a retry of two files that were away while they were to be read."""
    again = "retry fetch.*"
    scene = Scene(folder, folder / "base", again, ((again, folder / "whole"),))
    assert scene.life(folder / "whole", "A") == 0
    files = sorted((folder / "in").glob("*.jpg"))[1:3]

    def away() -> None:
        for file in files:
            file.rename(folder / file.name)

    def live() -> None:
        recipe = RECIPES["A"]
        corpus.run_inline(folder / "in", folder / "base", recipe=recipe, before_work=away)

    assert ended(forked(live, said(folder / "base"))) == 0, said(folder / "base").read_text()
    for file in files:
        (folder / file.name).rename(file)
    return scene


def repair(folder: Path) -> Scene:
    """Return the scene of a repair of parts that are missing or cut short, of each table."""
    scene = Scene(folder, folder / "base", "A --repair", (("A --repair", folder / "whole"),))
    assert scene.life(folder / "whole", "A") == 0
    shutil.copytree(folder / "whole", folder / "base")
    quality, sources = (
        sorted((folder / "base" / "tables" / name).glob("*.parquet"))
        for name in ("quality", "sources")
    )
    quality[0].unlink()
    manifest = sorted((folder / "base" / "manifest").glob("*.parquet"))
    for part in (quality[1], sources[-1], manifest[1]):
        part.write_bytes(part.read_bytes()[:-9])
    return scene


def trials(scene: Scene, step: int) -> dict[str, Any]:
    """Kill before and after each call, or each so many; a few side by side."""
    calls = scene.count()
    points = list(itertools.product(range(1, calls + 1, step), ("before", "after")))
    failures: list[str] = []
    under_way: dict[int, tuple[int, str]] = {}
    hit = 0
    for point in [*points, *[None] * SIDE_BY_SIDE]:
        if point:
            out = scene.folder / f"trial-{point[1]}-{point[0]}.txt"
            under_way[forked(functools.partial(scene.trial, *point), out)] = point
        if under_way and (point is None or len(under_way) == SIDE_BY_SIDE):
            pid, status = os.wait()
            at, when = under_way.pop(pid)
            if status:
                failures.append((scene.folder / f"trial-{when}-{at}.txt").read_text())
            else:
                hit += 1
    return {"calls": calls, "hit": hit, "failures": failures}


def races(scene: Scene, count: int) -> dict[str, Any]:
    """Start two runs at the same moment, so many times; then a third one sees that all is well."""
    codes, failures = [], []
    for number in range(count):
        dataset = scene.begin(f"race-{number}")
        live = functools.partial(scene.live, dataset, scene.killed)
        pids = [forked(live, scene.folder / f"race-{number}.{n}.said") for n in range(2)]
        codes.append(sorted(ended(pid) for pid in pids))
        for life, expected in scene.then:
            if scene.life(dataset, life, expected):
                failures.append(said(dataset).read_text())
    return {"codes": codes, "failures": failures}


def main(words: Sequence[str]) -> None:
    folder, step = Path(words[0]), int(words[2])
    folder.mkdir(exist_ok=True)
    corpus.many(folder / "in", 5)
    (folder / "in" / "lies.jpg").write_text("no picture")
    for name, recipe in RECIPES.items():
        (folder / f"{name}.toml").write_text(recipe)
    scenes = (first, change, regions, recipes, columns, retry, repair)
    scene = next(each for each in scenes if each.__name__ == words[1])(folder)
    with contextlib.redirect_stdout(sys.stderr):
        found = races(scene, step) if words[3:] == ["races"] else trials(scene, step)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
