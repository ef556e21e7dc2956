"""Log lines of many workers are read by time, in pieces, and each of them once."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.observe import lines as module
from imgbatch.observe.lines import Tail, Wanted, merged
from imgbatch.storage.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 11, 21, tzinfo=UTC)


def line(at: float, worker: str, **said: Any) -> str:
    when = (START + timedelta(seconds=at)).isoformat(timespec="microseconds")
    time_ = when.replace("+00:00", "Z")
    return json.dumps({"event": "x", "level": "info", "worker": worker, "timestamp": time_, **said})


def write(folder: Path, name: str, lines: list[str]) -> None:
    data = "".join(each + "\n" for each in lines).encode()
    LocalStore(str(folder)).put(f"logs/r/{name}", data)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """30 workers, each with 3 segments of 40 lines; some have none in the last one."""
    chance = random.Random(1)
    for worker in range(30):
        times = sorted(chance.uniform(0, 1000) for _ in range(120))
        for segment in range(3):
            said = [
                line(
                    at,
                    f"w{worker}",
                    level=chance.choice(["info", "warning", "error"]),
                    source=f"s{chance.randrange(20)}",
                    error=chance.choice(["decode.corrupt", "fetch.failed"]),
                    fill="x" * chance.randrange(400),
                )
                for at in times[segment * 40 : segment * 40 + 40]
            ]
            write(tmp_path, f"w{worker}-ab-{segment:04d}.jsonl", said)
    return tmp_path


class Counting(LocalStore):
    """A folder that counts the bytes that are read of each file."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.read: Counter[str] = Counter()

    def get_range(self, name: str, start: int, length: int) -> bytes:
        data = super().get_range(name, start, length)
        self.read[name] += len(data)
        return data


def all_of(folder: Path) -> list[str]:
    found = [each for file in folder.rglob("*.jsonl") for each in file.read_text().splitlines()]
    return sorted(found, key=lambda each: str(json.loads(each)["timestamp"]))


def test_all_lines_come_by_time_whatever_the_size_of_the_pieces(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAST", 700)
    monkeypatch.setattr(module, "MEMORY", 1)
    store = Counting(str(logs))
    assert [each.text for each in merged(store, "r")] == all_of(logs)
    assert all(count == (logs / name).stat().st_size for name, count in store.read.items())


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted("warning"),
        Wanted(sources=frozenset(["s3"])),
        Wanted("error", frozenset(["s3", "s4"]), ("decode.*",)),
    ],
)
@pytest.mark.parametrize("count", [0, 1, 7, 500])
def test_the_last_lines_are_those_at_the_end_of_all(
    logs: Path, monkeypatch: pytest.MonkeyPatch, wanted: Wanted, count: int
) -> None:
    monkeypatch.setattr(module, "LEAST", 300)
    store = LocalStore(str(logs))
    everything = [each.text for each in merged(store, "r", wanted)]
    found = [each.text for each in Tail(store, "r", wanted).last(count)]
    assert found == everything[len(everything) - min(count, len(everything)) :]
    assert 0 < len(everything) < 3600 or wanted == Wanted()


def test_the_end_of_a_long_log_is_read_alone(logs: Path) -> None:
    store = Counting(str(logs))
    long = [line(2000 + n / 1000, "long", fill="x" * 1000) for n in range(5000)]
    write(logs, "long-ab-0000.jsonl", long)
    assert [each.text for each in Tail(store, "r").last(3)] == long[-3:]
    assert store.read["logs/r/long-ab-0000.jsonl"] < 20_000


def test_a_line_that_is_none_is_told_of_and_ends_nothing(tmp_path: Path) -> None:
    write(tmp_path, "w-ab-0000.jsonl", [line(1, "w"), "{half", line(2, "w")])
    events = Counter(each.said["event"] for each in merged(LocalStore(str(tmp_path)), "r"))
    assert events == {"x": 2, "log.unreadable": 1}


