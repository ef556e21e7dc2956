"""`plan` tells what the next run does: the same counts, and nothing is written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from imgbatch import crew, planned
from imgbatch.cli.plan import plan as command
from imgbatch.dataset import Dataset
from imgbatch.dataset.causes import UNREADABLE, differences
from imgbatch.errors import DatasetError, SettingsError
from imgbatch.observe.compare import compare
from imgbatch.observe.explain import explain
from imgbatch.observe.history import history
from imgbatch.retry import Again, retry
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.storage import open_store
from imgbatch.summary import Request
from tests.corpus import PHOTOS, Silent, many, run_inline

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from imgbatch.messages import Finished, Job, Task, Tick
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
from imgbatch.errors import DatasetError, SettingsError
from imgbatch.observe.compare import compare
from imgbatch.observe.explain import explain
from imgbatch.observe.history import history
from imgbatch.retry import Again, retry
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.storage import open_store
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


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def fresh(place: Place) -> None:
    """Nothing is there yet."""


def up_to_date(place: Place) -> None:
    place.run()


def sources(place: Place) -> None:
    place.run()
    place.change("00002.jpg")
    place.change("00012.jpg")
    (place.corpus / "00003.jpg").unlink()
    (place.corpus / "00007.jpg").unlink()


def a_whole_shard_leaves(place: Place) -> None:
    place.run()
    for number in range(5):
        (place.corpus / f"{number:05}.jpg").unlink()


def changed_and_another_recipe(place: Place) -> None:
    place.run(OTHER)
    place.change("00002.jpg")


def back(place: Place) -> None:
    place.run()
    place.run(OTHER)
    place.change("00002.jpg")


def undone(place: Place) -> None:
    place.run()
    place.undo(delete=True)


def undone_and_written(place: Place) -> None:
    place.run()
    place.undo(delete=False)


def no_manifest(place: Place) -> None:
    Dataset.create(str(place.own))


def everywhere(counts: dict[str, int]) -> dict[str, dict[str, int]]:
    return dict.fromkeys(("sources", "image", "quality"), counts)


# What was there before; the recipe; by table and cause the sources that get rows; parts taken.
SCENES: list[tuple[Callable[[Place], None], str, dict[str, dict[str, int]], int]] = [
    (fresh, RECIPE, everywhere({"new": 12}), 0),
    (no_manifest, RECIPE, everywhere({"new": 12}), 0),
    (up_to_date, RECIPE, {}, 0),
    (
        sources,
        RECIPE,
        everywhere({"new": 1, "changed": 1, "removed": 2}),
        0,
    ),
    (
        a_whole_shard_leaves,
        RECIPE,
        everywhere({"removed": 5}),
        0,
    ),
    (up_to_date, OTHER, {"quality": {"analyzer changed": 11}}, 0),
    (
        changed_and_another_recipe,
        RECIPE,
        {
            "sources": {"changed": 1},
            "image": {"changed": 1},
            "quality": {"changed": 1, "analyzer changed": 10},
        },
        0,
    ),
    (up_to_date, MORE, {"motion": {"new analyzer": 11}}, 0),
    (
        up_to_date,
        EXACT,
        everywhere({"analyzer changed": 12}),
        0,
    ),
    # The shard that changed is done; of the two others the parts are taken.
    (
        back,
        RECIPE,
        {
            "sources": {"changed": 1},
            "image": {"changed": 1},
            "quality": {"changed": 1, "analyzer changed": 4},
        },
        2,
    ),
    (undone, RECIPE, everywhere({"interrupted": 5}), 0),
    (undone_and_written, RECIPE, {}, 3),
]


def plan(place: Place, recipe: str, **only: float) -> Plan:
    request = Request(str(place.corpus), str(place.own), recipe, "inline", **only)  # type: ignore[arg-type] # a limit is an int
    return planned.plan(request, LIMITS, Silent())


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below, with size and time."""
    found = [(path, path.stat()) for path in folder.rglob("*")]
    return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in found}


