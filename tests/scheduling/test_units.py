"""What systemd is told, held against systemd's own reading of it."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from imgbatch.recurring import cron_of, ticks
from imgbatch.scheduling import units
from tests.scheduling import made

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here"
)


def elapses(text: str, count: int, base: str = "now") -> set[datetime]:
    """When systemd says that a calendar comes next."""
    command = ["systemd-analyze", "calendar", f"--iterations={count}", f"--base-time={base}", text]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    when = re.findall(r"(?:\(in UTC\)|Next elapse|#\d+): \w{3} (\S+) (\S+) UTC", said)
    return {datetime.fromisoformat(f"{day} {clock}+00:00") for day, clock in when}


@needs_analyze
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu"])
@pytest.mark.parametrize(
    "words",
    [
        "Mon 03:00",
        "Fri-Mon 23:59",
        "weekdays 00:00",
        "monthly 31 12:30",
        "hourly :15",
        "*/20 1-3 * * 1-5",
        "0 */6 1,15 2-4 *",
        "0 3 1 * 1",
        "0 3 * * 0,7",
    ],
)
def test_systemd_reads_the_same_ticks(words: str, zone: str) -> None:
    cron, count = cron_of(words), 6
    found: set[datetime] = set()
    for text in units.calendars(cron, zone):
        found |= elapses(text, count)
    expected = [
        tick.astimezone(UTC) for tick in itertools.islice(ticks(cron, zone, time.time()), count)
    ]
    assert sorted(found)[:count] == expected


@needs_analyze
@pytest.mark.parametrize(
    ("cron", "zone", "day"),
    [
        ("30 2 * * 0", "Europe/Berlin", "2027-03-28"),
        ("15 0 * * 0", "America/Havana", "2027-03-14"),
        ("10 2 * * 0", "Australia/Lord_Howe", "2027-10-03"),
        ("10 * * * *", "Europe/Berlin", "2027-10-31"),
    ],
)
def test_ticks_of_an_hour_that_clocks_skip_or_repeat_are_woken(
    tmp_path: Path, cron: str, zone: str, day: str
) -> None:
    begin = datetime.fromisoformat(f"{day} 00:00:00+00:00") - timedelta(hours=14)
    lines = units.timer(made.schedule(tmp_path, cron=cron, timezone=zone)).splitlines()
    calendars = [line.partition("=")[2] for line in lines if line.startswith("OnCalendar=")]
    wakes = sorted(wake for text in calendars for wake in elapses(text, 200, f"{begin:%F %T} UTC"))
    found = [tick.astimezone(UTC) for tick in within(cron, zone, begin, begin + timedelta(days=2))]
    assert found
    for tick in found:
        late = next(wake for wake in wakes if wake >= tick) - tick
        assert late <= timedelta(minutes=15), tick


def within(cron: str, zone: str, begin: datetime, end: datetime) -> Iterator[datetime]:
    return itertools.takewhile(lambda tick: tick < end, ticks(cron, zone, begin.timestamp()))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_what_waits_for_another_run_is_woken_soon_in_any_zone(tmp_path: Path, zone: str) -> None:
    text = units.timer(made.schedule(tmp_path, timezone=zone))
    assert f"OnCalendar={units.QUARTERS}" in text.splitlines()


@needs_analyze
def test_systemd_takes_the_unit_files_whatever_is_in_their_names(tmp_path: Path) -> None:
    folder = tmp_path / 'a "b" 100% $HOME \\ c'
    schedule = made.schedule(folder)
    command = [sys.executable, "-m", "imgbatch", "schedule", "run", "daily", "--due"]
    (tmp_path / "imgbatch-daily.service").write_text(units.service(schedule, folder, command))
    (tmp_path / "imgbatch-daily.timer").write_text(units.timer(schedule))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", "imgbatch-daily.timer"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={
            "SYSTEMD_UNIT_PATH": f"{tmp_path}:",
            "XDG_RUNTIME_DIR": str(tmp_path),
            "PATH": "/usr/bin:/bin",
        },
    )
    ours = [line for line in done.stderr.splitlines() if "imgbatch" in line]
    assert ours == []


NAMESPACE = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR" "$HOME"
chmod 700 "$XDG_RUNTIME_DIR"
{systemd} --user --log-target=null &
manager=$!
trap 'kill $manager; wait $manager || true' EXIT
for _ in $(seq 100); do systemctl --user is-system-running >/dev/null 2>&1 && break; sleep 0.1; done
systemctl --user is-system-running
"""
SYSTEMD = "/usr/lib/systemd/systemd"


