"""The gate: the cap holds, the order is kept, nobody waits for ever."""

from __future__ import annotations

import random
import threading
import time

import pytest

from imgbatch.media.gate import ByteGate

SOON = 10


class InFlight:
    """Counts the bytes that threads hold at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now: list[int] = []
        self.most = 0

    def enter(self, size: int) -> None:
        with self.lock:
            self.now.append(size)
            self.most = max(self.most, sum(self.now))

    def leave(self, size: int) -> None:
        with self.lock:
            self.now.remove(size)


def test_the_cap_holds_over_many_threads_and_all_get_through() -> None:
    gate, seen = ByteGate(100), InFlight()
    sizes = random.Random(3).choices([0, 1, 10, 40, 99, 100], k=400)
    done = []

    def work(mine: list[int]) -> None:
        for size in mine:
            with gate.hold(size):
                seen.enter(size)
                time.sleep(0)
                seen.leave(size)
        done.append(len(mine))

    threads = [threading.Thread(target=work, args=(sizes[n::8],), daemon=True) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert sum(done) == len(sizes)
    assert seen.most <= 100


def waiting(gate: ByteGate, count: int) -> bool:
    """Wait until that many threads queue."""
    end = time.monotonic() + SOON
    while len(gate._waiting) != count and time.monotonic() < end:
        time.sleep(0.001)
    return len(gate._waiting) == count


def test_more_than_the_cap_runs_alone() -> None:
    gate = ByteGate(10)
    entered, leave = threading.Event(), threading.Event()

    def large() -> None:
        with gate.hold(1000):
            entered.set()
            leave.wait(SOON)

    small = gate.hold(1)
    small.__enter__()
    thread = threading.Thread(target=large, daemon=True)
    thread.start()
    assert waiting(gate, 1)
    assert not entered.is_set()
    small.__exit__(None, None, None)
    assert entered.wait(SOON)
    late = threading.Thread(target=lambda: gate.hold(1).__enter__(), daemon=True)
    late.start()
    assert waiting(gate, 1), "one byte must not fit beside a picture above the cap"
    leave.set()
    thread.join(SOON)
    late.join(SOON)
    assert not late.is_alive()


def test_a_large_request_is_not_overtaken_by_small_ones() -> None:
    gate, order = ByteGate(10), []

    def ask(size: int) -> None:
        with gate.hold(size):
            order.append(size)

    with gate.hold(5):
        threads = []
        for size in (10, 1, 2):
            thread = threading.Thread(target=ask, args=(size,), daemon=True)
            thread.start()
            threads.append(thread)
            assert waiting(gate, len(threads))
        assert order == [], "five more bytes are free, and the first in the queue wants ten"
    for thread in threads:
        thread.join(SOON)
    assert order[0] == 10
    assert sorted(order) == [1, 2, 10]


def test_no_bytes_never_wait() -> None:
    gate = ByteGate(10)
    with gate.hold(10):
        queued = threading.Thread(target=lambda: gate.hold(10).__enter__(), daemon=True)
        queued.start()
        assert waiting(gate, 1)
        with gate.hold(0):
            pass
    queued.join(SOON)
    assert not queued.is_alive()


def test_an_error_inside_gives_the_bytes_back() -> None:
    gate = ByteGate(10)
    with pytest.raises(KeyError), gate.hold(10):
        raise KeyError
    with gate.hold(10):
        pass


def test_an_interrupt_while_waiting_leaves_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = ByteGate(10)

    def interrupted(_: threading.Event) -> bool:
        raise KeyboardInterrupt

    with gate.hold(10):
        monkeypatch.setattr(threading.Event, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt), gate.hold(5):
            pytest.fail("must not be let through")
        monkeypatch.undo()
        assert not gate._waiting
    with gate.hold(10):
        pass


def test_a_gate_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ByteGate(0)
