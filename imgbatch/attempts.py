"""A call that may fail for a moment enters; what it returns leaves, or its last error.

Decision, 2026-11: twenty lines of our own, not a library: what is worth another attempt is said by
the error tree alone, and nothing else of such a library would be used. Drawback: they are ours.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from imgbatch.errors import ImgbatchError, OutageError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
# Seconds before the second attempt; each further one waits twice as long, up to LONGEST.
FIRST, LONGEST = 0.2, 10.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long something is tried.

    Attributes:
        attempts: in all; an outage is waited for however many it takes.
        seconds: after which no further one is made.
    """

    attempts: int
    seconds: float


def attempt(
    call: Callable[[], T],
    patience: Patience,
    report: Callable[[int, ImgbatchError], None] | None = None,
) -> T:
    """Call until it succeeds, fails for good, or patience ends.

    Args:
        call: what to do; its errors say whether they are `retryable`.
        patience: how often and how long.
        report: told the number of each attempt that is followed by another, and its error.
    """
    start, number = time.monotonic(), 1
    while True:
        try:
            return call()
        except ImgbatchError as error:
            spent = time.monotonic() - start
            # While nobody answers it is time that heals, not one more try.
            worn = number >= patience.attempts and not isinstance(error, OutageError)
            if not error.retryable or worn or spent >= patience.seconds:
                raise
            if report:
                report(number, error)
        pause(number)
        number += 1


def pause(number: int) -> None:
    """Wait after a failed attempt; chance keeps many workers from coming back all at once."""
    longest = min(LONGEST, FIRST * 2 ** (number - 1))
    time.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - no secret
