"""What machines there are on AWS, what they cost, and how many an account may have.

Prices are asked of AWS, kept for a day (spot prices for an hour: a head prices each new machine by
them), and taken from the table that imgbatch ships where AWS does not answer. Each says which.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgbatch.cloud import Price
from imgbatch.cloud.aws import table
from imgbatch.cloud.aws.asked import on_demand_prices, spot_prices
from imgbatch.cloud.aws.quotas import quotas
from imgbatch.errors import CloudError
from imgbatch.settings import read_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgbatch.cloud import Machine, Quota
    from imgbatch.cloud.aws.clients import Clients

KEPT = {False: 24 * 3600.0, True: 3600.0}
# A type, when its prices were asked for, and the prices; none: the region does not have it.
Kept = dict[str, tuple[float, list[Price]]]


class AwsMarket:
    """Implements `imgbatch.cloud.Market`."""

    def __init__(self, clients: Clients, clock: Callable[[], float] = time.time) -> None:
        self._clients = clients
        self._clock = clock
        # What AWS told us, by region and kind of price: beside the file, which may not be written.
        self._told: dict[tuple[str, bool], Kept] = {}

    def machines(self, gpus: Sequence[str] = ()) -> list[Machine]:
        """Return the types that imgbatch knows: with these kinds of GPU, or all."""
        return table.machines(gpus)

    def prices(self, types: Sequence[str], region: str) -> list[Price]:
        """Return spot prices by zone and on-demand prices, the newest that can be had.

        A type that a region does not have is not in the answer.
        """
        wanted = list(dict.fromkeys(types))
        return [
            price for spot in (True, False) for price in self._prices(wanted, region, spot=spot)
        ]

    def lacks(self, types: Sequence[str], region: str) -> list[str]:
        """Return those of some types of which AWS told `prices` that it has no price."""
        kept = [self._known(region, spot=spot) for spot in (True, False)]
        return [kind for kind in types if all(told.get(kind) == [] for told in kept)]

    def besides(self, disk_gib: int, region: str) -> float:
        """Return dollars an hour of a disk of gp3 and a public address, by the table."""
        return table.besides(disk_gib, region)

    def quotas(self, region: str) -> list[Quota]:
        """Return what bounds the machines that imgbatch knows.

        Raises:
            CloudError: AWS refuses or does not answer.
        """
        return quotas(self._clients, region)

    def _prices(self, types: list[str], region: str, *, spot: bool) -> list[Price]:
        known = self._known(region, spot=spot)
        found = [price for kind in types for price in known.get(kind, [])]
        lacking = [kind for kind in types if kind not in known]
        if not lacking:
            return found
        ask = spot_prices if spot else on_demand_prices
        try:
            live = ask(self._clients, lacking, region)
        except CloudError:
            # Whoever shows a price shows that it is the table's, and of which day.
            shipped = (table.price(kind, region, spot=spot) for kind in lacking)
            return found + [price for price in shipped if price]
        now = self._clock()
        asked = {kind: (now, [p for p in live if p.type == kind]) for kind in lacking}
        self._told.setdefault((region, spot), {}).update(
            (kind, (at, [replace(price, source="cache") for price in prices]))
            for kind, (at, prices) in asked.items()
        )
        _write(region, {**_read(region, spot=spot), **asked}, spot=spot)
        return found + live

    def _known(self, region: str, *, spot: bool) -> dict[str, list[Price]]:
        """Return what AWS told of types not long ago; of some, that it has none."""
        now = self._clock()
        return {
            kind: found
            for kept in (_read(region, spot=spot), self._told.get((region, spot), {}))
            for kind, (at, found) in kept.items()
            if 0 <= now - at < KEPT[spot]
        }


def _file(region: str, *, spot: bool) -> Path:
    folder = Path(read_limits().model_cache).expanduser() / "prices"
    return folder / f"aws-{region}-{'spot' if spot else 'on-demand'}.json"


def _read(region: str, *, spot: bool) -> Kept:
    try:
        raw: Any = json.loads(_file(region, spot=spot).read_bytes())
        return {
            kind: (at, [replace(Price(**price), source="cache") for price in prices])
            for kind, (at, prices) in raw.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # none yet, or of another version: AWS is asked again


def _write(region: str, kept: Kept, *, spot: bool) -> None:
    file = _file(region, spot=spot)
    told = {kind: (at, [asdict(price) for price in prices]) for kind, (at, prices) in kept.items()}
    with suppress(OSError):  # a disk that is full or read-only costs a question more next time
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(f".{time.time_ns()}")
        beside.write_text(json.dumps(told), "utf-8")
        beside.replace(file)
