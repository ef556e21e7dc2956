"""`imgbatch schedule` and what `imgbatch status` says of schedules, as users type them."""

from __future__ import annotations

import fcntl
import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from imgbatch.__main__ import main
from imgbatch.scheduling import firing, kept
from imgbatch.storage import open_store
from tests import corpus
from tests.scheduling import made

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def imgbatch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """The command line in this process: starting Python costs more than what is tested."""
    monkeypatch.setenv("IMGBATCH_SCHEDULE_FOLDER", str(tmp_path / "schedules"))
    monkeypatch.chdir(tmp_path)
    open_store.cache_clear()  # of `own` in another test's folder

    def call(*words: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["imgbatch", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return call


def add(imgbatch: Callable[..., Done], *words: str, every: str = "Mon 03:00") -> Done:
    given = ["--every", every, "--timezone", "Europe/Berlin", "--timer", "loop"]
    return imgbatch("schedule", "add", "weekly", *given, *words)


@pytest.mark.slow
def test_status_tells_the_last_result_and_the_next_time(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    corpus.many(tmp_path / "in", 2)
    corpus.run_inline(tmp_path / "in", tmp_path / "own", recipe="[analyzers.image]\n")
    assert json.loads(imgbatch("status", "own", "--json").stdout)["schedules"] == []
    done = add(imgbatch, "--", "run", "in", "own", "--engine", "inline")
    assert done.returncode == 0, done.stderr
    assert "next Mon " in done.stdout
    assert " 03:00, by loop" in done.stdout
    assert "start `imgbatch schedule loop`" in done.stdout
    assert "last:" not in imgbatch("status", "own").stdout
    home = tmp_path / "schedules"
    later = kept.get(home, "weekly").next(time.time())
    assert firing.run_due(home, kept.get(home, "weekly"), now=later)
    told = imgbatch("status", "own").stdout
    assert "schedule weekly: Mon 03:00 (Europe/Berlin), next Mon" in told
    assert "last: ok, " in told
    (record,) = json.loads(imgbatch("status", "own", "--json").stdout)["schedules"]
    assert (record["last"]["state"], record["last"]["tick"]) == ("ok", later)
    listed = json.loads(imgbatch("schedule", "list", "--json").stdout)["schedules"]
    assert [one["name"] for one in listed] == ["weekly"]
    assert imgbatch("schedule", "remove", "weekly").returncode == 0
    assert imgbatch("schedule", "list").stdout == "no schedule\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--", "run", "in", "own", "--recipy", "quick"], 2, "--recipy"),
        (["--", "runn", "in", "own"], 2, "runn"),
        (["--", "run", "in"], 2, "DATASET"),
        (["--", "recipe", "shw"], 2, "shw"),
        (["--", "schedule", "list"], 10, "schedules no schedule"),
        (["--notify-url", "slack", "--", "report", "own"], 10, "is no web address"),
        (["--", "retain", "own"], 10, "asks before it does anything"),
        (["--", "forget", "own", "--post-id", "1"], 10, "asks before it does anything"),
        (["--", "cloud", "run", "in", "own"], 10, "asks before it does anything"),
        (["--", "status", "own", "--watch"], 10, "--watch"),
        (["--", "run", "--help"], 10, "does nothing but to show help"),
        (["--", "recipe", "--help"], 10, "does nothing but to show help"),
    ],
)
def test_a_typing_error_is_told_now_and_not_at_three_at_night(
    imgbatch: Callable[..., Done], words: list[str], code: int, said: str
) -> None:
    done = add(imgbatch, *words)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert done.stdout == ""
    assert imgbatch("schedule", "list").stdout == "no schedule\n"


@pytest.mark.parametrize(
    "words",
    [
        ["run", "s3://AKIAIOSFODNN7EXAMPLE:plantedSecretKey@bucket/x", "own"],
        ["run", "https://b.s3.amazonaws.com/x?X-Amz-Signature=plantedSecretKey", "own"],
        ["run", "in/plantedSecretKey", "own"],
    ],
)
def test_words_that_hold_a_secret_are_refused_and_not_repeated(
    imgbatch: Callable[..., Done],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "plantedSecretKey")
    done = add(imgbatch, "--", *words)
    assert (done.returncode, "holds a secret" in done.stderr) == (10, True), done.stderr
    assert "plantedSecretKey" not in done.stdout + done.stderr
    assert not (tmp_path / "schedules").exists()