@pytest.mark.parametrize(
    ("before", "recipe", "tables", "adopted"),
    SCENES,
    ids=[f"{scene[0].__name__}-{number}" for number, scene in enumerate(SCENES)],
)
def test_a_run_does_what_the_plan_says_and_the_plan_writes_nothing(
    place: Place,
    before: Callable[[Place], None],
    recipe: str,
    tables: dict[str, dict[str, int]],
    adopted: int,
) -> None:
    before(place)
    there = files(place.corpus.parent)
    found = plan(place, recipe)
    assert files(place.corpus.parent) == there
    assert {name: dict(counts) for name, counts in found.tables.items() if counts} == tables
    did = run_inline(place.corpus, place.own, recipe=recipe, limits=LIMITS)
    assert said(found) == said(did)
    assert found.adopted.total() == adopted
    assert plan(place, recipe).nothing


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [RECIPE, OTHER])
def test_what_a_killed_run_left_is_told_and_done(place: Place, recipe: str) -> None:
    place.killed()
    found = plan(place, recipe)
    causes = {cause for counts in found.tables.values() for cause in counts}
    assert causes <= {"interrupted", "analyzer changed"}
    # It was killed when a second shard was written, and not committed yet.
    assert found.adopted["sources"] >= 1
    (killed,) = history(Dataset.open(str(place.own)))
    assert (killed["status"], killed["sources_after"]) == ("running or died", 12)
    assert killed["parts"]["sources"] == 1
    did = run_inline(place.corpus, place.own, recipe=recipe, limits=LIMITS)
    assert said(found) == said(did)
    statuses = [run["status"] for run in history(Dataset.open(str(place.own)))]
    assert statuses == ["died", "finished"]


def test_shards_that_leave_are_told(place: Place) -> None:
    a_whole_shard_leaves(place)
    assert plan(place, RECIPE).gone == 1
    place.run()
    assert plan(place, RECIPE).gone == 0


def test_another_input_is_refused_as_a_run_refuses_it(place: Place, tmp_path: Path) -> None:
    place.run()
    place.corpus = many(tmp_path / "other", 2)
    with pytest.raises(SettingsError, match="holds sources of"):
        plan(place, RECIPE)
    found = plan(place, RECIPE, add_input=True)
    assert (found.new, found.removed) == (2, 0)


