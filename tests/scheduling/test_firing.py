"""What a schedule does when it is woken: real commands, real kills, real locks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import ScheduleError, SettingsError, StorageError
from imgbatch.scheduling import firing, journal, kept, notice
from tests.scheduling import made
from tests.scheduling.made import full, hour_ago

if TYPE_CHECKING:
    from pathlib import Path


def events(folder: Path, name: str = "daily") -> list[str]:
    return [line["event"] for line in journal.lines(folder / name)]


def woken(folder: Path, name: str = "daily") -> subprocess.Popen[bytes]:
    """What a timer does, as a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "imgbatch", "schedule", "run", name, "--due"],
        env={**os.environ, "IMGBATCH_SCHEDULE_FOLDER": str(folder)},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )


def wait_for(folder: Path, event: str, count: int = 1) -> None:
    while events(folder).count(event) < count:
        time.sleep(0.02)


def test_three_weeks_of_missed_ticks_are_caught_up_once(tmp_path: Path) -> None:
    schedule, now = made.schedule(tmp_path), time.time()
    record = firing.run_due(tmp_path, schedule, now=now)
    assert record is not None
    assert (record["state"], record["code"]) == ("ok", 0)
    assert now - made.DAY < record["tick"] <= now
    assert firing.run_due(tmp_path, schedule, now=now) is None
    assert events(tmp_path) == ["began", "ended"]
    with open(record["log"]) as log:  # noqa: PTH123 - a path as text
        assert "standard" in log.read()
    # A day later by the clock there is one more, and no more.
    assert firing.run_due(tmp_path, schedule, now=now + made.DAY) is not None
    assert firing.run_due(tmp_path, schedule, now=now + made.DAY) is None


def test_no_file_of_the_folder_where_it_was_given_is_run_in_place_of_ours(tmp_path: Path) -> None:
    planted = tmp_path / "given"
    (planted / "imgbatch").mkdir(parents=True)
    (planted / "imgbatch/__main__.py").write_text("print('planted')\n")
    (planted / "imgbatch/__init__.py").touch()
    (planted / "queue.py").write_text("raise SystemExit('planted')\n")
    schedule = made.schedule(tmp_path / "home", folder=str(planted))
    record = firing.run_due(tmp_path / "home", schedule, now=time.time())
    assert record
    with open(record["log"]) as log:  # noqa: PTH123 - a path as text
        said = log.read()
    assert ("planted" in said, "standard" in said, record["code"]) == (False, True, 0)


def test_a_notice_that_takes_too_long_tells_nothing_of_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notice, "SECONDS", 0.2)
    schedule = made.schedule(tmp_path, notify_command="sleep 5; : token-of-chat", words=made.BADLY)
    record = firing.run_due(tmp_path, schedule, now=time.time())
    assert record
    assert record["notice_failed"] == ["--notify-command took longer than 0.2 s"]
    assert "token-of-chat" not in (tmp_path / "daily" / journal.FILE).read_text()


def test_a_notice_that_cannot_be_started_tells_nothing_of_its_command(tmp_path: Path) -> None:
    command = f": token-of-chat {'x' * 2**18}"  # longer than a system takes
    schedule = made.schedule(tmp_path, notify_command=command, words=made.BADLY)
    record = firing.run_due(tmp_path, schedule, now=time.time())
    assert record
    (said,) = record["notice_failed"]
    assert ("--notify-command" in said, "token-of-chat" in said) == (True, False)