def test_a_run_without_a_log_has_no_lines(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    assert list(merged(store, "r")) == Tail(store, "r").last(5) == []


def follow(
    tail: Tail, over: threading.Event, *, last: int | None = None
) -> tuple[list[str], threading.Thread]:
    found: list[str] = []

    def work() -> None:
        found.extend(each.text for each in tail.follow(over.is_set, last=last, poll=0.01))

    thread = threading.Thread(target=work)
    thread.start()
    return found, thread


def test_what_comes_is_followed_by_time_read_once_and_complete_at_the_end(
    tmp_path: Path,
) -> None:
    store = Counting(str(tmp_path))
    said: dict[str, list[str]] = {name: [] for name in "abc"}
    said["a"] = [line(n / 1000, "a") for n in range(50)]
    write(tmp_path, "a-ab-0000.jsonl", said["a"])
    tail, over = Tail(store, "r"), threading.Event()
    assert len(tail.last(5)) == 5
    before = store.read.total()
    found, thread = follow(tail, over)
    chance = random.Random(2)
    now = (datetime.now(UTC) - START).total_seconds()
    for _ in range(60):
        for name, lines in said.items():
            # Each worker puts its file again, with lines that others have said in between.
            lines += [line(now + at, name) for at in sorted(chance.random() for _ in "xx")]
            write(tmp_path, f"{name}-ab-0000.jsonl", lines)
        now += 1
        time.sleep(0.002)
    over.set()
    thread.join(30)
    assert found == all_of(tmp_path)[50:]
    assert store.read.total() - before == sum(len(each) + 1 for each in found)


def test_a_line_that_comes_late_is_put_where_it_belongs_while_the_window_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW_SECONDS", 1.0)
    now = (datetime.now(UTC) - START).total_seconds()
    tail, over = Tail(LocalStore(str(tmp_path)), "r"), threading.Event()
    found, thread = follow(tail, over)
    write(tmp_path, "a-ab-0000.jsonl", [line(now, "a")])
    time.sleep(0.1)
    write(tmp_path, "b-ab-0000.jsonl", [line(now - 0.2, "b")])
    end = time.monotonic() + 30
    while len(found) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    over.set()
    thread.join(30)
    assert [json.loads(each)["worker"] for each in found] == ["b", "a"]


def test_also_the_last_lines_wait_for_what_others_have_said_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW_SECONDS", 1.0)
    now = (datetime.now(UTC) - START).total_seconds()
    old = [line(now - 60 + n, "a") for n in range(3)]
    write(tmp_path, "a-ab-0000.jsonl", [*old, line(now, "a")])
    tail, over = Tail(LocalStore(str(tmp_path)), "r"), threading.Event()
    found, thread = follow(tail, over, last=3)
    time.sleep(0.1)
    assert found == old[1:], "what is older is there at once"
    write(tmp_path, "b-ab-0000.jsonl", [line(now - 0.2, "b")])
    over.set()
    thread.join(30)
    assert [json.loads(each)["worker"] for each in found] == ["a", "a", "b", "a"]


def test_who_wants_none_of_the_last_lines_gets_none(tmp_path: Path) -> None:
    write(tmp_path, "a-ab-0000.jsonl", [line(1, "a")])
    over = threading.Event()
    over.set()
    found, thread = follow(Tail(LocalStore(str(tmp_path)), "r"), over, last=0)
    thread.join(30)
    assert found == []


def test_no_more_lines_wait_than_memory_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELD", 100)
    now = (datetime.now(UTC) - START).total_seconds()
    tail, over = Tail(LocalStore(str(tmp_path)), "r"), threading.Event()
    write(tmp_path, "a-ab-0000.jsonl", [line(now + n / 1000, "a") for n in range(1000)])
    found, thread = follow(tail, over)
    end = time.monotonic() + 30
    while len(found) < 900:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert len(found) == 900
    over.set()
    thread.join(30)
    assert len(found) == 1000
