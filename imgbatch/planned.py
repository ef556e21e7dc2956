"""What is asked for enters; what a run would do, and why, leaves. Nothing is written.

Every step is the run's own: the listing, its comparison with the manifest, the cutting of shards,
what is undone, what lies written, and the look at each shard that says which sources are read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from functools import reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imgbatch import analyzers, posts, settings
from imgbatch.carry import needed
from imgbatch.dataset import MANIFEST, Dataset, manifest
from imgbatch.dataset.adopt import adopt
from imgbatch.dataset.causes import ANALYZER_CHANGED, CHANGED, REMOVED, Causes
from imgbatch.dataset.failed import Replaced, carries, failed_before
from imgbatch.dataset.plan import gone, undone
from imgbatch.dataset.scratch import scratch_folder
from imgbatch.dataset.shards import all_shards, listed_rows, source_of
from imgbatch.listed import list_input
from imgbatch.observe.pace import Pace, pace
from imgbatch.ready import Lying, look
from imgbatch.storage import open_store
from imgbatch.tables import table_specs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.dataset import TableSpec
    from imgbatch.dataset.manifest import Changes
    from imgbatch.dataset.plan import Work
    from imgbatch.listed import Listed, Listener
    from imgbatch.records import Shard
    from imgbatch.settings import Limits, Recipe
    from imgbatch.summary import Request

READERS = 8


@dataclass(slots=True)
class Plan:
    """What a run would do.

    Attributes:
        listed, new, changed, removed: sources, as in the run's own summary.
        gone: shards that tables hold and the manifest will not: they leave.
        adopted: parts that lie written and will be taken as they are, by table.
        shards, sources, bytes: what is left to be computed, and read for it. Of a compressed tar
            all bytes are unpacked, whichever members are counted here.
        tables: by table and cause, how many sources get their rows anew. A source that turns out to
            be no picture gets none.
        why: by table, how many sources each difference to the former settings costs.
        failed: by table and error class, how many sources failed before and stay as they are.
        weights: from where the analyzers' weights would be had, or what keeps them from it.
        pace: how fast the last runs here were; None when there were none.
        posts: what bringing the posts of a dump would do; None where nothing would be brought.
        unread, retention: as in the run's own summary.
    """

    listed: int
    new: int
    changed: int
    removed: int
    gone: int = 0
    adopted: Counter[str] = field(default_factory=Counter)
    shards: int = 0
    sources: int = 0
    bytes: int = 0
    tables: dict[str, Counter[str]] = field(default_factory=dict)
    why: dict[str, Counter[str]] = field(default_factory=dict)
    failed: dict[str, dict[str, int]] = field(default_factory=dict)
    weights: list[Lying] = field(default_factory=list)
    pace: Pace | None = None
    posts: posts.Ahead | None = None
    unread: dict[str, int] = field(default_factory=dict)
    retention: dict[str, int | None] | None = None

    @property
    def nothing(self) -> bool:
        """Whether a run would do nothing at all."""
        changes = self.new or self.changed or self.removed
        work = self.gone or self.shards or self.adopted or self.posts
        return not (changes or work or self.retention)

    @property
    def seconds(self) -> tuple[float, float] | None:
        """How long the computing would take, at least and at most; None when nothing tells."""
        if not self.shards:
            return 0.0, 0.0
        return self.pace.seconds(self.sources, self.bytes) if self.pace else None

    def record(self) -> dict[str, Any]:
        """Return all of it, as `--json` says it."""
        own = {item.name: getattr(self, item.name) for item in fields(self)}
        brought, unread, retention = (own.pop(each) for each in ("posts", "unread", "retention"))
        told = asdict(self.pace) if self.pace else None
        weights = [asdict(each) for each in self.weights]
        return {
            **own,
            "weights": weights,
            "pace": told,
            "seconds": self.seconds,
            "nothing": self.nothing,
            **({"posts": asdict(brought)} if brought else {}),
            **({"unread": unread} if unread else {}),
            **({"retention": retention} if retention else {}),
        }


@dataclass(frozen=True, slots=True)
class _Cost:
    """What one shard costs; `tables` and `why` as in Plan, `again` as in Replaced."""

    sources: int
    bytes: int
    tables: dict[str, Counter[str]]
    why: dict[str, Counter[str]]
    again: dict[str, pa.ChunkedArray]


class _Ahead:
    """The manifest as it will be once a listing is frozen; what comes waits in a folder."""

    def __init__(self, dataset: Dataset, changes: Changes, limits: Limits, folder: str) -> None:
        self._dataset = dataset
        self._folder = folder
        came: list[Shard] = []
        names: set[str] = set()
        for shard, rows in manifest.upcoming(dataset, changes, limits):
            names.add(shard.name)
            if rows.num_rows:
                came.append(shard)
                pq.write_table(rows, self._path(shard))
        here = all_shards(dataset) if dataset.table(MANIFEST).exists else []
        self.fresh = frozenset(names - changes.touched.keys())
        self.shards = [shard for shard in here if shard.name not in changes.touched]
        # How a shard's bytes are read does not matter here: `stream` is left out.
        self.shards += came
        self._came = frozenset(shard.name for shard in came)

    def _path(self, shard: Shard) -> str:
        return f"{self._folder}/{shard.name}.parquet"

    def rows(self, shard: Shard) -> pa.Table:
        if shard.name in self._came:
            return pq.read_table(self._path(shard))
        return listed_rows(self._dataset, shard)


def plan(request: Request, limits: Limits, listener: Listener) -> Plan:
    """Return what `run` would do with the same request and limits.

    Raises:
        SettingsError, InputError, DatasetError: as `run` would.
    """
    recipe = settings.read_recipe(request.recipe, settings_of=analyzers.settings_of)
    table_specs(recipe)
    told = request.told(recipe).posts
    return plan_listed(request, limits, list_input(request, limits, listener, told))


def plan_listed(
    request: Request, limits: Limits, listed: Listed, *, read_posts: bool = True
) -> Plan:
    """Return what `run` would do with a listing of the request's input.

    Args:
        request: what is asked for.
        limits: of the run.
        listed: the input.
        read_posts: count what becomes of posts, which reads all metadata of a dump.

    Raises:
        SettingsError, DatasetError: as `run` would.
    """
    recipe = settings.read_recipe(request.recipe, settings_of=analyzers.settings_of)
    recipe = request.told(recipe)
    posts.refuse_unknown(recipe.posts, open_store(request.dataset).root)
    specs = table_specs(recipe)
    # Where there is no dataset yet, one that is not written answers that nothing is there.
    dataset = Dataset.find(request.dataset) or Dataset(open_store(request.dataset))
    root = open_store(request.input).root
    whole = request.limit is None and request.share is None
    changes = manifest.compare(dataset, listed.sources, root=root, whole=whole)
    found = Plan(
        listed=listed.sources.num_rows,
        new=changes.new.num_rows,
        changed=changes.changed.num_rows,
        removed=changes.removed.num_rows,
    )
    with scratch_folder() as folder:
        ahead = _Ahead(dataset, changes, limits, folder)
        _add_work(found, dataset, changes, specs, ahead)
    if found.shards:
        found.weights = list(look(recipe, limits))
    if request.whole:
        work = not found.nothing
        found.posts = _posts(
            dataset, root, listed if read_posts else None, recipe, limits, found.unread, work=work
        )
        found.retention = posts.retention_changed(dataset, root, recipe.posts)
    found.pace = pace(dataset.runs(), [spec.name for spec in specs if found.tables[spec.name]])
    return found


def _posts(
    dataset: Dataset,
    root: str,
    listed: Listed | None,
    recipe: Recipe,
    limits: Limits,
    unread: dict[str, int],
    *,
    work: bool,
) -> posts.Ahead | None:
    """Return what would be done with the posts of a listing; None: they stay as they are.

    Without the listing nothing is read, and it only tells that there is something to do.
    """
    if not work:
        found = posts.find(dataset, root, recipe.posts, limits, unread=unread)
        if found is None:
            return None
        found.dump.close()
        if listed is None:
            return posts.Ahead(found.formats, 0, 0, 0, 0, 0)
    if listed is None:
        return None
    batches = listed.sources.batches()
    sources = (source_of(row) for batch in batches for row in batch.to_pylist())
    return posts.ahead(dataset, root, sources, recipe.posts, limits, unread=unread)


def _add_work(
    found: Plan, dataset: Dataset, changes: Changes, specs: Sequence[TableSpec], ahead: _Ahead
) -> None:
    causes = Causes(dataset, specs, ahead.fresh)
    parts, works = adopt(dataset, undone(dataset, ahead.shards, specs), specs, ahead.rows)
    found.adopted.update(part.table.removeprefix("tables/") for part in parts)
    found.gone = len(gone(dataset, ahead.shards))
    found.shards = len(works)
    found.tables = {spec.name: Counter() for spec in specs}
    for spec in specs:
        if found.removed and dataset.table(spec.path).parts():
            found.tables[spec.name][REMOVED] = found.removed

    def cost(work: Work) -> _Cost:
        touched = work.shard.name in changes.touched
        return _cost(dataset, work, ahead.rows(work.shard), causes, touched=touched)

    again = defaultdict(list)
    with ThreadPoolExecutor(READERS) as pool:
        for own in pool.map(cost, works):
            found.sources += own.sources
            found.bytes += own.bytes
            for name, counts in own.tables.items():
                found.tables[name].update(counts)
            for name, counts in own.why.items():
                found.why.setdefault(name, Counter()).update(counts)
            for name, ids in own.again.items():
                again[name].append(ids)
    names = {shard.name for shard in ahead.shards}
    leaving = changes.removed.read()["source_id"]
    found.failed = failed_before(dataset, specs, Replaced(names, works, parts, leaving, again))


def _cost(dataset: Dataset, work: Work, rows: pa.Table, causes: Causes, *, touched: bool) -> _Cost:
    """Return what one shard costs.

    Args:
        dataset: has its former parts.
        work: what is to do for it.
        rows: its rows of the manifest.
        causes: why its tables are to be done.
        touched: whether this listing makes its generation: then what it touched has changed.
    """
    due = needed(dataset, work, rows).tables
    again = pc.and_(pc.equal(rows["touched"], work.shard.generation), touched)
    tables, why = {}, {}
    for name, mask in due.items():
        changed = _count(pc.and_(mask, again))
        other = _count(mask) - changed
        cause = causes.of(work, name)
        # Only what counts: a cause that costs nothing would be shown as one.
        tables[name] = +Counter({CHANGED: changed}) + Counter({cause: other})
        if cause == ANALYZER_CHANGED and other:
            why[name] = Counter(dict.fromkeys(causes.differences(work, name), other))
    read = reduce(pc.or_, due.values())
    fetched = rows["size"].filter(pc.and_(read, pc.is_null(rows["verdict_class"])))
    anew = {
        name: rows["source_id"].filter(mask) for name, mask in due.items() if carries(work, name)
    }
    return _Cost(_count(read), pc.sum(fetched).as_py() or 0, tables, why, anew)


def _count(mask: pa.Array) -> int:
    return int(pc.sum(mask).as_py() or 0)