def test_of_a_long_journal_its_end_is_read_and_tells_the_same(tmp_path: Path) -> None:
    schedule, now = made.schedule(tmp_path, cron="*/5 * * * *"), time.time()
    own, tick = tmp_path / "daily", now // 300 * 300
    old = [
        json.dumps({"event": event, "tick": tick - 300 * back, "at": tick, "words": "x" * 300})
        for back in range(20_000, 1, -1)
        for event in (journal.BEGAN, journal.ENDED)
    ]
    (own / journal.FILE).write_text("\n\n".join(old) + "\n")
    assert journal.due(schedule, journal.lines(own), now) == journal.Due(tick)
    assert journal.size(own) > 16 * journal.TAIL
    assert len(journal.lines(own)) < len(old) / 10
    # What is at work was begun so long ago that only skipped ticks have come since.
    journal.note(own, journal.BEGAN, tick=tick, at=tick)
    for place in range(1, 6):
        with (own / journal.FILE).open("a") as file:
            said = {"event": journal.SKIPPED, "tick": tick + place, "error": "x" * journal.TAIL}
            file.write(f"\n{json.dumps(said)}\n")
    begun = journal.unended(journal.lines(own))
    assert begun
    assert begun["tick"] == tick


def test_a_schedule_made_just_now_owes_nothing(tmp_path: Path) -> None:
    now = time.time()
    schedule = made.schedule(tmp_path, since=now)
    assert firing.run_due(tmp_path, schedule, now=now) is None
    assert firing.run_due(tmp_path, schedule, now=schedule.next(now)) is not None


@pytest.mark.slow
def test_a_clock_that_was_years_ahead_once_silences_nothing(tmp_path: Path) -> None:
    schedule, now = made.schedule(tmp_path), time.time()
    assert firing.run_due(tmp_path, schedule, now=now + 4000 * made.DAY) is not None
    assert firing.run_due(tmp_path, schedule, now=now) is not None
    assert firing.run_due(tmp_path, schedule, now=now) is None


def test_a_schedule_that_was_added_by_a_clock_years_ahead_has_its_ticks(tmp_path: Path) -> None:
    now = time.time()
    schedule = made.schedule(tmp_path, since=now + 365 * made.DAY)
    record = firing.run_due(tmp_path, schedule, now=now)
    assert record is not None
    assert now - made.DAY < record["tick"] <= now
    assert firing.run_due(tmp_path, schedule, now=now) is None
    told = journal.lines(tmp_path / "daily")
    for days in range(1, 800):  # up to that moment and past it there is one each day
        later = now + days * made.DAY
        assert journal.due(schedule, told, later) == journal.Due(record["tick"] + days * made.DAY)
    # A clock that is set back by a moment makes nothing due that was before.
    assert journal.due(schedule, [], schedule.since - 5) is None


def test_a_tick_while_the_former_is_at_work_is_said_and_skipped(tmp_path: Path) -> None:
    schedule, now = made.schedule(tmp_path, words=made.LONG), time.time()
    at_work = woken(tmp_path)
    wait_for(tmp_path, "began")
    # Woken again for the same tick: that one is at work, nothing is skipped.
    assert firing.run_due(tmp_path, schedule, now=now) is None
    record = firing.run_due(tmp_path, schedule, now=now + made.DAY)
    assert record is not None
    assert (record["state"], record["code"]) == ("skipped", 0)
    assert "is at work" in record["error"]
    assert firing.at_work(tmp_path / "daily")
    last = journal.last(journal.lines(tmp_path / "daily"), at_work=True)
    assert last
    assert last["state"] == "at work"
    with pytest.raises(firing.AtWorkError):
        firing.run_now(tmp_path, schedule)
    os.killpg(at_work.pid, signal.SIGKILL)
    at_work.wait()
    while firing.at_work(tmp_path / "daily"):
        time.sleep(0.02)
    assert events(tmp_path) == ["began", "skipped"]


@pytest.mark.slow
def test_a_command_outlives_whoever_is_killed_for_it_and_keeps_the_lock(tmp_path: Path) -> None:
    made.schedule(tmp_path, words=made.LONG)
    parent = woken(tmp_path)
    wait_for(tmp_path, "began")
    while not (children := _children(parent.pid)):
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    assert firing.at_work(tmp_path / "daily")
    os.kill(children[0], signal.SIGKILL)
    while firing.at_work(tmp_path / "daily"):
        time.sleep(0.02)


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as told:  # noqa: PTH123 - no file of a disk
        return [int(word) for word in told.read().split()]


