"""`plan` names what makes work, and tells what failed before and stays so, table by table."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from imgbatch import crew
from imgbatch.analyzers import quality
from imgbatch.dataset import SOURCES, Dataset
from imgbatch.dataset.causes import UNREADABLE, differences
from imgbatch.observe.history import history
from imgbatch.retry import Again, retry
from imgbatch.run import run
from imgbatch.summary import Request
from tests.corpus import Silent, interrupted, run_inline
from tests.equal import assert_equal
from tests.media.clips import Encoding, clip
from tests.planning import EXACT, LIMITS, OTHER, RECIPE, Place, everywhere, plan

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from imgbatch.messages import Finished, Job, Task, Tick

UNRECOGNISED = {"sources": {"decode.unrecognised": 1}}
FPS = '[media.video]\nsample = "fps"\nfps = {}\n' + RECIPE


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_changed_in_an_analyzer_is_named(place: Place) -> None:
    place.run()
    assert plan(place, OTHER).why == {"quality": {"blank_levels 2.0 -> 9.0": 11}}


@pytest.mark.parametrize(
    ("former", "now", "difference", "frames"),
    [
        (RECIPE, EXACT, "media.exact false -> true", 5),
        (RECIPE, f"[media]\nmin_side = 32\n{RECIPE}", "media.min_side 256 -> 32", 5),
        (FPS.format(1.0), FPS.format(5.0), "media.video.fps 1.0 -> 5.0", 12),
    ],
    ids=["exact", "min_side", "fps"],
)
def test_a_changed_media_setting_is_named_and_everything_computed_by_it(
    place: Place, former: str, now: str, difference: str, frames: int
) -> None:
    # 2.4 s with five key frames; at five frames a second these are twelve.
    (place.corpus / "clip.mkv").write_bytes(clip(Encoding("matroska", "ffv1")))
    place.run(former)
    found = plan(place, now)
    assert found.why == everywhere({difference: 13})
    assert found.tables == everywhere({"analyzer changed": 13})
    assert run_inline(place.corpus, place.own, recipe=now, limits=LIMITS).sources == 13
    assert plan(place, now).nothing
    rows = Dataset.open(str(place.own)).read("quality", columns=["source_id"])
    assert rows.num_rows == 11 + frames
    run_inline(place.corpus, place.own.parent / "fresh", recipe=now, limits=LIMITS)
    assert_equal(place.own, place.own.parent / "fresh")


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
    assert plan(place, OTHER).failed == UNRECOGNISED
    assert plan(place, EXACT).failed == {}
    place.change("00011.jpg")
    assert plan(place, OTHER).failed == {}
    (place.corpus / "00011.jpg").unlink()
    assert plan(place, OTHER).failed == {}


def test_a_source_that_failed_in_two_tables_is_told_of_each(place: Place) -> None:
    place.run("[analyzers.motion]\n")
    lost = place.corpus / "00004.jpg"
    kept, times = lost.read_bytes(), lost.stat()
    run_inline(place.corpus, place.own, recipe=RECIPE, limits=LIMITS, before_work=lost.unlink)
    lost.write_bytes(kept)
    os.utime(lost, ns=(times.st_atime_ns, times.st_mtime_ns))
    missing = {"fetch.missing": 1}
    assert plan(place, RECIPE).failed == {**UNRECOGNISED, "image": missing, "quality": missing}
    # One of the two is computed anew, whatever failed there.
    assert plan(place, OTHER).failed == {**UNRECOGNISED, "image": missing}
    again = Again(str(place.own), ("fetch.*",), "inline")
    assert retry(again, LIMITS, crew.inline, Silent()).sources == 1
    assert plan(place, RECIPE).failed == UNRECOGNISED


def test_a_video_counts_once_in_a_table_however_many_of_its_frames_failed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.corpus / "clip.mkv").write_bytes(clip(Encoding("matroska", "ffv1")))
    monkeypatch.setattr(quality, "sharpness", lambda luma: luma / "no number")
    place.run(FPS.format(5.0))
    rows = Dataset.open(str(place.own)).read("quality")
    assert set(rows["status"].to_pylist()) == {"failed"}
    assert rows.num_rows == 11 + 12
    found = plan(place, FPS.format(5.0)).failed
    assert found == {**UNRECOGNISED, "quality": {"analyze.failed": 12}}


def test_what_failed_by_a_new_setting_is_told_where_it_was_interrupted(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.run()
    monkeypatch.setattr(quality, "sharpness", lambda luma: luma / "no number")
    request = Request(str(place.corpus), str(place.own), OTHER, "inline")
    with pytest.raises(KeyboardInterrupt):
        run(request, LIMITS, interrupted(1), Silent())
    dataset = Dataset.open(str(place.own))
    failed = [row["status"] for row in dataset.read("quality").to_pylist()].count("failed")
    assert 0 < failed < 11
    found = plan(place, OTHER)
    assert found.tables["quality"]["analyzer changed"] > 0
    # Parts that were written and not committed are taken, with what failed in them.
    left = 11 - found.tables["quality"]["analyzer changed"]
    assert left >= failed
    assert found.failed == {**UNRECOGNISED, "quality": {"analyze.failed": left}}


def test_what_failed_in_parts_that_are_taken_as_they_lie_is_told(place: Place) -> None:
    place.run()
    dataset = Dataset.open(str(place.own))
    for name in dataset.tables():
        table = dataset.table(f"tables/{name}")
        table.commit([], table.parts().values(), fence=table.fence, run="x")
    found = plan(place, RECIPE)
    assert found.adopted[SOURCES] == 3
    assert found.failed == UNRECOGNISED


def test_a_retry_that_was_killed_is_told_as_interrupted(place: Place) -> None:
    place.run()

    def killed(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
        raise KeyboardInterrupt
        yield from crew.inline(job, tasks)

    again = Again(str(place.own), ("decode.*",), "inline")
    with pytest.raises(KeyboardInterrupt):
        retry(again, LIMITS, killed, Silent())
    found = plan(place, RECIPE)
    assert found.tables == everywhere({"interrupted": 1})
    # It is read again: no longer one that stays as it failed.
    assert found.failed == {}
    assert [run["status"] for run in history(Dataset.open(str(place.own)))][1] == "interrupted"
