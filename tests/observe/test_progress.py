from __future__ import annotations

import io
import json

import pytest

from imgbatch.messages import Tick
from imgbatch.observe.progress import Bar, Lines, Meter


def test_lines_say_what_is_done_of_how_many_and_what_failed() -> None:
    out = io.StringIO()
    lines = Lines(out, as_json=False, every=0)
    lines.planned(shards=2, sources=10, note="sources, quality")
    lines.tick(Tick({}, 0))
    lines.tick(Tick({"ok": 3, "decode.corrupt": 1}, 3))
    said = out.getvalue().splitlines()
    assert said[0] == "to do: 10 sources in 2 shards (sources, quality)"
    assert said[-1].startswith("4 of 10 sources, ")
    assert "1 decode.corrupt" in said[-1]


def test_json_lines_are_json_and_complete() -> None:
    out = io.StringIO()
    lines = Lines(out, as_json=True, every=0)
    lines.listing(7)
    lines.planned(shards=1, sources=7, note="sources")
    lines.tick(Tick({"ok": 7}, 9))
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [r["event"] for r in records] == ["listing", "planned", "progress"]
    assert records[-1]["sources"] == records[-1]["of"] == 7
    assert records[-1]["pictures"] == 9
    assert records[-1]["outcomes"] == {"ok": 7}


def test_quiet_lines_are_not_written_more_often_than_asked() -> None:
    out = io.StringIO()
    lines = Lines(out, as_json=False, every=1000)
    for _ in range(100):
        lines.tick(Tick({"ok": 1}, 1))
    assert out.getvalue() == ""


def test_a_meter_that_saw_nothing_has_no_rate_and_no_eta() -> None:
    meter = Meter()
    meter.begin(10)
    assert (meter.done, meter.pictures, meter.eta) == (0, 0, None)
    assert meter.rate == 0.0


def test_the_time_that_is_left_is_that_of_what_is_left_at_the_pace_so_far() -> None:
    meter = Meter()
    meter.begin(100)
    meter.add(Tick({}, 0))
    meter._start -= 90  # of work
    meter.add(Tick({"ok": 24, "decode.corrupt": 1}, 24))
    assert meter.record()["eta_seconds"] == pytest.approx(270, abs=0.5)
    assert meter.line().endswith(", 4:30 left")


def test_what_a_lost_worker_told_is_taken_back() -> None:
    meter = Meter()
    meter.begin(10)
    meter.add(Tick({"ok": 3, "decode.corrupt": 1}, 3))
    meter.add(Tick({"ok": -1, "decode.corrupt": -1}, -1))
    assert (meter.done, meter.pictures) == (2, 2)
    assert meter.record()["outcomes"] == {"ok": 2}
    assert "decode.corrupt" not in meter.line()


def test_the_rate_counts_from_when_workers_were_up() -> None:
    meter = Meter()
    meter.begin(100)
    meter._start -= 1000  # a long start-up
    meter.add(Tick({}, 0))
    meter._start -= 2  # two seconds of work
    meter.add(Tick({"ok": 50}, 50))
    assert 24 < meter.rate < 25.1


def test_the_bar_runs_and_leaves_the_terminal() -> None:
    bar = Bar()
    bar.listing(5)
    bar.planned(shards=1, sources=5, note="sources")
    bar.tick(Tick({"ok": 5}, 5))
    bar.close()
    assert bar._progress is not None
    assert bar._progress.finished
