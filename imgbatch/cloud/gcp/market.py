"""What machines there are on Google Cloud, what they cost, and how many a project may have.

Prices are Google's own price list, asked once a day and kept, or the table that imgbatch ships
where Google does not answer. Each says which. Spot prices are of a region, not of a zone.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgbatch.cloud import Price
from imgbatch.cloud.gcp import table
from imgbatch.cloud.gcp.asked import dollars, rates
from imgbatch.cloud.gcp.quotas import quotas
from imgbatch.errors import CloudError
from imgbatch.settings import read_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal

    from imgbatch.cloud import Machine, Quota
    from imgbatch.cloud.gcp.asked import Rates
    from imgbatch.cloud.gcp.rest import Google

KEPT = 24 * 3600.0
# After Google did not answer: a head asks every few minutes, and each time costs its patience.
AGAIN = 1800.0
# The same where the table lacks a price: without one a run adds nothing, and ends before long.
SOON = 60.0


class GcpMarket:
    """Implements `imgbatch.cloud.Market`."""

    def __init__(self, google: Google, clock: Callable[[], float] = time.time) -> None:
        self._google = google
        self._clock = clock
        self._silent = -AGAIN

    def machines(self, gpus: Sequence[str] = ()) -> list[Machine]:
        """Return the types that imgbatch knows: with these kinds of GPU, or all."""
        return table.machines(gpus)

    def prices(self, types: Sequence[str], region: str) -> list[Price]:
        """Return spot prices and on-demand prices, the newest that can be had.

        A type that a region does not have, or that imgbatch does not know, is not in the answer.
        """
        wanted = [kind for kind in dict.fromkeys(types) if kind in table.known()]
        if not wanted:
            return []
        shipped = {
            (kind, spot): table.price(kind, region, spot=spot)
            for spot in (True, False)
            for kind in wanted
        }
        known = self._rates(AGAIN if all(shipped.values()) else SOON)
        found = []
        for (kind, spot), of_table in shipped.items():
            cost = dollars(known[0], kind, region, spot=spot) if known else None
            if known and cost is not None:
                found.append(Price(kind, region, "", spot, cost, known[1], known[2]))
            elif of_table:
                found.append(of_table)
        return found

    def lacks(self, types: Sequence[str], region: str) -> list[str]:  # noqa: ARG002 - the protocol's
        """Return none: Google's list tells what is sold, and not what is not."""
        return []

    def besides(self, disk_gib: int, region: str) -> float:
        """Return dollars an hour of a balanced disk and a public address, by the table."""
        return table.besides(disk_gib, region)

    def quotas(self, region: str) -> list[Quota]:
        """Return what bounds the machines that imgbatch knows.

        Raises:
            CloudError: Google refuses or does not answer.
        """
        return quotas(self._google, region)

    def _rates(self, patience: float) -> tuple[Rates, str, Literal["live", "cache"]] | None:
        """Return Google's price list, its day, and how it was come by; None: the table counts.

        Args:
            patience: seconds after a question without an answer until the next one.
        """
        now = self._clock()
        kept = _read()
        if kept and 0 <= now - kept[1] < KEPT:
            return kept[0], _day(kept[1]), "cache"
        if 0 <= now - self._silent < patience:
            return None
        try:
            found = rates(self._google)
        except CloudError:
            # Whoever shows a price shows that it is the table's, and of which day.
            self._silent = now
            return None
        _write(found, now)
        return found, _day(now), "live"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _file() -> Path:
    return Path(read_limits().model_cache).expanduser() / "prices" / "gcp.json"


def _read() -> tuple[Rates, float] | None:
    try:
        raw: Any = json.loads(_file().read_bytes())
        found = {
            (str(family), str(part), str(region), bool(spot)): float(rate)
            for family, part, region, spot, rate in raw["rates"]
        }
        return found, float(raw["at"])
    except (OSError, ValueError, TypeError, KeyError):
        return None  # none yet, or of another version: Google is asked again


def _write(found: Rates, now: float) -> None:
    file = _file()
    told = {"at": now, "rates": [[*key, rate] for key, rate in found.items()]}
    with suppress(OSError):  # a disk that is full or read-only costs a question more next time
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(f".{time.time_ns()}")
        beside.write_text(json.dumps(told), "utf-8")
        beside.replace(file)
