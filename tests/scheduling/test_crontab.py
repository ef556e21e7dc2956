"""The crontab: what is not ours stays, and cron really wakes where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import ScheduleError
from imgbatch.scheduling import crontab
from imgbatch.scheduling.crontab import BEGIN, END, line, with_line
from tests.scheduling import made

if TYPE_CHECKING:
    from pathlib import Path

THEIRS = "MAILTO=me\n# mine\n0 1 * * * backup\n"
COMMAND = ["/opt/python", "-m", "imgbatch", "schedule", "run", "daily", "--due"]


@pytest.mark.parametrize(
    ("cron", "minutes"),
    [
        ("0 3 * * 1", "0,15,30,45"),
        ("20 3 * * 1", "5,20,35,50"),
        ("*/15 * * * *", "0,15,30,45"),
        ("*/10 * * * *", "0,5,10,15,20,25,30,35,40,45,50,55"),
        ("* * * * *", "*"),
    ],
)
def test_a_line_wakes_at_the_schedules_minutes_and_a_quarter_of_an_hour_off(
    tmp_path: Path, cron: str, minutes: str
) -> None:
    schedule = made.schedule(tmp_path, cron=cron)
    assert line(schedule, tmp_path, COMMAND).startswith(f"{minutes} * * * * IMGBATCH_SCHEDULE_")


@pytest.mark.parametrize("theirs", ["", THEIRS, THEIRS.rstrip("\n")])
def test_what_is_not_ours_stays_to_the_letter(theirs: str) -> None:
    one = with_line(theirs, "s/one", "1 * * * * one")
    two = with_line(one, "s/two", "2 * * * * two")
    assert two.startswith(theirs)
    assert two.endswith(f"{BEGIN}\n1 * * * * one # s/one\n2 * * * * two # s/two\n{END}\n")
    assert with_line(two, "s/two", "3 * * * * two").count("s/two") == 1
    assert with_line(two, "s/two", None) == one
    left = with_line(with_line(two + "5 * * * * later\n", "s/one", None), "s/two", None)
    assert left.splitlines() == [*theirs.splitlines(), "5 * * * * later"]
    assert with_line(theirs, "s/three", None) == theirs


def test_a_block_that_somebody_cut_has_no_line_twice_and_loses_none_of_theirs() -> None:
    two = with_line(with_line(THEIRS, "s/one", "1 * * * * one"), "s/two", "2 * * * * two")
    cut = two.replace(f"{END}\n", "5 * * * * later\n")
    again = with_line(cut, "s/one", "3 * * * * one")
    assert [text for text in again.splitlines() if "one" in text] == ["3 * * * * one # s/one"]
    assert with_line(cut, "s/one", None).splitlines() == [
        *THEIRS.splitlines(),
        BEGIN,
        "2 * * * * two # s/two",
        "5 * * * * later",
    ]
    # A whole block after the cut one begins at its own mark.
    left = with_line(with_line(again, "s/one", None), "s/two", None)
    assert left.splitlines() == [*THEIRS.splitlines(), BEGIN, "5 * * * * later"]
    assert with_line(f"{END}\n{two}", "s/two", None).count("two") == 0


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A crontab of a stand-in for cron's program, which takes nothing while `full` is there."""
    programs, table = tmp_path / "programs", tmp_path / "table"
    programs.mkdir()
    script = '[ "$1" = -l ] && exec cat "$TABLE"; [ -e "$TABLE.full" ] || cat > "$TABLE"'
    (programs / "crontab").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "crontab").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("TABLE", str(table))
    table.write_text(THEIRS)
    return table


def test_a_line_outside_of_the_block_is_there_and_is_removed(tmp_path: Path, table: Path) -> None:
    schedule = made.schedule(tmp_path, timer="cron")
    crontab.place(schedule, tmp_path, COMMAND)
    table.write_text(table.read_text().replace(f"{END}\n", ""))
    assert crontab.there(tmp_path, "daily")
    crontab.take_away(tmp_path, "daily")
    assert table.read_text() == f"{THEIRS}{BEGIN}\n"
    crontab.place(schedule, tmp_path, COMMAND)
    assert table.read_text().count("daily") == 2
    table.write_text(table.read_text().replace("0,15", "# 0,15"))
    assert not crontab.there(tmp_path, "daily")  # somebody turned it off


def test_a_line_that_stays_is_not_said_to_be_removed(tmp_path: Path, table: Path) -> None:
    crontab.place(made.schedule(tmp_path, timer="cron"), tmp_path, COMMAND)
    table.with_name("table.full").touch()
    with pytest.raises(ScheduleError, match="still"):
        crontab.take_away(tmp_path, "daily")


def test_the_shell_of_cron_gets_back_what_was_meant(tmp_path: Path) -> None:
    home = tmp_path / "a 'b' 100% $HOME"
    schedule = made.schedule(home)
    print_it = "import os, sys; print(os.environ['IMGBATCH_SCHEDULE_FOLDER'], *sys.argv[1:])"
    text = line(schedule, home, [sys.executable, "-c", print_it, "50%"]) + " # mark"
    command = text.split(" * * * * ")[1].replace("\\%", "%").replace(">/dev/null", "")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == f"{home} 50%\n"


NAMESPACE = """
set -e
mkdir -p /var/spool/cron/crontabs "$HOME"
mount -t tmpfs tmpfs /var/spool/cron
mkdir -p /var/spool/cron/crontabs
mount -t tmpfs tmpfs /run
echo '0 1 * * * backup' | crontab -
cron -f &
cron=$!
trap 'kill $cron; wait $cron || true' EXIT
imgbatch schedule add minutely --every '* * * * *' --timer cron -- recipe list
crontab -l
for _ in $(seq 900); do
    grep -q ended "$IMGBATCH_SCHEDULE_FOLDER/minutely/journal.jsonl" 2>/dev/null && break
    sleep 0.1
done
imgbatch schedule list
imgbatch schedule remove minutely
crontab -l
"""


@pytest.mark.slow
def test_a_line_of_cron_really_fires_and_is_really_gone_when_removed(tmp_path: Path) -> None:
    if not all(map(shutil.which, ("unshare", "cron", "crontab"))):
        pytest.skip("no cron or no unshare here")
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-c", NAMESPACE],
        env={
            "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "IMGBATCH_SCHEDULE_FOLDER": str(tmp_path / "schedules"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("this user may have no namespace of their own")
    assert done.returncode == 0, done.stderr
    added, _, rest = done.stdout.partition("# begin")
    assert "by cron" in added
    assert "last: ok" in rest
    assert rest.endswith("is removed\n0 1 * * * backup\n")
