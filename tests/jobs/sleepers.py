"""A crew on a Ray cluster whose workers sleep: `python -m tests.jobs.sleepers ADDRESS ...`.

Everything is real but the work: each shard leaves a file that names who did it, and on which node.
What the crew tells goes to stdout, a JSON line each.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import ray

from imgbatch import crew
from imgbatch.dataset.plan import Work
from imgbatch.messages import Crewed, Finished, Job, Task, Tick
from imgbatch.records import Shard
from imgbatch.settings import Limits, Recipe
from jobs.cluster import Cluster, quiet
from jobs.fleet import RayFleet
from jobs.places import Need

if TYPE_CHECKING:
    from collections.abc import Iterator


class Sleeper:
    """Sleeps so long per shard as its job's limits say, and writes down where it did."""

    def __init__(self, job: Job, name: str) -> None:
        self.folder = Path(job.dataset)
        self.name = name
        self.seconds = job.limits.commit_seconds
        self.node = ray.get_runtime_context().get_node_id()

    def work(self, task: Task) -> Iterator[Tick | Finished]:
        for shard in (work.shard for work in task.works):
            began = {"pid": os.getpid(), "node": self.node, "at": time.time()}
            path = self.folder / f"{shard.name}.{self.name}"
            path.write_text(json.dumps(began))
            time.sleep(self.seconds)
            yield Tick({"ok": 1}, 1)
            yield Finished(shard, (), {"ok": 1}, 1, 1, self.seconds, {})

    def close(self) -> None: ...


def say(**line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main(address: str, folder: str, count: str, seconds: str, options: str = "{}") -> None:
    told = json.loads(options)
    tasks = [Task((Work(Shard(f"{n:04}", 0), ("sources",)),)) for n in range(int(count))]
    limits = Limits(commit_seconds=float(seconds), source_seconds=told.get("source_seconds", 60))
    recipe = Recipe(analyzers={"image": {}})
    ray.init(address=address, logging_level=30, log_to_driver=False)
    quiet()
    fleet = RayFleet(
        Job("r", folder, recipe, limits),
        Need(told.get("gpu", 0.0), told.get("memory", 0)),
        most=told.get("most", len(tasks)),
        cluster=Cluster(
            local=False, patience=told.get("patience", 60), say=lambda line: say(said=line)
        ),
        make=Sleeper,
    )
    outcomes = 0
    for event in crew.conduct(fleet, tasks):
        match event:
            case Crewed(alive, lost):
                say(alive=alive, lost=lost)
            case Finished():
                say(finished=event.shard.name)
            case Tick():
                outcomes += event.outcomes.get("ok", 0)
    say(outcomes=outcomes)
    ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
