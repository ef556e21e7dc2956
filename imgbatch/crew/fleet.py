"""What a crew knows of workers, wherever they are: they come, are given tasks, talk, and go.

A fleet makes them and hears them; `crew.threads` has one of this process, `jobs` brings Ray's. All
of it is asked from one thread, and nothing in it waits but `events`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgbatch.messages import Finished, Task, Tick
    from imgbatch.watch import WorkerLostError


@dataclass(frozen=True, slots=True)
class Up:
    """A worker can be given tasks. Its number is of one process: who comes after it has another."""

    worker: int


@dataclass(frozen=True, slots=True)
class Said:
    """News of a task, known by its slip: the number that it was given out under."""

    slip: int
    said: Tick | Finished


@dataclass(frozen=True, slots=True)
class Done:
    """A task came to its end, its last news said before."""

    slip: int


@dataclass(frozen=True, slots=True)
class Back:
    """A task comes back as it was given out: the worker never began it."""

    slip: int


@dataclass(frozen=True, slots=True)
class Leaving:
    """A worker will go, and ends what it is at: it is to be given nothing more."""

    worker: int


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker is gone with all that it was given.

    Attributes:
        begun: what it had begun of that, by slip; None where nobody knows.
    """

    worker: int
    error: WorkerLostError
    begun: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """Something went wrong that ends the run."""

    error: BaseException


Event = Up | Said | Done | Back | Leaving | Lost | Failed


class Fleet(Protocol):
    """Workers, and how they are talked to."""

    @property
    def deepest(self) -> int:
        """How many tasks a worker takes ahead at most."""

    @property
    def expected(self) -> int:
        """How many workers are up or on their way."""

    def want(self, count: int) -> None:
        """So many workers would have something to do from here."""

    def give(self, worker: int, slips: Mapping[int, Task]) -> None:
        """Hand tasks to a worker that is up."""

    def release(self, worker: int) -> None:
        """Let a leaving worker go: it has nothing in hand."""

    def events(self, seconds: float) -> Sequence[Event]:
        """Return what happened; waits so long for the first of it."""

    def close(self) -> None:
        """Let all workers go, whatever they are at."""
