"""The table of machines and prices that imgbatch ships leaves as machines and prices.

What its figures are worth stands at the top of `prices.toml`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from pydantic import Field

from imgbatch.cloud import Machine, Price
from imgbatch.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

HOURS = 730.0  # of a month, as Google bills


class Family(Settings):
    """Machines that differ in size alone.

    Attributes:
        sku: how Google's price list calls it; gpu_sku: and its GPU, which is billed apart.
        attached: its GPU is no part of the type's own name.
        sizes: cores, memory in GiB and dollars an hour, by size.
        gpus: how many a size has; one where it is not said.
        regions: a multiple of those dollars, and the share of them that spot costs.
    """

    sku: str
    gpu: str = ""
    gpu_sku: str = ""
    gpu_memory_gib: float = 0.0
    attached: bool = False
    sizes: dict[str, tuple[int, float, float]]
    gpus: dict[str, int] = Field(default_factory=dict)
    regions: dict[str, tuple[float, float]]


class _Besides(Settings):
    balanced: dict[str, float]
    address: float


class _Days(Settings):
    on_demand: str
    spot: str


class Table(Settings):
    """What `prices.toml` holds."""

    days: _Days
    besides: _Besides
    families: dict[str, Family]


@dataclass(frozen=True, slots=True)
class Known:
    """A type of machine with its family and what it costs at the table's first region."""

    machine: Machine
    family: Family
    dollars: float


@cache
def table() -> Table:
    """Return the table that imgbatch ships."""
    text = (resources.files("imgbatch.cloud.gcp") / "prices.toml").read_text("utf-8")
    return Table.model_validate(tomllib.loads(text))


@cache
def known() -> dict[str, Known]:
    """Return every type by its name, such as g2-standard-4 or n1-standard-4+t4."""
    found = {}
    for name, family in table().families.items():
        for size, (cores, memory, dollars) in family.sizes.items():
            type_ = f"{name}-{size}" + (f"+{family.gpu}" if family.attached else "")
            gpus = family.gpus.get(size, 1) if family.gpu else 0
            whole = gpus * family.gpu_memory_gib
            machine = Machine(type_, cores, memory, family.gpu, gpus, whole)
            found[type_] = Known(machine, family, dollars)
    return found


def machines(gpus: Sequence[str] = ()) -> list[Machine]:
    """Return the types that imgbatch knows: with these kinds of GPU, or all."""
    every = [each.machine for each in known().values()]
    return [machine for machine in every if not gpus or machine.gpu in gpus]


def price(kind: str, region: str, *, spot: bool) -> Price | None:
    """Return the table's price of a type in a region; None where the table has none."""
    found = known().get(kind)
    if found is None or region not in found.family.regions:
        return None
    factor, share = found.family.regions[region]
    dollars = found.dollars * factor * (share if spot else 1.0)
    day = table().days.spot if spot else table().days.on_demand
    return Price(kind, region, "", spot, round(dollars, 5), day, "table")


def besides(disk_gib: int, region: str) -> float:
    """Return dollars an hour of a balanced disk and a public address."""
    month = table().besides.balanced
    disk = disk_gib * month.get(region, max(month.values())) / HOURS
    return disk + table().besides.address
