"""What `status` says of a run at work, for people: each number where it belongs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from imgbatch.cli import live_lines

PROGRESS: dict[str, Any] = {
    "written": datetime(2026, 11, 2, tzinfo=UTC).isoformat(),
    "host": "node-7",
    "pid": 4711,
    "listed": 2000,
    "sources": 500,
    "of": 2000,
    "shards": 5,
    "of_shards": 20,
    "pictures": 1234,
    "pictures_per_second": 12.5,
    "outcomes": {"decode.corrupt": 3, "ok": 497},
    "eta_seconds": 3725.0,
    "bytes": 68_500_000,
    "bytes_per_second": 1_700_000.0,
    "stages": {"decode": 60.0, "fetch": 30.0, "write": 10.0},
    "threads": 120.0,
    "bound": "decoding",
    "workers": {"alive": 3, "lost": 1},
    "cost": 0.75,
    "missed": 2,
}


def going(state: str = "running", **changes: Any) -> list[str]:
    run = {"run": "r1", "state": state, "why": "", "progress": {**PROGRESS, **changes}}
    return live_lines.going(run)


def test_a_run_at_work_says_how_far_how_fast_by_whom_and_for_how_much() -> None:
    head, where, *rest = going()
    assert head == "run r1: running"
    assert where.startswith("  on node-7, process 4711, told ")
    assert rest == [
        "  [#######.......................] 25%: 500 of 2,000 sources, 5 of 20 shards",
        "  1,234 pictures, 12.5 pictures/s, 1:02:05 left",
        "        497  ok",
        "          3  decode.corrupt",
        "  3 workers (1 lost), 68.5 MB read at 1.7 MB/s, cost 0.75 so far",
        "      60.00 s   60%  decode",
        "      30.00 s   30%  fetch",
        "      10.00 s   10%  write",
        "  bound by CPU: decoding; decoding threads busy 75%",
        "  the store failed 2 times to take this",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"eta_seconds": 59.6}, "  1,234 pictures, 12.5 pictures/s, 1:00 left"),
        ({"eta_seconds": None}, "  1,234 pictures, 12.5 pictures/s"),
        ({"sources": 2000}, "  1,234 pictures, 12.5 pictures/s"),
        ({"cost": None}, "  3 workers (1 lost), 68.5 MB read at 1.7 MB/s"),
        (
            {"workers": {"alive": 1, "lost": 0}},
            "  1 worker, 68.5 MB read at 1.7 MB/s, cost 0.75 so far",
        ),
        (
            {"bound": "writing", "threads": 0.0},
            "  bound by writing: the store that parts go to",
        ),
        ({"bound": "quality", "threads": 0.0}, "  bound by CPU: analyzer quality"),
    ],
)
def test_what_is_not_known_or_over_is_not_said(changes: dict[str, Any], said: str) -> None:
    assert said in going(**changes)


def test_a_run_that_only_lists_and_one_that_died_say_so() -> None:
    assert going("listing", of=0)[-1] == "  2,000 sources listed so far"
    assert "  nothing committed is lost: run again to go on" in going("died")
