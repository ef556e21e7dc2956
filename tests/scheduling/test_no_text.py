"""What a notifier, a command, or cron prints need be no text in UTF-8, and stops no schedule."""

from __future__ import annotations

import io
import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from imgbatch.scheduling import crontab, firing, journal
from imgbatch.scheduling.loop import PAUSE, TRIES, loop
from tests.scheduling import made

if TYPE_CHECKING:
    from pathlib import Path

LATIN = r"printf 'caf\351' >&2"


class _OverError(Exception):
    pass


def events(folder: Path) -> list[str]:
    return [line["event"] for line in journal.lines(folder / "daily")]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"{LATIN}; exit 1", ["--notify-command ended with 1: caf\ufffd"]),
        (f"{LATIN} 2>&1", []),
    ],
)
def test_a_failure_is_on_record_whatever_a_notifier_prints(
    tmp_path: Path, command: str, said: list[str]
) -> None:
    schedule, now = made.schedule(tmp_path, notify_command=command, words=made.BADLY), time.time()
    record = firing.run_due(tmp_path, schedule, now=now)
    assert record is not None
    assert (record["state"], record["notice_failed"]) == ("failed", said)
    assert events(tmp_path) == ["began", "ended"]
    assert firing.run_due(tmp_path, schedule, now=now + made.DAY) is not None


@pytest.mark.parametrize(
    "more",
    [
        {"notify_command": f"{LATIN}; exit 1"},
        {"notify_url": f"https://{'a' * 70}/hook"},  # no name of a host is that long
    ],
)
def test_a_loop_goes_on_though_nobody_can_be_told(tmp_path: Path, more: dict[str, str]) -> None:
    made.schedule(tmp_path, **more)
    times = iter(time.time() + PAUSE * turn for turn in range(TRIES + 2))

    def clock() -> float:
        now = next(times, None)
        if now is None:
            raise _OverError
        return now

    # Whatever is started ends before it notes anything: in the end the tick is given up.
    with pytest.raises(_OverError):
        loop(
            tmp_path,
            start=lambda _: lambda: 1,
            say=lambda _: None,
            clock=clock,
            sleep=lambda _: None,
        )
    (line,) = journal.lines(tmp_path / "daily")
    assert (line["event"], line["state"], len(line["notice_failed"])) == ("ended", "failed", 1)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_a_terminal_has_no_sign_for_ends_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nprintf 'caf\\351 caf\\303\\251\\n'\n")
    program.chmod(0o755)
    screen = io.TextIOWrapper(io.BytesIO(), encoding)
    schedule = made.schedule(tmp_path)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "executable", str(program))
    record = firing.run_now(tmp_path, schedule)
    assert (record["state"], record["code"]) == ("ok", 0)
    screen.seek(0)
    assert screen.read().startswith("caf")


def test_a_crontab_in_another_encoding_keeps_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, table = tmp_path / "programs", tmp_path / "table"
    programs.mkdir()
    (programs / "crontab").write_text(
        f'#!/bin/sh\n[ "$1" = -l ] && exec cat "{table}"; cat > "{table}"\n'
    )
    (programs / "crontab").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    theirs = b"# caf\xe9 de la m\xe8re\r\n0 1 * * * backup\n"
    table.write_bytes(theirs)
    folder = tmp_path / os.fsdecode(b"f\xe9lder")
    crontab.place(made.schedule(folder, timer="cron"), folder, ["imgbatch"])
    assert crontab.there(folder, "daily")
    assert table.read_bytes().startswith(theirs)
    assert b"f\xe9lder" in table.read_bytes()
    crontab.take_away(folder, "daily")
    assert table.read_bytes() == theirs
