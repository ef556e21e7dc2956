"""How long is waited between attempts: longer each time, up to a bound, and by chance."""

from __future__ import annotations

import random

import pytest

from imgbatch import attempts
from imgbatch.attempts import FIRST, LONGEST, Patience, attempt
from imgbatch.errors import ImgbatchError, StorageError

MANY = 12


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(attempts, "time", made)
    return made


def refused() -> None:
    raise StorageError("connection reset")


def paused(clock: Clock, seed: int, patience: Patience) -> list[float]:
    """Return the pauses of what fails until patience ends."""
    random.seed(seed)
    clock.slept = []
    with pytest.raises(StorageError):
        attempt(refused, patience)
    return clock.slept


def test_each_pause_is_twice_as_long_as_the_last_up_to_a_bound(clock: Clock) -> None:
    slept = paused(clock, 1, Patience(MANY, 1e9))
    wholes = [FIRST * 2**number for number in range(MANY - 1)]
    assert len(slept) == MANY - 1
    assert wholes[-1] > LONGEST
    for seconds, whole in zip(slept, wholes, strict=True):
        longest = min(LONGEST, whole)
        assert longest / 2 <= seconds <= longest


def test_chance_keeps_two_workers_apart(clock: Clock) -> None:
    first, second = (paused(clock, seed, Patience(MANY, 1e9)) for seed in (1, 2))
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_no_attempt_is_made_after_the_seconds_of_patience(clock: Clock) -> None:
    slept = paused(clock, 1, Patience(MANY, 1.0))
    assert sum(slept[:-1]) < 1.0 <= sum(slept)


def test_what_comes_right_is_returned_and_each_failure_before_is_told(clock: Clock) -> None:
    told: list[tuple[int, str]] = []

    def third() -> str:
        if len(clock.slept) < 2:
            refused()
        return "whole"

    def report(number: int, error: ImgbatchError) -> None:
        told.append((number, str(error)))

    assert attempt(third, Patience(MANY, 1e9), report) == "whole"
    assert told == [(1, "connection reset"), (2, "connection reset")]
