"""`plan` tells what the next run does: the same counts, and nothing is written."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from imgbatch import crew, planned
from imgbatch.cli.plan import plan as command
from imgbatch.dataset import Dataset
from imgbatch.errors import DatasetError, SettingsError
from imgbatch.observe.compare import compare
from imgbatch.observe.explain import explain
from imgbatch.observe.history import history
from imgbatch.retry import Again, retry
from imgbatch.run import run
from imgbatch.storage import open_store
from imgbatch.summary import Request
from tests.corpus import PHOTOS, Silent, many, run_inline
from tests.planning import EXACT, LIMITS, MORE, OTHER, RECIPE, Place, everywhere, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from imgbatch.messages import Tick
    from imgbatch.summary import Summary


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
    if found.shards:
        assert announced(place, did) == found.sources
    assert found.adopted.total() == adopted
    later = plan(place, recipe)
    assert later.nothing
    # What was said to stay as it failed did; all else may have failed anew.
    for name, classes in found.failed.items():
        assert Counter(later.failed[name]) >= Counter(classes)


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


@pytest.mark.parametrize(
    ("recipe", "sources"), [(RECIPE, 4), (MORE, 11)], ids=["as before", "a new analyzer"]
)
def test_what_is_announced_after_an_interruption_is_what_is_left(
    place: Place, recipe: str, sources: int
) -> None:
    place.run()
    for name in ("00000.jpg", "00003.jpg", "00006.jpg", "00009.jpg"):
        place.change(name)
    request = Request(str(place.corpus), str(place.own), RECIPE, "inline")
    with pytest.raises(KeyboardInterrupt):
        run(request, LIMITS, interrupted_at_once, Silent())
    did = run_inline(place.corpus, place.own, recipe=recipe, limits=LIMITS)
    assert (did.new, did.changed) == (0, 0), "the run before has frozen what changed"
    assert announced(place, did) == did.sources == sources


def test_a_retry_announces_the_sources_that_failed_and_not_their_shards(place: Place) -> None:
    place.run()
    did = retry(Again(str(place.own), ("decode.*",), "inline"), LIMITS, crew.inline, Silent())
    assert announced(place, did) == did.sources == 1


def test_a_run_that_only_takes_parts_that_lie_written_has_nothing_to_announce(
    place: Place,
) -> None:
    told: list[int] = []

    class Listening(Silent):
        def planned(self, *, shards: int, sources: int, note: str) -> None:  # noqa: ARG002 - the protocol's
            told.append(sources)

    undone_and_written(place)
    request = Request(str(place.corpus), str(place.own), RECIPE, "inline")
    assert run(request, LIMITS, crew.inline, Listening()).adopted == 3
    assert told == []
    place.change("00002.jpg")
    run(request, LIMITS, crew.inline, Listening())
    assert told == [1]


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


def interrupted_at_once(*_: object) -> Generator[Tick]:
    raise KeyboardInterrupt
    yield


def announced(place: Place, did: Summary) -> int:
    """How many sources a run said that it would read."""
    progress = json.loads((place.own / "runs" / did.run / "progress.json").read_text())
    return int(progress["of"])


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
    said = "failed before, not read again unless by `imgbatch retry DATASET --class CLASS`:\n"
    assert f"{said}  sources: 1 decode.unrecognised\n" in shown
    (head,) = (line for line in shown.splitlines() if line.startswith("sources by table"))
    (row,) = (line for line in shown.splitlines() if line.startswith("sources  "))
    assert head.endswith("  changed  analyzer changed  failed before")
    assert row.split() == ["sources", "1", "1"]
    assert "\x1b" not in shown
    command(str(place.corpus), str(place.own), recipe=str(recipe), json=True)
    (line,) = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert record["event"] == "plan"
    assert record["tables"]["quality"] == {"changed": 1, "analyzer changed": 10}
    assert record["failed"] == {"sources": {"decode.unrecognised": 1}}
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
