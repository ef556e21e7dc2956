"""A journal that somebody changed: a line that is none of ours counts as one that is not there."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from imgbatch.cli import schedule_lines
from imgbatch.scheduling import firing, journal, kept
from tests.scheduling import made

if TYPE_CHECKING:
    from pathlib import Path

WRONG = [
    b'{"event": "ended", "tick": "x"}',
    b'{"event": "began", "tick": [1]}',
    b'{"event": "skipped", "tick": true}',
    b'{"event": "ended", "tick": NaN}',
    b'{"event": "ended", "tick": 1e400}',
    b'{"event": "ended", "tick": -1e300}',
    b'{"event": "ended", "tick": 99999999999999}',
    b'{"event": "ended", "at": 1' + b"0" * 400 + b"}",
    b'{"event": "ended", "began": {}}',
    b'{"event": "ended", "seconds": "3"}',
    b'{"event": "ended", "seconds": 1' + b"0" * 400 + b"}",
    b'{"event": "ended", "state": []}',
    b'{"event": "ended", "error": 5}',
    b'{"event": "ended", "notice_failed": 5}',
    b'{"event": "ended", "notice_failed": [5]}',
    b'{"event": 5, "tick": 1.0}',
    b'{"event": ["began"]}',
    b'{"event": "x"}',
    b"[" * 100_000,
]


def texts(folder: Path) -> list[str]:
    return schedule_lines.shown(folder, kept.schedules(folder))[1]


@pytest.mark.parametrize("line", WRONG)
def test_a_line_of_wrong_kinds_is_as_one_that_is_not_there(tmp_path: Path, line: bytes) -> None:
    schedule, now = made.schedule(tmp_path), time.time()
    own = tmp_path / "daily"
    tick = schedule.next(now) - made.DAY
    journal.note(own, journal.BEGAN, tick=tick - made.DAY, at=tick - made.DAY, log="kept.log")
    before = journal.lines(own)
    with (own / journal.FILE).open("ab") as file:
        file.write(line + b"\n")
    assert journal.lines(own) == before
    assert journal.due(schedule, before, now) == journal.Due(tick)
    assert any("last: cut off" in text for text in texts(tmp_path))


# What another version of imgbatch may leave out.
@pytest.mark.parametrize("line", [{"event": event} for event in journal.EVENTS])
def test_a_line_that_says_little_stops_nothing(tmp_path: Path, line: dict[str, str]) -> None:
    schedule, now = made.schedule(tmp_path), time.time()
    (tmp_path / "daily" / journal.FILE).write_text(json.dumps(line) + "\n")
    shown = "cut off" if line["event"] == journal.BEGAN else line["event"]
    assert any(f"last: {shown}" in text for text in texts(tmp_path))
    record = firing.run_due(tmp_path, schedule, now=now)
    assert record is not None
    assert record["state"] == "ok"


def test_a_clock_that_was_set_back_during_a_command_leaves_its_end(tmp_path: Path) -> None:
    schedule, now = made.schedule(tmp_path), time.time()
    tick = schedule.next(now) - made.DAY
    for event in (journal.BEGAN, journal.ENDED):
        journal.note(tmp_path / "daily", event, tick=tick, at=now, seconds=-3600.0, state="ok")
    assert journal.due(schedule, journal.lines(tmp_path / "daily"), now) is None


@pytest.mark.parametrize("damaged", [False, True])
def test_one_whose_journal_cannot_be_read_is_shown_beside_the_others(
    tmp_path: Path,
    damaged: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    made.schedule(tmp_path)
    made.schedule(tmp_path, name="another")
    (tmp_path / "another" / journal.FILE).mkdir()
    if damaged:
        (tmp_path / "another/schedule.json").write_text("[" * 100_000)
    lines = texts(tmp_path)
    assert any(text.startswith("schedule daily: daily 03:00") for text in lines)
    assert any(("is damaged" if damaged else "Is a directory") in text for text in lines)
