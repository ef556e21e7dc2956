"""Seconds that sources took somewhere enter; how fast a rented machine would be leaves.

Work is counted in core-seconds per source, in two parts: what a CPU does (fetch, decode, measures),
and what networks do, which a GPU does instead where there is one. A machine that was measured
itself needs no table; all others are scaled by the tables here, and said to be less sure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from imgbatch.cloud.estimate import Speed, Spread
from imgbatch.cores import workers_on

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.cloud import Machine

How = Literal["cloud", "dataset", "sample", "priors"]

# A core of a rented machine is half of a physical one (a hyperthread), and not a new one: work
# takes so much longer there than on the core that a sample was measured on.
CORE = Spread(1.5, 0.3)
# How many such cores one GPU replaces when it runs networks over pictures, at float32. Set by hand
# from published ratios of ResNet-50 on CPUs and GPUs, not measured by us on these machines: hence
# the wide spread. An unknown kind counts as the slowest.
GPU_CORES: Mapping[str, float] = {
    "t4": 40.0,
    "l4": 80.0,
    "a10g": 100.0,
    "l40s": 200.0,
    "v100": 100.0,
    "a100": 250.0,
    "h100": 400.0,
}
GPU = 0.5
# Machines of one type differ by so much: neighbours, heat, which CPU the cloud had.
OWN = 0.08
# A type that was not measured, scaled from one that was.
SCALED = 0.3
# A run against the next one of the same recipe: other hours, other pictures.
AGAIN = 0.12


@dataclass(frozen=True, slots=True)
class Sample:
    """What sources took, and where.

    Attributes:
        how: measured by former runs on rented machines (`cloud`), by former runs of this dataset,
            by a sample run here, or nowhere at all.
        said: the same in words, with how sure it is.
        cpu, model: core-seconds per source; those of networks as if on a CPU.
        error: of these, standard deviation of the logarithm, beside that of the tables.
        scatter: between sources, standard deviation by mean.
        machines: seconds per source of a whole machine, by type, where that was measured.
        written: bytes of the tables per source; None where nobody measured that.
        on: a core of what the other two are measured on; that of a rented machine is 1.
    """

    how: How
    said: str
    cpu: float
    model: float
    error: float
    scatter: float = 1.0
    machines: Mapping[str, float] | None = None
    written: float | None = None
    on: Spread = CORE


def speed(machine: Machine, sample: Sample) -> Speed:
    """Return how fast a machine would be, by what is known."""
    if sample.machines and machine.type in sample.machines:
        measured = sample.machines[machine.type]
        return Speed(Spread(measured, sample.error, OWN), sample.scatter)
    sigma = math.hypot(sample.error, SCALED if sample.machines else sample.on.sigma)
    if sample.model and machine.gpus:
        sigma = math.hypot(sigma, GPU * _model_share(machine, sample))
    return Speed(Spread(seconds(machine, sample), sigma, OWN), sample.scatter)


def seconds(machine: Machine, sample: Sample) -> float:
    """Return the seconds that a machine would take per source, by the tables.

    A thread that has a batch on the GPU waits for it: it decodes nothing then. So a source takes a
    thread both parts, and the machine no less than its GPUs take.
    """
    cpu = sample.cpu * sample.on.median
    if not machine.gpus:
        return (cpu + sample.model * sample.on.median) / machine.cores
    alone = sample.model / cores_of(machine.gpu)
    return max((cpu + alone) / machine.cores, alone / machine.gpus)


def slots(machine: Machine, gpu: float) -> int:
    """Return how many shards a machine does side by side: one per worker process.

    Args:
        machine: any.
        gpu: share of one GPU that a worker takes where there are some.
    """
    if machine.gpus and gpu:
        return max(1, min(machine.cores, int(machine.gpus / gpu + 1e-6)))
    return workers_on(machine.cores, machine.memory_gib * 2**30, networks=bool(gpu))


def cores_of(gpu: str) -> float:
    """Return how many cores a GPU replaces."""
    return GPU_CORES.get(gpu, min(GPU_CORES.values()))


def _model_share(machine: Machine, sample: Sample) -> float:
    alone = sample.model / cores_of(machine.gpu)
    whole = sample.cpu * sample.on.median + alone
    # Bound by its GPU, a machine is as unsure as that is.
    return 1.0 if alone / machine.gpus >= whole / machine.cores else alone / whole
