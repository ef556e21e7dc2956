"""Machines and what a worker needs enter; how many workers each machine has room for leaves.

Decision, 2026-11: we say which machine each worker is on, and Ray only starts it there. Ray would
put a worker of one core on a machine of four, and then have no room for those of two; and a total
of cores divided by a number of workers gives shares that no machine has. Drawback: what others run
on the same cluster is not looked at; a worker that finds no room waits until there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgbatch import analyzers
from imgbatch.cores import workers_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imgbatch.settings import Recipe

EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class Need:
    """What one worker takes of a machine, beside its cores.

    Attributes:
        gpu: share of one GPU.
        memory: bytes.
    """

    gpu: float = 0.0
    memory: int = 0

    def __str__(self) -> str:
        words = [f"{self.gpu:g} GPU"] if self.gpu else []
        words += [f"{self.memory / 2**30:.1f} GiB of memory"] if self.memory else []
        return ", ".join(["a core", *words])


@dataclass(frozen=True, slots=True)
class Machine:
    """A node of the cluster, by what it has in all."""

    node: str
    cores: int
    gpus: float = 0.0
    memory: float = 0.0

    def room(self, need: Need) -> int:
        """Return how many workers fit."""
        if not self.cores:
            return 0
        networks = bool(need.memory)
        count = workers_on(self.cores, 0 if networks else self.memory, networks=networks)
        if need.gpu:
            count = min(self.cores, int(self.gpus / need.gpu + EPSILON))
        if need.memory:
            count = min(count, int(self.memory // need.memory))
        return count


def need_of(recipe: Recipe, *, gpus: bool = False) -> Need:
    """Return what a worker needs that has all analyzers of a recipe.

    Args:
        recipe: its analyzers.
        gpus: whether those that can do without a GPU get their share of one too.
    """
    needs = analyzers.needs_of_all(recipe.analyzers)
    # Shares of one GPU: what asks for more than all of it in sum still takes turns there.
    gpu = min(1.0, sum(need.gpu or need.gpu_if_any * gpus for need in needs))
    return Need(gpu, sum(need.memory for need in needs))


def placed(machines: Iterable[Machine], need: Need, most: int) -> dict[str, list[int]]:
    """Return the workers that each machine is to have: the cores of each, by node.

    Args:
        machines: that can be used.
        need: of one worker.
        most: no more than so many are dealt out, one per machine first, the largest first. The
            fewer a machine has, the more cores each.
    """
    largest = sorted(machines, key=lambda machine: (-machine.cores, machine.node))
    room = {machine.node: machine.room(need) for machine in largest}
    counts = dict.fromkeys(room, 0)
    for turn in range(max(room.values(), default=0)):
        more = [node for node, fits in room.items() if fits > turn][:most]
        counts |= dict.fromkeys(more, turn + 1)
        most -= len(more)
    return {m.node: _split(m.cores, counts[m.node]) for m in largest if counts[m.node]}


def _split(cores: int, count: int) -> list[int]:
    return [cores // count + (number < cores % count) for number in range(count)]


def told(machines: Sequence[Machine]) -> str:
    """Return in words what a cluster has to run workers on."""
    kinds: dict[str, int] = {}
    for machine in machines:
        if not machine.cores:
            continue  # a head that only heads
        words = [f"{machine.cores} cores"]
        words += [f"{machine.gpus:g} GPU"] if machine.gpus else []
        words += [f"{machine.memory / 2**30:.1f} GiB"]
        kind = " ".join(words)
        kinds[kind] = kinds.get(kind, 0) + 1
    return ", ".join(f"{count} x ({kind})" for kind, count in kinds.items()) or "no machine for it"
