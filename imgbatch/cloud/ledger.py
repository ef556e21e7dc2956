"""What machines cost: intervals of a machine's life, each with the price that held then.

The head writes a run's ledger to `control/runs/<run>/ledger.jsonl`, one line per interval; a
machine whose spot price changes gets a new one. Sums are exact to the second, whatever the bill of
the cloud rounds to.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from imgbatch.errors import SettingsError
from imgbatch.settings import Settings, check

if TYPE_CHECKING:
    from collections.abc import Iterable

HOUR = 3600.0


class Line(Settings):
    """An interval of a machine's life at one price.

    Attributes:
        start, end: seconds since 1970 by the cloud's clock; end is None while it goes on.
        dollars: an hour of the machine itself.
        besides: an hour of its disk and address.
        priced: where the price is from; see `cloud.Price`.
    """

    machine: str
    role: Literal["head", "worker"]
    type: str
    zone: str
    spot: bool
    start: float
    end: float | None = None
    dollars: float = Field(ge=0)
    besides: float = Field(ge=0)
    priced: Literal["live", "cache", "table"]

    def cost(self, now: float) -> float:
        """Return the dollars of this interval, up to now where it goes on."""
        seconds = (self.end if self.end is not None else now) - self.start
        return max(0.0, seconds) / HOUR * (self.dollars + self.besides)


def spent(lines: Iterable[Line], now: float) -> float:
    """Return the dollars of all intervals, up to now where they go on."""
    return sum(line.cost(now) for line in lines)


def per_hour(lines: Iterable[Line]) -> float:
    """Return what an hour costs as it stands: of the intervals that go on."""
    return sum(line.dollars + line.besides for line in lines if line.end is None)


def write(lines: Iterable[Line]) -> bytes:
    """Return a ledger as the bytes of its object."""
    return "".join(line.model_dump_json() + "\n" for line in lines).encode()


def read(data: bytes) -> list[Line]:
    """Return the lines of a ledger.

    Raises:
        SettingsError: one is not as `write` makes it.
    """
    return [_line(line) for line in data.splitlines()]


def _line(raw: bytes) -> Line:
    try:
        told = json.loads(raw)
    except ValueError as error:
        raise SettingsError(f"ledger: {raw[:80]!r} is no JSON: {error}") from error
    return check(Line, told, where="ledger")