def test_a_tick_that_was_cut_off_is_told_and_begun_once_more_only(tmp_path: Path) -> None:
    told = tmp_path / "told.jsonl"
    schedule = made.schedule(tmp_path, words=made.LONG, notify_command=f"cat >> {told}")
    for attempt in (1, 2):
        parent = woken(tmp_path)
        wait_for(tmp_path, "began", attempt)
        os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()
        while firing.at_work(tmp_path / "daily"):
            time.sleep(0.02)
    assert firing.run_due(tmp_path, schedule, now=time.time()) is None
    assert events(tmp_path) == ["began", "told", "began"]
    assert "cut off" in json.loads(told.read_text())["text"]
    last = journal.last(journal.lines(tmp_path / "daily"), at_work=False)
    assert last
    assert last["state"] == "cut off"


@pytest.mark.parametrize("by_hand", [True, False])
def test_one_that_was_cut_off_is_told_of_though_ticks_were_skipped_meanwhile(
    tmp_path: Path,
    by_hand: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    told, now = tmp_path / "told", time.time()
    schedule = made.schedule(tmp_path, notify_command=f"cat > {told}")
    own, tick = tmp_path / "daily", schedule.next(now) - 2 * made.DAY
    journal.note(own, journal.BEGAN, tick=tick, at=tick, log="", again=False)
    journal.note(own, journal.SKIPPED, tick=tick + made.DAY, state="skipped", error="is at work")
    last = journal.last(journal.lines(own), at_work=False)
    assert last
    assert last["state"] == "cut off"
    if by_hand:
        firing.run_now(tmp_path, schedule)
    record = firing.run_due(tmp_path, schedule, now=now)
    assert json.loads(told.read_text())["tick"] == tick
    assert record is not None
    assert (record["state"], record["tick"]) == ("ok", tick)
    assert firing.run_due(tmp_path, schedule, now=now) is None
    hand = ["began", "ended"] if by_hand else []
    assert events(tmp_path) == ["began", "skipped", "told", *hand, "began", "ended"]


def test_a_line_that_a_power_failure_cut_hides_none_after_it(tmp_path: Path) -> None:
    schedule, now = made.schedule(tmp_path), time.time()
    (tmp_path / "daily/journal.jsonl").write_bytes(b'{"event": "began", "tick": 17')
    assert firing.run_due(tmp_path, schedule, now=now) is not None
    assert events(tmp_path) == ["began", "ended"]
    assert firing.run_due(tmp_path, schedule, now=now) is None


def test_a_failure_is_told_by_command_and_webhook(
    tmp_path: Path, hook: tuple[str, list[bytes], list[int]]
) -> None:
    url, posted, answers = hook
    answers.append(503)  # passes: it is asked again
    told = tmp_path / "told"
    schedule = made.schedule(
        tmp_path, words=made.BADLY, notify_command=f"cat > {told}", notify_url=url
    )
    record = firing.run_due(tmp_path, schedule, now=time.time())
    assert record is not None
    assert (record["state"], record["code"], record["notice_failed"]) == ("failed", 10, [])
    said = json.loads(told.read_text())
    assert said["schedule"] == "daily"
    assert said["words"] == made.BADLY
    assert said["error"] == "SettingsError: no recipe 'quik'; did you mean 'quick'?"
    assert said["error"] in said["text"]
    assert [json.loads(body) for body in posted] == [said, said]


def test_a_notice_that_does_not_arrive_is_itself_told(
    tmp_path: Path, hook: tuple[str, list[bytes], list[int]]
) -> None:
    url, posted, answers = hook
    answers.append(404)
    schedule = made.schedule(
        tmp_path, words=made.BADLY, notify_command="echo no such list >&2; exit 3", notify_url=url
    )
    record = firing.run_due(tmp_path, schedule, now=time.time())
    assert record is not None
    assert record["notice_failed"] == [
        "--notify-command ended with 3: no such list",
        "--notify-url answered 404",
    ]
    assert "secret-path" not in json.dumps(record)
    assert len(posted) == 1


def test_a_folder_that_is_gone_is_a_failure_and_not_a_silence(tmp_path: Path) -> None:
    schedule = made.schedule(tmp_path, folder=str(tmp_path / "unmounted"))
    record = firing.run_due(tmp_path, schedule, now=time.time())
    assert record is not None
    assert (record["state"], record["code"]) == ("failed", 33)
    assert "unmounted" in record["error"]


def on_a_full_disk(folder: Path, *, left: int) -> subprocess.CompletedProcess[str]:
    """What a timer does where no file may grow beyond so many KiB, as on a disk that is full."""
    command = [sys.executable, "-m", "imgbatch", "schedule", "run", "daily", "--due"]
    return subprocess.run(
        ["bash", "-c", f'ulimit -f {left}; exec "$@"', "bash", *command],
        env={**os.environ, "IMGBATCH_SCHEDULE_FOLDER": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_disk_that_is_full_when_a_tick_comes_is_told_and_the_tick_stays_due(
    tmp_path: Path, hook: tuple[str, list[bytes], list[int]]
) -> None:
    url, posted, _ = hook
    schedule = made.schedule(tmp_path, notify_command="echo no room >&2; exit 3", notify_url=url)
    done = on_a_full_disk(tmp_path, left=0)
    assert done.returncode == 16, done.stderr
    assert "its command did not begin: [Errno 27] File too large" in done.stderr
    assert "nobody was told of it: --notify-command ended with 3: no room" in done.stderr
    (said,) = map(json.loads, posted)
    assert said["text"].startswith("imgbatch schedule daily failed on ")
    assert "its command did not begin" in said["error"]
    assert events(tmp_path) == []
    record = firing.run_due(tmp_path, schedule, now=time.time())
    assert record is not None
    assert record["state"] == "ok"


def test_a_disk_that_stays_full_is_told_hourly_and_keeps_nothing_of_the_tries(
    tmp_path: Path, hook: tuple[str, list[bytes], list[int]]
) -> None:
    url, posted, _ = hook
    schedule = made.schedule(tmp_path, notify_url=url)
    assert on_a_full_disk(tmp_path, left=0).returncode == 16
    there = sorted((tmp_path / "daily").rglob("*"))
    for _ in range(2):
        done = on_a_full_disk(tmp_path, left=0)
        # What is woken by cron is told in a mail of all that goes to stderr.
        assert (done.returncode, done.stderr) == (16, "")
        assert "its command did not begin: [Errno 27] File too large" in done.stdout
        assert "catches it up" in done.stdout
    assert sorted((tmp_path / "daily").rglob("*")) == there
    assert not list((tmp_path / "daily/logs").iterdir())
    assert len(posted) == 1
    hour_ago(tmp_path / "daily/told-full")
    done = on_a_full_disk(tmp_path, left=0)
    assert (done.returncode, len(posted)) == (16, 2)
    assert "its command did not begin" in done.stderr
    # Once a command began, the next failure is told at once.
    assert firing.run_due(tmp_path, schedule, now=time.time()) is not None
    with full(), pytest.raises(StorageError, match="its command did not begin"):
        firing.run_due(tmp_path, schedule, now=time.time() + made.DAY)
    assert len(posted) == 3


def test_one_that_was_cut_off_is_told_once_though_the_disk_does_not_take_that(
    tmp_path: Path, hook: tuple[str, list[bytes], list[int]]
) -> None:
    url, posted, _ = hook
    schedule, now = made.schedule(tmp_path, notify_url=url), time.time()
    own, tick = tmp_path / "daily", schedule.next(now) - made.DAY
    journal.note(own, journal.BEGAN, tick=tick, at=tick, log="", again=False)
    with full():
        for _ in range(3):
            with pytest.raises(StorageError):
                firing.run_due(tmp_path, schedule, now=now)
    said = [json.loads(body)["error"].split(",")[0].split(":")[0] for body in posted]
    assert said == ["it was cut off before its end", "its command did not begin"]
    assert firing.run_due(tmp_path, schedule, now=now) is not None
    assert events(tmp_path) == ["began", "told", "began", "ended"]
    assert len(posted) == 2


def test_a_disk_that_fills_while_the_command_is_at_work_is_told(
    tmp_path: Path, hook: tuple[str, list[bytes], list[int]]
) -> None:
    url, posted, _ = hook
    schedule = made.schedule(tmp_path, notify_url=url)
    # What began fits, and a part of how it ended: such a line is cut without an error.
    own, log = tmp_path / "daily", str(tmp_path / "daily/logs/20261122T030000.123456Z.log")
    journal.note(own, journal.BEGAN, tick=1e9, at=time.time(), log=log, again=False)
    began = (own / journal.FILE).stat().st_size
    (own / journal.FILE).write_text("\n" * (1024 - began - 40))
    done = on_a_full_disk(tmp_path, left=1)
    assert done.returncode == 16, done.stderr
    assert "its command ended with 0, and its journal cannot be kept" in done.stderr
    assert ["ended with 0" in json.loads(body)["error"] for body in posted] == [True]
    assert events(tmp_path) == ["began"]
    # Nobody can know later that it ended: it counts as cut off, and is begun once more.
    assert firing.run_due(tmp_path, schedule, now=time.time()) is not None
    assert events(tmp_path) == ["began", "told", "began", "ended"]


@pytest.mark.slow
def test_logs_are_kept_and_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firing, "LOGS_KEPT", 2)
    schedule = made.schedule(tmp_path)
    logs = [firing.run_now(tmp_path, schedule)["log"] for _ in range(3)]
    left = sorted(map(str, (tmp_path / "daily/logs").iterdir()))
    assert left == logs[1:]


def test_a_name_is_given_once_and_a_wrong_one_never(tmp_path: Path) -> None:
    made.schedule(tmp_path)
    with pytest.raises(ScheduleError, match="there is a schedule daily"):
        made.schedule(tmp_path)
    with pytest.raises(SettingsError, match="will not do as the name"):
        made.schedule(tmp_path, name="../daily")
    with pytest.raises(ScheduleError, match=r"no schedule 'dayly' .*did you mean 'daily'"):
        kept.get(tmp_path, "dayly")


@pytest.mark.parametrize(
    "change",
    [
        {"cron": "0 3 * *"},
        {"cron": "Mon 03:00"},
        {"timezone": "Mars/Olympus"},
        {"name": "weekly"},
        {"since": "soon"},
        {"words": []},
        {"evry": "x"},
    ],
)
def test_a_file_whose_values_will_not_do_is_damaged(
    tmp_path: Path, change: dict[str, object]
) -> None:
    schedule = made.schedule(tmp_path)
    path = tmp_path / "daily/schedule.json"
    path.write_text(json.dumps(schedule.model_dump() | change))
    with pytest.raises(ScheduleError, match="is damaged"):
        kept.get(tmp_path, "daily")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\0" * 300, b"\xff{}"])
def test_one_that_is_damaged_hides_no_other(tmp_path: Path, damage: bytes) -> None:
    schedule = made.schedule(tmp_path)
    made.schedule(tmp_path, name="another")
    (tmp_path / "another/schedule.json").write_bytes(damage)
    broken, whole = kept.schedules(tmp_path)
    assert whole == schedule
    assert isinstance(broken, kept.Damaged)
    assert "another/schedule.json is damaged" in broken.problem
    assert "`imgbatch schedule remove another`" in broken.problem