def in_namespace(tmp_path: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script beside a systemd of a user, which sees a /run and a home of its own."""
    if not shutil.which("unshare") or not shutil.which(SYSTEMD):
        pytest.skip("no systemd or no unshare here")
    text = NAMESPACE.format(systemd=SYSTEMD)
    environment = {
        "PATH": f"{sys.prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "XDG_RUNTIME_DIR": "/run/user/imgbatch",
        "IMGBATCH_SCHEDULE_FOLDER": str(tmp_path / "schedules"),
    }
    command = ["unshare", "--mount", "--propagation", "private", "bash", "-c"]
    begun = subprocess.run(
        [*command, text], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    if begun.returncode:
        pytest.skip(f"systemd --user does not start here: {begun.stderr.strip()[-200:]}")
    return subprocess.run(
        [*command, text + script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


ADD = """
imgbatch schedule add minutely --every '* * * * *' --timezone Europe/Berlin -- recipe list
systemctl --user list-timers --no-pager
for _ in $(seq 900); do
    grep -q ended "$IMGBATCH_SCHEDULE_FOLDER/minutely/journal.jsonl" 2>/dev/null && break
    sleep 0.1
done
systemctl --user stop imgbatch-minutely.timer
imgbatch schedule list
systemctl --user start imgbatch-minutely.timer
imgbatch schedule list --json
IMGBATCH_SCHEDULE_FOLDER=$HOME/other imgbatch schedule add minutely --every 'monthly 1 3:00' \\
    -- recipe list
systemctl --user list-timers --full --no-pager
echo STAMPS
ls "$HOME/.local/share/systemd/timers"
imgbatch schedule remove minutely
ls "$HOME/.config/systemd/user" "$HOME/.local/share/systemd/timers"
IMGBATCH_SCHEDULE_FOLDER=$HOME/other imgbatch schedule list
IMGBATCH_SCHEDULE_FOLDER=$HOME/other imgbatch schedule remove minutely
find "$HOME/.config/systemd" "$HOME/.local/share/systemd" -name '*minutely*'
"""


@pytest.mark.slow
def test_a_timer_of_systemd_really_fires_and_is_really_gone_when_removed(tmp_path: Path) -> None:
    done = in_namespace(tmp_path, ADD)
    assert done.returncode == 0, done.stderr
    added, _, rest = done.stdout.partition("NEXT ")
    assert "by systemd" in added
    assert "imgbatch-minutely.timer" in rest
    stopped, _, told = rest.partition('{"event": "schedules"')
    assert "no timer of systemd wakes it" in stopped
    last = json.loads('{"event": "schedules"' + told.splitlines()[0])["schedules"][0]["last"]
    assert (last["state"], last["code"]) == ("ok", 0)
    tick = datetime.fromtimestamp(last["tick"], ZoneInfo("Europe/Berlin"))
    assert tick.second == 0
    assert last["began"] - last["tick"] >= 0
    # One of that name in another folder has a timer of its own, which stays.
    both, _, stamps = told.partition("STAMPS")
    there, _, left = stamps.partition("schedule minutely is removed")
    left, _, gone = left.partition("schedule minutely is removed")
    (other,) = set(re.findall(r"imgbatch-minutely\.\w+\.timer", both))
    assert "imgbatch-minutely.timer" in both
    assert "stamp-imgbatch-minutely.timer" in there
    assert "imgbatch-minutely.timer" not in left
    assert other in left
    assert "no timer of systemd wakes it" not in left
    assert gone.strip() == ""