def test_a_retry_that_was_killed_is_told_as_interrupted(place: Place) -> None:
    place.run()

    def killed(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
        raise KeyboardInterrupt
        yield from crew.inline(job, tasks)

    again = Again(str(place.own), ("decode.*",), "inline")
    with pytest.raises(KeyboardInterrupt):
        retry(again, LIMITS, killed, Silent())
    assert {name: dict(counts) for name, counts in plan(place, RECIPE).tables.items()} == (
        everywhere({"interrupted": 1})
    )
    assert [run["status"] for run in history(Dataset.open(str(place.own)))][1] == "failed"


def test_a_source_that_failed_in_an_analyzers_table_only_is_told(place: Place) -> None:
    place.run("[analyzers.image]\n")
    lost = place.corpus / "00004.jpg"
    kept, times = lost.read_bytes(), lost.stat()
    run_inline(place.corpus, place.own, recipe=RECIPE, limits=LIMITS, before_work=lost.unlink)
    lost.write_bytes(kept)
    os.utime(lost, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert plan(place, RECIPE).failed == {"decode.unrecognised": 1, "fetch.missing": 1}


def said(what: object) -> dict[str, object]:
    """What a plan and a summary both tell."""
    names = ("listed", "new", "changed", "removed", "shards", "sources", "bytes")
    adopted = what.adopted  # type: ignore[attr-defined] # a Plan or a Summary
    parts = adopted if isinstance(adopted, int) else adopted.total()
    return {"adopted": parts} | {name: getattr(what, name) for name in names}


@pytest.mark.parametrize("only", [{"limit": 7}, {"share": 0.5}])
def test_a_sample_is_planned_as_it_is_run(place: Place, only: dict[str, float]) -> None:
    place.run()
    for number in range(12, 20):
        place.change(f"{number:05}.jpg")
    (place.corpus / "00001.jpg").unlink()
    found = plan(place, MORE, **only)
    did = run_inline(place.corpus, place.own, recipe=MORE, limits=LIMITS, **only)  # type: ignore[arg-type] # a limit is an int
    assert said(found) == said(did)
    assert did.removed == 0
    assert did.sources > 0


def test_what_changed_in_an_analyzer_or_in_the_media_settings_is_named(place: Place) -> None:
    place.run()
    assert plan(place, OTHER).why == {"quality": {"blank_levels 2.0 -> 9.0": 11}}
    why = plan(place, EXACT).why
    assert why == everywhere({"media.exact false -> true": 12})


def test_differences_name_versions_nested_keys_and_what_came_or_left() -> None:
    former = {"version": 1, "settings": {"a": 1, "b": 2}, "media": {"video": {"fps": 1.0}}}
    now = {"version": 2, "settings": {"a": 1, "c": [3]}, "media": {"video": {"fps": 2.0}}}
    assert differences(former, now) == [
        "media.video.fps 1.0 -> 2.0",
        "b 2 -> (not there)",
        "c (not there) -> [3]",
        "version 1 -> 2",
    ]


def test_a_former_part_that_is_damaged_is_said_and_the_plan_stands(place: Place) -> None:
    place.run()
    for file in (place.own / "tables/quality").glob("*.parquet"):
        file.write_bytes(b"no parquet")
    assert plan(place, OTHER).why == {"quality": {UNREADABLE: 11}}


def test_sources_that_failed_before_are_told_unless_they_are_read_again(place: Place) -> None:
    place.run()
    assert plan(place, OTHER).failed == {"decode.unrecognised": 1}
    assert plan(place, EXACT).failed == {}
    place.change("00011.jpg")
    assert plan(place, OTHER).failed == {}


def test_the_expected_time_grows_with_the_work_and_is_unknown_without_a_run(place: Place) -> None:
    assert plan(place, RECIPE).seconds is None
    place.run()
    few = plan(place, OTHER, limit=5).seconds
    place.change("00012.jpg")
    many(place.corpus / "more", 30)
    more = plan(place, RECIPE).seconds
    assert few
    assert more
    assert 0 < few[0] <= few[1]
    assert few[1] < more[1]


def test_the_command_prints_a_table_or_one_line_of_json(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.run()
    place.change("00002.jpg")
    recipe = place.corpus.parent / "r.toml"
    recipe.write_text(OTHER)
    monkeypatch.setenv("IMGBATCH_SHARD_SOURCES", "5")
    command(str(place.corpus), str(place.own), recipe=str(recipe))
    shown = capsys.readouterr().out
    assert "  quality: blank_levels 2.0 -> 9.0 (10 sources)\n" in shown
    assert "failed before, and not read again: 1 (1 decode.unrecognised); see" in shown
    assert "\x1b" not in shown
    command(str(place.corpus), str(place.own), recipe=str(recipe), json=True)
    (line,) = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert record["event"] == "plan"
    assert record["tables"]["quality"] == {"changed": 1, "analyzer changed": 10}
    assert record["bytes"] > 0


@pytest.mark.slow
def test_a_dataset_in_a_bucket_is_planned_explained_and_compared_as_one_in_a_folder(
    bucket: str,
) -> None:
    bucket = f"{bucket}/plan"
    store = open_store(f"s3://{bucket}/in")
    for name in ("rocket.jpg", "china.jpg"):
        store.put(name, PHOTOS[name].read_bytes())
    url = f"s3://{bucket}/d"
    request = Request(f"s3://{bucket}/in", url, RECIPE, "inline")
    assert planned.plan(request, LIMITS, Silent()).new == 2
    assert list(open_store(f"s3://{bucket}").list("d")) == []
    run(request, LIMITS, crew.inline, Silent())
    store.put("rocket.jpg", PHOTOS["flower.jpg"].read_bytes())
    found = planned.plan(replace(request, recipe=OTHER), LIMITS, Silent())
    assert found.tables["quality"] == {"changed": 1, "analyzer changed": 1}
    assert said(found) == said(run(replace(request, recipe=OTHER), LIMITS, crew.inline, Silent()))
    dataset = Dataset.open(url)
    assert [run["changed"] for run in history(dataset)] == [0, 1]
    outcomes = explain(dataset, f"s3://{bucket}/in/rocket.jpg")["outcomes"]
    assert [outcome["carried"] for outcome in outcomes] == [False, False]
    compared = compare(dataset, "first", "last")
    assert compared["sources"]["changed"] == 1
    assert compared["tables"]["quality"]["of_changed"] == 1
    told = (json.loads(c.get("digests", "{}")) for c in dataset.table("tables/sources").history())
    *_, first = filter(None, told)
    for name in first:
        dataset.store.delete(f"tables/sources/{name}")
    with pytest.raises(DatasetError, match="a former state cannot be read"):
        compare(dataset, "first", "last")
