"""What machines cost: intervals of a machine's life, each with the price that held then.

The head writes a run's ledger to `control/runs/<run>/ledger.jsonl`, one line per interval; a
machine whose spot price changes gets a new one. Sums are exact to the second, whatever the bill of
the cloud rounds to. A last line tells of traffic, where some is paid for.

A machine whose end nobody saw counts until it was last seen. What it may have cost after that is
told apart, and counts towards a budget.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from imgbatch.errors import SettingsError
from imgbatch.settings import Settings, check

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LEDGER = "ledger.jsonl"
HOUR = 3600.0
GB = 1e9
TRAFFIC = "traffic"


class Line(Settings):
    """An interval of a machine's life at one price.

    Attributes:
        start, end: seconds since 1970 by the cloud's clock; end is None while it goes on.
        dollars: an hour of the machine itself.
        besides: an hour of its disk and address.
        priced: where the price is from; see `cloud.Price`. unknown: nobody had one, and `dollars`
            are more than it can have been.
        unsure: seconds after `end` that the machine may have lived at most: nobody saw when it
            ended, and `end` is when it was last seen.
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
    priced: Literal["live", "cache", "table", "unknown"]
    unsure: float = Field(default=0.0, ge=0)

    def cost(self, now: float) -> float:
        """Return the dollars of this interval, up to now where it goes on."""
        seconds = (self.end if self.end is not None else now) - self.start
        return max(0.0, seconds) / HOUR * (self.dollars + self.besides)

    @property
    def unseen(self) -> float:
        """Dollars that it may have cost besides, after it was last seen."""
        return self.unsure / HOUR * (self.dollars + self.besides)


class Tariff(Settings):
    """What a run's traffic costs, in dollars; 0: nothing, or nobody knows.

    Attributes:
        read: per GB of INPUT.
        written: per GB into DATASET.
        request: per source that is read.
    """

    read: float = Field(default=0.0, ge=0)
    written: float = Field(default=0.0, ge=0)
    request: float = Field(default=0.0, ge=0)

    def cost(self, *, read: int, written: int, requests: int) -> float:
        """Return the dollars of so many bytes and requests."""
        return (read * self.read + written * self.written) / GB + requests * self.request


class Traffic(Settings):
    """What crossed in a run so far: what was read twice counts twice.

    Attributes:
        tariff: what it costs.
        read: bytes of INPUT.
        written: bytes into DATASET.
        requests: sources that were read.
    """

    tariff: Tariff = Tariff()
    read: int = 0
    written: int = 0
    requests: int = 0

    @property
    def dollars(self) -> float:
        """What it cost."""
        return self.tariff.cost(read=self.read, written=self.written, requests=self.requests)


def spent(lines: Iterable[Line], now: float) -> float:
    """Return the dollars of all intervals, up to now where they go on."""
    return sum(line.cost(now) for line in lines)


def at_most(lines: Iterable[Line], now: float) -> float:
    """Return the same with what nobody saw: what a budget goes by."""
    return sum(line.cost(now) + line.unseen for line in lines)


def ended(lines: Iterable[Line], ends: Mapping[str, float]) -> list[Line]:
    """Return lines in which no machine goes beyond its end.

    One may have been begun or closed after that: by a head whose clock is fast.

    Args:
        lines: of any machines.
        ends: of machines that are gone; seconds since 1970.
    """
    return [_until(line, ends[line.machine]) if line.machine in ends else line for line in lines]


def _until(line: Line, end: float) -> Line:
    if line.end is not None and line.end <= end:
        return line
    known = {"start": min(line.start, end), "end": end, "unsure": 0.0}
    return line.model_copy(update=known)


def set_back(line: Line, now: float) -> Line:
    """Return a line without moments that are yet to come: the clock that told them was fast."""
    end = None if line.end is None else min(line.end, now)
    return line.model_copy(update={"start": min(line.start, now), "end": end})


def last_seen(line: Line, seen: float, until: float) -> Line:
    """Return an interval that goes on, ended where its machine was last seen.

    Args:
        line: of a machine that is gone, and whose end nobody saw.
        seen: when somebody looked last; seconds since 1970.
        until: when it was gone at the latest.
    """
    end = max(line.start, min(seen, until))
    return line.model_copy(update={"end": end, "unsure": max(0.0, until - end)})


def per_hour(lines: Iterable[Line]) -> float:
    """Return what an hour costs as it stands: of the intervals that go on."""
    return sum(line.dollars + line.besides for line in lines if line.end is None)


def write(lines: Iterable[Line], traffic: Traffic | None = None) -> bytes:
    """Return a ledger as the bytes of its object."""
    # What is sure is not said of each line: a terminal of before reads such a ledger too.
    told = [line.model_dump_json(exclude=None if line.unsure else {"unsure"}) for line in lines]
    if traffic and traffic.dollars:
        told.append(json.dumps({TRAFFIC: traffic.model_dump()}))
    return "".join(line + "\n" for line in told).encode()


def read(data: bytes) -> list[Line]:
    """Return what a ledger says of machines.

    Raises:
        SettingsError: a line is not as `write` makes it.
    """
    return [check(Line, told, where="ledger") for told in _told(data) if TRAFFIC not in told]


def read_traffic(data: bytes) -> Traffic:
    """Return what a ledger says of traffic.

    Raises:
        SettingsError: a line is not as `write` makes it.
    """
    found = [told[TRAFFIC] for told in _told(data) if TRAFFIC in told]
    return check(Traffic, found[-1], where="ledger") if found else Traffic()


def _told(data: bytes) -> Iterator[dict[str, Any]]:
    for raw in data.splitlines():
        try:
            told = json.loads(raw)
        except ValueError as error:
            raise SettingsError(f"ledger: {raw[:80]!r} is no JSON: {error}") from error
        if not isinstance(told, dict):
            raise SettingsError(f"ledger: {raw[:80]!r} is no line of one")
        yield told