def test_the_users_own_time_zone_counts(
    imgbatch: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/Havana")
    given = ["--every", "daily 03:00", "--timer", "loop", "--", "report", "own"]
    assert "(America/Havana)" in imgbatch("schedule", "add", "daily", *given).stdout


def test_what_may_go_without_an_answer_may_recur(imgbatch: Callable[..., Done]) -> None:
    for name, *words in (
        ("one", "retain", "own", "--yes"),
        ("two", "bucket", "harden", "s3://lab-pictures"),  # shows what it would change
        ("three", "status", "own"),
    ):
        given = ["--every", "hourly", "--timer", "loop", "--", *words]
        assert imgbatch("schedule", "add", name, *given).returncode == 0


def test_a_line_break_in_its_times_is_a_space(
    imgbatch: Callable[..., Done], tmp_path: Path
) -> None:
    assert add(imgbatch, "--", "report", "own", every="daily\n03:00").returncode == 0
    assert kept.get(tmp_path / "schedules", "weekly").every == "daily 03:00"


def test_times_that_are_none_are_told(imgbatch: Callable[..., Done]) -> None:
    done = add(imgbatch, "--", "report", "own", every="Mo 3 Uhr")
    assert done.returncode == 10
    assert "no time that comes again" in done.stderr


def test_a_timer_that_is_not_here_leaves_no_schedule_behind(
    imgbatch: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for timer in ("systemd", "cron"):
        words = ["--every", "hourly", "--timer", timer, "--", "report", "own"]
        done = imgbatch("schedule", "add", "hourly", *words)
        assert done.returncode == 33
        assert "--timer" in done.stderr
    assert imgbatch("schedule", "list").stdout == "no schedule\n"


def test_run_by_hand_shows_its_output_and_ends_with_its_code(
    imgbatch: Callable[..., Done],
) -> None:
    add(imgbatch, "--notify-command", "exit 1", "--", "recipe", "show", "quik")
    done = imgbatch("schedule", "run", "weekly")
    assert done.returncode == 10
    assert "did you mean 'quick'" in done.stdout
    assert "nobody was told: --notify-command ended with 1" in done.stderr
    assert "nothing is due" in imgbatch("schedule", "run", "weekly", "--due").stdout
    assert "nobody was told of it" in imgbatch("schedule", "list").stdout


def test_what_holds_a_secret_is_not_kept_and_that_is_said(
    imgbatch: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "never-in-a-file")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    done = add(imgbatch, "--notify-url", "https://chat/hook-secret", "--", "report", "own")
    assert "AWS_SECRET_ACCESS_KEY is set here and is not kept" in done.stdout
    path = tmp_path / "schedules/weekly/schedule.json"
    assert "never-in-a-file" not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert kept.get(tmp_path / "schedules", "weekly").environment["AWS_PROFILE"] == "lab"
    assert "hook-secret" not in imgbatch("schedule", "list", "--json").stdout


@pytest.mark.slow
def test_a_damaged_one_is_shown_beside_the_others_and_can_be_removed(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    corpus.many(tmp_path / "in", 1)
    corpus.run_inline(tmp_path / "in", tmp_path / "own", recipe="[analyzers.image]\n")
    add(imgbatch, "--", "report", "own")
    imgbatch("schedule", "run", "weekly")
    words = ["--every", "hourly", "--timer", "loop", "--", "report", "own"]
    imgbatch("schedule", "add", "whole", *words)
    (tmp_path / "schedules/weekly/schedule.json").write_text('{"name": "weekly"')
    for command in (["schedule", "list"], ["status", "own"]):
        done = imgbatch(*command)
        assert done.returncode == 0, done.stderr
        assert "schedule weekly does not fire: " in done.stdout
        assert "schedule whole: hourly" in done.stdout
        damaged, whole = json.loads(imgbatch(*command, "--json").stdout)["schedules"]
        assert damaged.keys() == whole.keys()
        assert (damaged["name"], damaged["every"]) == ("weekly", None)
        assert damaged["last"]["state"] == "ok"
        assert "`imgbatch schedule remove weekly`, and add it anew" in damaged["problem"]
    done = imgbatch("schedule", "remove", "weekly")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "schedules/weekly").exists()
    assert "weekly" not in imgbatch("schedule", "list").stdout
    assert add(imgbatch, "--", "report", "own").returncode == 0


def test_a_damaged_one_is_taken_from_whatever_timer_woke_it(
    tmp_path: Path, imgbatch: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The programs of cron and systemd are stood in for: what they are asked is what counts."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (
        ("crontab", '[ "$1" = -l ] && cat "$TABLE" 2>/dev/null || cat > "$TABLE"'),
        ("systemctl", 'echo "$@" >> "$ASKED"; echo running'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("TABLE", str(tmp_path / "table"))
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    units = tmp_path / "config/systemd/user"
    (tmp_path / "table").write_text("0 1 * * * backup\n")
    for timer in ("cron", "systemd"):
        words = ["--every", "hourly", "--timer", timer, "--", "report", "own"]
        done = imgbatch("schedule", "add", timer, *words)
        assert done.returncode == 0, done.stderr
        (tmp_path / "schedules" / timer / "schedule.json").write_text("")
    assert "schedules/cron" in (tmp_path / "table").read_text()
    assert len(list(units.iterdir())) == 2
    # One of that name in another folder is not ours.
    monkeypatch.setenv("IMGBATCH_SCHEDULE_FOLDER", str(tmp_path / "theirs"))
    words = ["--every", "hourly", "--timer", "loop", "--", "report", "own"]
    imgbatch("schedule", "add", "systemd", *words)
    (tmp_path / "theirs/systemd/schedule.json").write_text("")
    assert imgbatch("schedule", "remove", "systemd").returncode == 0
    assert len(list(units.iterdir())) == 2
    monkeypatch.setenv("IMGBATCH_SCHEDULE_FOLDER", str(tmp_path / "schedules"))
    for timer in ("cron", "systemd"):
        done = imgbatch("schedule", "remove", timer)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "table").read_text() == "0 1 * * * backup\n"
    assert list(units.iterdir()) == []
    assert "disable --now imgbatch-systemd.timer" in (tmp_path / "asked").read_text()


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for systemd's program, which refuses the words in a file; returns that file."""
    programs, refused = tmp_path / "programs", tmp_path / "refused"
    programs.mkdir()
    refused.touch()
    text = 'case "$*" in *"$(cat "$REFUSED")"*) [ -s "$REFUSED" ] && exit 1;; esac; echo running'
    (programs / "systemctl").write_text(f"#!/bin/sh\n{text}\n")
    (programs / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("REFUSED", str(refused))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return refused


def test_a_timer_that_systemd_refuses_leaves_no_unit_behind(
    tmp_path: Path, imgbatch: Callable[..., Done], systemctl: Path
) -> None:
    words = ["--every", "hourly", "--timer", "systemd", "--", "report", "own"]
    for asked in ("enable", "daemon-reload"):
        systemctl.write_text(asked)
        done = imgbatch("schedule", "add", "hourly", *words)
        assert (done.returncode, asked in done.stderr) == (33, True)
        assert imgbatch("schedule", "list").stdout == "no schedule\n"
        assert list((tmp_path / "config/systemd/user").iterdir()) == []
    systemctl.write_text("")
    assert imgbatch("schedule", "add", "hourly", *words).returncode == 0


def test_one_name_in_two_folders_is_two_timers(
    tmp_path: Path,
    imgbatch: Callable[..., Done],
    systemctl: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    units = tmp_path / "config/systemd/user"
    for folder, every in (("one", "daily 03:00"), ("two", "daily 04:00")):
        monkeypatch.setenv("IMGBATCH_SCHEDULE_FOLDER", str(tmp_path / folder))
        words = ["--every", every, "--timer", "systemd", "--", "report", "own"]
        done = imgbatch("schedule", "add", "daily", *words)
        assert done.returncode == 0, done.stderr
    assert len(list(units.iterdir())) == 4
    assert imgbatch("schedule", "remove", "daily").returncode == 0
    (service,) = units.glob("*.service")
    assert (service.name, str(tmp_path / "one") in service.read_text()) == (
        "imgbatch-daily.service",
        True,
    )
    monkeypatch.setenv("IMGBATCH_SCHEDULE_FOLDER", str(tmp_path / "one"))
    stamp = tmp_path / "data/systemd/timers/stamp-imgbatch-daily.timer"
    stamp.parent.mkdir(parents=True)
    stamp.touch()
    systemctl.write_text("clean")  # as an older systemd does
    assert imgbatch("schedule", "remove", "daily").returncode == 0
    assert (list(units.iterdir()), stamp.exists()) == ([], False)


def test_a_folder_that_is_relative_is_found_from_wherever_it_is_woken(
    tmp_path: Path,
    imgbatch: Callable[..., Done],
    systemctl: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert systemctl.exists()
    monkeypatch.setenv("IMGBATCH_SCHEDULE_FOLDER", "mine")
    words = ["--every", "hourly", "--timer", "systemd", "--", "report", "own"]
    done = imgbatch("schedule", "add", "hourly", *words)
    assert done.returncode == 0, done.stderr
    (service,) = (tmp_path / "config/systemd/user").glob("*.service")
    assert f"IMGBATCH_SCHEDULE_FOLDER={tmp_path / 'mine'}" in service.read_text()
    monkeypatch.setenv("IMGBATCH_SCHEDULE_FOLDER", str(tmp_path / "mine"))
    monkeypatch.chdir("/")
    assert imgbatch("schedule", "remove", "hourly").returncode == 0
    assert not service.exists()


def test_a_tick_that_passed_and_did_not_begin_is_a_problem(
    tmp_path: Path, imgbatch: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "schedules"
    now = time.time()
    schedule = made.schedule(home, cron="0 * * * *", since=now - 3 * 3600)
    tick = now // 3600 * 3600
    monkeypatch.setattr(time, "time", lambda: tick + 1700)
    with (home / "loop.lock").open("ab") as lock:  # as if a loop were there
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "has not begun" not in imgbatch("schedule", "list").stdout
        monkeypatch.setattr(time, "time", lambda: tick + 1900)
        said = imgbatch("schedule", "list").stdout
    assert "has not begun: `imgbatch schedule run daily --due` catches it up" in said
    assert firing.run_due(home, schedule, now=tick + 1900)
    assert "has not begun" not in imgbatch("schedule", "list").stdout


def test_one_that_is_not_there_names_its_neighbours(imgbatch: Callable[..., Done]) -> None:
    add(imgbatch, "--", "report", "own")
    for words in (["run", "weakly"], ["remove", "weakly"]):
        done = imgbatch("schedule", *words)
        assert done.returncode == 33
        assert "did you mean 'weekly'" in done.stderr
