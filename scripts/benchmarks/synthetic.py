"""A step, a dataset and a count in; imgbatch run over so many sources that lie nowhere.

The listing is made up as it is asked for and never held. All else, from comparing to committing, is
imgbatch's own. Run as a process of its own, as `synthetic STEP DATASET COUNT [RECIPE]`, STEP one of

    pretend   a first run; its engine hands back parts that nobody wrote
    freeze    a first run that is cut off when all is planned
    fill      the next: its engine writes one row per source into two tables; vectors of 512
              numbers where a table has embeddings
    again     a run with nothing to do
    verify    reads every part and checks it
    plan      what `imgbatch plan` says of the next step; writes nothing
    delta     every 100th source has changed: 10 of each shard; cut off when all is planned
    forget    every 100th source is forgotten, and one post that was never here
    forgotten    what `imgbatch verify --forgotten` does, with the same names
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgbatch import planned, sources
from imgbatch import run as driver
from imgbatch.dataset import MANIFEST, SOURCES, Dataset, Part, TableSpec
from imgbatch.dataset.forget import forget
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.given import Given, given, look_up
from imgbatch.dataset.parts import write_part
from imgbatch.dataset.posts_forgotten import look_up as look_up_posts
from imgbatch.dataset.shards import read_rows
from imgbatch.dataset.verify import verify
from imgbatch.messages import Finished
from imgbatch.records import Source
from imgbatch.settings import Limits
from imgbatch.summary import Request
from imgbatch.tables import table_specs
from imgbatch.terminal import process
from scripts.benchmarks.silent import Silent

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from imgbatch.messages import Job, Task, Tick
    from imgbatch.records import Shard

# It lists nothing: the name only has to be canonical.
INPUT = "file:///synthetic"
RECIPE = "[analyzers.image]"
PER_FOLDER = 1000
SIZE = 137_000
CHANGED = 100
# Not those that have changed, and as many; a post besides, so that its id is looked for, too.
FORGOTTEN, FIRST = 100, 1
POST = ("x", "1500000000000000001")
KINDS, NUMBERS = 50, 512


def main(step: str, dataset: str, count: int, recipe: str = RECIPE) -> None:
    """Do one step; exits with a message when something else came out than was to come out."""
    if step == "verify":
        found = verify(Dataset.open(dataset))
        _check(found.sources == found.ok == count and not found.problems, found)
    elif step == "forget":
        _forget(dataset, count)
    elif step == "forgotten":
        proof = verify_forgotten(Dataset.open(dataset), _named(count), of_posts=[POST])
        _check(proof.tombstones == len(_named(count)) + 1 and not proof.problems, proof)
    else:
        _run(step, dataset, count, recipe)


def _check(right: bool, found: object) -> None:  # noqa: FBT001 - reads as a statement
    if not right:
        raise SystemExit(f"bench: something else was to come out: {str(found)[:1000]}")


def _address(index: int) -> str:
    folder, file = divmod(index, PER_FOLDER)
    return f"{INPUT}/{folder:06d}/{file:03d}.jpg"


def _run(step: str, dataset: str, count: int, recipe: str) -> None:
    suffixes = {0: "-changed"} if step in {"plan", "delta"} else {}

    def listing(*_: Any, **__: Any) -> Iterator[Source]:
        for index in range(count):
            version = f"{SIZE}-{index:x}{suffixes.get(index % CHANGED, '')}"
            yield Source(_address(index), version=version, size=SIZE)

    sources.open_input = listing
    engines = {"pretend": _pretend, "fill": _fill, "again": _refuse}
    request = Request(INPUT, dataset, recipe, "synthetic")
    if step == "plan":
        found = planned.plan(request, Limits(), Silent())
        _check((found.changed, found.sources, found.new) == (count // CHANGED,) * 2 + (0,), found)
        return
    summary = driver.run(request, Limits(), engines.get(step, _leave), Silent())
    if step == "delta":
        _check((summary.changed, summary.new) == (count // CHANGED, 0), summary)
    if step == "again":
        _check((summary.listed, summary.shards) == (count, 0), summary)


def _named(count: int) -> list[Given]:
    return [given(_address(index)) for index in range(FIRST, count, FORGOTTEN)]


def _forget(url: str, count: int) -> None:
    dataset, named = Dataset.open(url), _named(count)
    known = look_up(dataset, named)
    audit = forget(dataset, known, of_posts=look_up_posts(dataset, [POST]))
    _check(audit.rows[MANIFEST] == audit.rows[SOURCES] == len(named), audit)


def _shards(tasks: Sequence[Task]) -> Iterator[Shard]:
    return (work.shard for task in tasks for work in task.works)


def _finished(shard: Shard, parts: Sequence[Part]) -> Finished:
    ok = {"ok": PER_FOLDER}
    counts = (("ok", None, PER_FOLDER),)
    return Finished(shard, tuple(parts), ok, PER_FOLDER, SIZE, 0.0, {}, counts=counts)


def _leave(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:  # noqa: ARG001 - an engine's arguments
    """Do nothing, as if the run ended here."""
    yield from ()


def _refuse(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
    """Fail: nothing is left to do for an engine."""
    raise SystemExit(f"bench: the rerun of {job.dataset} has {len(tasks)} tasks")


def _pretend(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
    """Hand every shard back as done, with parts that nobody wrote."""
    specs = table_specs(job.recipe)
    for shard in _shards(tasks):
        names = [(spec.path, f"{spec.stem(shard.label)}-{0:08}.parquet") for spec in specs]
        yield _finished(shard, [Part(t, p, SIZE, PER_FOLDER, "0" * 64) for t, p in names])


def _fill(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
    """Write one row per source into each table, without looking at any."""
    dataset, specs = Dataset.open(job.dataset), table_specs(job.recipe)
    for shard in _shards(tasks):
        listed = read_rows(dataset, shard.part)
        parts = [write_part(dataset.store, s, shard.label, _rows(s, listed)) for s in specs]
        yield _finished(shard, parts)


def _rows(spec: TableSpec, listed: pa.Table) -> pa.Table:
    count = listed.num_rows
    said = {"kind": "image", "status": "ok", "n_pictures": 1, "frame": 0, "size": SIZE}
    known = {name: listed[name] for name in ("source_id", "version", "address")}
    if spec.name != SOURCES:
        known["picture_id"] = pc.binary_join_element_wise(listed["source_id"], "0", "-")
    if "embedding" in spec.schema.names:
        known["embedding"] = _vectors(listed)
    columns = [
        known[f.name] if f.name in known else pa.array([said.get(f.name)] * count, f.type)
        for f in spec.schema
    ]
    return pa.Table.from_arrays(columns, schema=spec.schema)


def _vectors(listed: pa.Table) -> pa.ListArray:
    """Return a vector of length 1 for each source, crowded around KINDS directions."""
    seed = int(listed["source_id"][0].as_py()[:8], 16)
    random, kinds = np.random.default_rng(seed), np.random.default_rng(0)
    centers = kinds.standard_normal((KINDS, NUMBERS), np.float32)
    count = listed.num_rows
    made = centers[random.integers(0, KINDS, count)]
    made += random.standard_normal((count, NUMBERS), np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    starts = np.arange(0, count * NUMBERS + 1, NUMBERS, dtype=np.int32)
    return pa.ListArray.from_arrays(starts, made.ravel())


if __name__ == "__main__":
    text = [Path(path).read_text("utf-8") for path in sys.argv[4:]]
    # It ends as imgbatch's commands do: Arrow's threads may be at work still (`terminal._leave`).
    process(lambda: main(sys.argv[1], str(Path(sys.argv[2])), int(sys.argv[3]), *text))
