"""The table of machines and prices that imgbatch ships leaves as machines and prices.

What its figures are worth stands at the top of `prices.toml`.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from pydantic import Field

from imgbatch.cloud import Machine, Price
from imgbatch.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

HOURS = 730.0  # of a month, as AWS bills


class _Family(Settings):
    gpu: str = ""
    gpu_memory_gib: float = 0.0
    sizes: dict[str, tuple[int, float, float]]
    # How many a size has; one where it is not said.
    gpus: dict[str, int] = Field(default_factory=dict)
    regions: dict[str, tuple[float, float]]


class _Besides(Settings):
    gp3: dict[str, float]
    address: float


class _Days(Settings):
    on_demand: str
    spot: str


class Table(Settings):
    """What `prices.toml` holds."""

    days: _Days
    besides: _Besides
    families: dict[str, _Family]


@cache
def table() -> Table:
    """Return the table that imgbatch ships."""
    text = (resources.files("imgbatch.cloud.aws") / "prices.toml").read_text("utf-8")
    return Table.model_validate(tomllib.loads(text))


def machines(gpus: Sequence[str] = ()) -> list[Machine]:
    """Return the types that imgbatch knows: with these kinds of GPU, or all."""
    return [
        _machine(name, family, size)
        for name, family in table().families.items()
        if not gpus or family.gpu in gpus
        for size in family.sizes
    ]


def _machine(name: str, family: _Family, size: str) -> Machine:
    cores, memory, _dollars = family.sizes[size]
    gpus = family.gpus.get(size, 1) if family.gpu else 0
    whole = gpus * family.gpu_memory_gib
    return Machine(f"{name}.{size}", cores, memory, family.gpu, gpus, whole)


def price(kind: str, region: str, *, spot: bool) -> Price | None:
    """Return the table's price of a type in a region; None where the table has none."""
    name, _, size = kind.partition(".")
    family = table().families.get(name)
    if family is None or size not in family.sizes or region not in family.regions:
        return None
    factor, share = family.regions[region]
    dollars = family.sizes[size][2] * factor * (share if spot else 1.0)
    day = table().days.spot if spot else table().days.on_demand
    return Price(kind, region, "", spot, round(dollars, 5), day, "table")


def besides(disk_gib: int, region: str) -> float:
    """Return dollars an hour of a disk of gp3 and a public address."""
    known = table().besides.gp3
    month = known.get(region, max(known.values()))
    return disk_gib * month / HOURS + table().besides.address
