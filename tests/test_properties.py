"""Whatever happens to an input and a recipe, a dataset ends as a fresh run on the same would."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from imgbatch import crew
from imgbatch.dataset import Dataset
from imgbatch.dataset.forget import forget
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.given import given as source_of
from imgbatch.dataset.given import look_up
from imgbatch.dataset.verify import verify
from imgbatch.errors import JobError
from imgbatch.messages import Finished
from imgbatch.retry import Again, retry
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.summary import Request
from tests.corpus import PHOTOS, Silent, many, run_inline
from tests.equal import assert_equal

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from imgbatch.messages import Job, Task, Tick

pytestmark = pytest.mark.slow

LIMITS = Limits(shard_sources=3, commit_seconds=0.001, threads=2)
RECIPES = (
    "[analyzers.image]\n",
    "[analyzers.image]\n[analyzers.quality]\n",
    "[analyzers.image]\n[analyzers.quality]\nblank_levels = 40.0\n",
    "[media]\nmin_side = 64\n[analyzers.image]\n[analyzers.motion]\n",
)
NAMES = [f"{number}.jpg" for number in range(9)]
CONTENTS = ("picture 0", "picture 1", "picture 2", "broken", "empty")

steps = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(NAMES), st.sampled_from(CONTENTS)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES)),
    st.tuples(st.just("recipe"), st.sampled_from(RECIPES)),
    st.tuples(st.just("away while it is read"), st.sampled_from(NAMES)),
    st.tuples(st.just("interrupt"), st.integers(0, 2)),
    st.tuples(st.just("part lost"), st.integers(0, 20)),
    st.tuples(st.just("forget"), st.sampled_from(NAMES)),
    st.tuples(st.just("broken and retried"), st.sampled_from(NAMES)),
)
# They leave a dataset that is up to date: it is compared as they leave it, without a run after.
ENOUGH = ("away while it is read", "part lost", "forget", "broken and retried")


class World:
    """An input, a recipe, and the dataset that is kept up to date with them."""

    def __init__(self, folder: Path, pictures: Path) -> None:
        self.input, self.own, self.fresh = folder / "in", folder / "own", folder / "fresh"
        self.pictures = pictures
        self.recipe = RECIPES[0]
        self.forgotten: set[str] = set()
        self.input.mkdir()
        for name in NAMES[:5]:
            self.write(name, "picture 0")

    def write(self, name: str, content: str) -> None:
        given = {"broken": b"no picture", "empty": b""}
        kind, _, number = content.partition(" ")
        file = self.pictures / f"{int(number or 0) * 9 + int(name[0]):05}.jpg"
        data = given.get(kind) if kind in given else file.read_bytes()
        assert data is not None
        (self.input / name).write_bytes(data)

    def run(self) -> None:
        run_inline(self.input, self.own, recipe=self.recipe, limits=LIMITS)

    def do(self, step: tuple[str, str | int, str] | tuple[str, str | int]) -> None:
        what, which, *rest = step
        if what == "write":
            self.write(str(which), rest[0])
        elif what == "remove":
            (self.input / str(which)).unlink(missing_ok=True)
        elif what == "recipe":
            self.recipe = str(which)
        elif what == "away while it is read":
            self.away_while_read(str(which))
        elif what == "interrupt":
            self.interrupt(int(which))
        elif what == "forget":
            self.forget(str(which))
        elif what == "broken and retried":
            self.retry_broken(str(which))
        else:
            self.lose_part(int(which))
        if what not in ENOUGH:
            self.run()

    def away_while_read(self, name: str) -> None:
        """The file is new, goes away before it is read, comes back, and the failure is retried."""
        file, away = self.input / name, self.input.parent / "away"
        file.write_bytes(PHOTOS["flower.jpg"].read_bytes())

        def take_away() -> None:
            if file.exists():
                file.rename(away)

        run_inline(self.input, self.own, recipe=self.recipe, limits=LIMITS, before_work=take_away)
        if away.exists():
            away.rename(file)
        self.retry("fetch.*")

    def retry_broken(self, name: str) -> None:
        """The file is no picture, and is none when the failure is retried."""
        self.write(name, "broken")
        self.run()
        self.retry("decode.*")

    def retry(self, classes: str) -> None:
        retry(Again(str(self.own), (classes,), "inline"), LIMITS, crew.inline, Silent())

    def interrupt(self, after: int) -> None:
        """A run is lost after so many shards; new work for it comes first."""
        self.write(NAMES[after], "picture 2")
        self.write(NAMES[after + 4], "picture 1")

        def engine(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
            left = after
            for event in crew.inline(job, tasks):
                if isinstance(event, Finished):
                    left -= 1
                    if left < 0:
                        raise JobError("all workers were lost")
                yield event

        request = Request(str(self.input), str(self.own), self.recipe, "inline")
        try:
            run(request, LIMITS, engine, Silent())
        except JobError:
            return

    def lose_part(self, which: int) -> None:
        """A part vanishes from the disk, and the run is asked to repair."""
        if not self.own.exists():
            return
        parts = sorted(self.own.glob("tables/*/*.parquet"))
        parts[which % len(parts)].unlink()
        run_inline(self.input, self.own, recipe=self.recipe, limits=LIMITS, repair=True)

    def forget(self, name: str) -> None:
        """A takedown; the file itself stays in the input."""
        self.forgotten.add(name)
        dataset = Dataset.open(str(self.own))
        named = [source_of(str(self.input / name))]
        forget(dataset, look_up(dataset, named))
        assert verify_forgotten(dataset, named).problems == []

    def check(self) -> None:
        """Compare with a fresh run over an input that never had the forgotten files."""
        away = self.input.parent / "forgotten"
        away.mkdir(exist_ok=True)
        held = [name for name in self.forgotten if (self.input / name).exists()]
        for name in held:
            (self.input / name).rename(away / name)
        shutil.rmtree(self.fresh, ignore_errors=True)
        run_inline(self.input, self.fresh, recipe=self.recipe, limits=LIMITS)
        for name in held:
            (away / name).rename(self.input / name)
        assert verify(Dataset.open(str(self.own))).problems == []
        assert_equal(self.own, self.fresh)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return many(tmp_path_factory.mktemp("properties") / "pictures", 27)


@given(st.lists(steps, min_size=1, max_size=6))
@example([(what, 3 if what == "part lost" else "2.jpg") for what in ENOUGH])
@example([(what, 3 if what == "part lost" else "7.jpg") for what in reversed(ENOUGH)])
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_after_each_step_the_dataset_equals_a_fresh_one(
    pictures: Path, happened: list[tuple[str, str | int, str] | tuple[str, str | int]]
) -> None:
    with TemporaryDirectory() as folder:
        world = World(Path(folder), pictures)
        world.run()
        for step in happened:
            world.do(step)
            world.check()
