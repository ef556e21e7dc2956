"""Which pictures look alike in an embedding: k-means or HDBSCAN, with exemplars of each cluster.

    sample -> principal components -> fit (a K of several by silhouette) -> a label for every row

The sample is a fair draw of at most `sample` rows; its vectors and a chunk of the others are all
that is in memory. Every row gets the label of what was fitted: on all workers, each reading its own
parts. Clusters are numbered by their size in the sample, 0 the largest.

Rows that are appended later are labelled by the centers that are kept in `model.npz` beside the
labels, and rows that were labelled keep their label: `--anew` fits everything again, and settings
that would fit otherwise are refused without it. The next grouping after a source or a post was
forgotten, whose `imgbatch forget` deletes the centers, fits again too: they were made of it as
well. Ranks and exemplars are those of all rows as they stand. `scores.json` holds the scores of
every K that was tried, and how stable the chosen one is over how many seeds.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from imgbatch.analyzers import Column
from imgbatch.groupers import KEYS
from imgbatch.groupers._asked import FITTED_BY, Settings, enough
from imgbatch.vectors import centers, density, exemplars, partition
from imgbatch.vectors.columns import matrix, packed, require, unpacked
from imgbatch.vectors.draw import below, draws, share
from imgbatch.vectors.learnt import NOISE
from imgbatch.vectors.space import fit_space

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgbatch.groupers import Context, Tables
    from imgbatch.vectors.centers import Centers

__all__ = ["COLUMNS", "FITTED_BY", "READS", "VERSION", "Settings", "group", "left"]

VERSION = 1
NO_VECTOR = "where there is no vector"
NO_CLUSTER = "in no cluster"
COLUMNS = (
    Column(
        "cluster",
        pa.int32(),
        "Cluster, numbered from the largest in the sample",
        range="0, 1, 2, ...",
        missing=f"{NO_VECTOR}; hdbscan: also where the place is not dense (noise)",
    ),
    Column(
        "distance",
        pa.float32(),
        "Euclidean distance to the mean of the cluster, among the principal components used",
        range=">= 0",
        missing=NO_CLUSTER,
    ),
    Column(
        "rank",
        pa.int64(),
        "Place in the cluster by distance, the nearest first",
        range="1, 2, 3, ...",
        missing=NO_CLUSTER,
    ),
    Column(
        "silhouette",
        pa.float32(),
        "Simplified silhouette: how much nearer the own centroid is than the next one",
        range="-1 to 1",
        missing=f"{NO_CLUSTER}, and where there is one cluster only",
    ),
    Column(
        "exemplar",
        pa.string(),
        "What the row is an exemplar of: nearest (to the centroid), random (a fair draw), border"
        " (smallest silhouettes), or several of them, joined by a space",
        range="nearest, random, border",
        missing="for most rows",
    ),
)
MODEL, SCORES = "model.npz", "scores.json"
# Rows that are labelled at once.
CHUNK = 16_384
VECTOR = "vector"
# Other draws than that of the sample have other seeds.
SCORING, RANDOM = 1_000_003, 2_000_003


def READS(settings: Settings) -> Mapping[str, Sequence[str]]:  # noqa: N802 - what a grouper exports
    """Return the table with the vectors."""
    return {settings.table: [settings.column]}


def group(tables: Tables, settings: Settings, context: Context) -> pa.Table:
    """Return the cluster of every row.

    Raises:
        GroupError: fewer vectors than clusters, none at all, or what cannot be compared.
    """
    former = context.former
    model, scores = (context.read(name) for name in (MODEL, SCORES))
    if former is not None and model and scores:
        context.say("labelling by the centers that are there; --anew fits again")
        fitted = centers.load(model)
        _say_seeds(json.loads(scores), settings, context)
    else:
        if former is not None:
            context.say("the centers that labels were given by are gone: fitting again moves them")
        former = None
        fitted, about = _fit(tables, settings, context)
        model, scores = fitted.dump(), json.dumps(about, indent=1).encode()
    context.write(MODEL, model)
    context.write(SCORES, scores)
    label = partial(_label, column=settings.column, fitted=fitted)
    # Parts are labelled side by side: threads of BLAS would be in each other's way.
    with threadpool_limits(1, "blas"):
        found = tables.over(settings.table, label)
    return _described(found if former is None else _kept(found, former), settings)


def left(labels: pa.Table, known: Mapping[str, pa.Table], settings: Settings) -> pa.Table:  # noqa: ARG001 - as groupers export it
    """Return what is left of clusters: ranks and exemplars of the rows that are there.

    Distances and silhouettes stay those to centers that were made of the forgotten rows too.
    """
    return _described(labels, settings)


def _fit(tables: Tables, settings: Settings, context: Context) -> tuple[Centers, dict[str, Any]]:
    """Return what is fitted on a sample, and what is to be known of it."""
    rows = tables.count(settings.table)
    bound = share(rows, settings.rows)
    drawn = partial(_drawn, column=settings.column, seed=settings.seed, bound=bound)
    found = tables.over(settings.table, drawn)
    vectors = unpacked(found[VECTOR]) if found.num_rows else np.zeros((0, 0), np.float32)
    enough(vectors, settings, rows)
    context.say(f"fitting {settings.method} on {len(vectors):,} of {rows:,} rows")
    space = fit_space(vectors, settings.dimensions, settings.seed)
    sample = space.project(vectors)
    if settings.method == "hdbscan":
        neighbours = min(settings.neighbours or settings.smallest, len(sample))
        learnt = density.learn(sample, settings.smallest, neighbours)
        about: dict[str, Any] = {"clusters": len(learnt.centroids)}
    else:
        numbers = draws(found[_key(found.column_names)], settings.seed + SCORING)
        scored = below(numbers, share(len(sample), settings.score_sample))
        seeds = range(settings.seed, settings.seed + max(1, settings.stability))
        learnt, about = partition.learn(
            sample, np.flatnonzero(scored), settings.counts, seeds, settings.method
        )
        for score in about["scores"]:
            context.say(_line(score))
    context.say(f"{len(learnt.centroids):,} clusters")
    fitted = centers.Centers(vectors.shape[1], space, learnt)
    return fitted, {"rows": rows, "sample": len(sample), "variance": space.kept, **about}


def _say_seeds(about: Mapping[str, Any], settings: Settings, context: Context) -> None:
    """Say where stability is asked for over other seeds than it was measured over."""
    seeds = about.get("seeds")
    if seeds is not None and seeds != max(1, settings.stability):
        context.say(
            f"stability stays as it was measured, over {seeds} seeds; --anew measures again"
        )


def _line(score: Mapping[str, Any]) -> str:
    silhouette = score["silhouette"]
    shown = "none" if silhouette is None else f"{silhouette:.4f}"
    return f"K = {score['k']}: silhouette {shown}, inertia {score['inertia']:.6g}"


def _key(names: Sequence[str]) -> str:
    """Return the key that no two rows share."""
    return [key for key in KEYS if key in names][-1]


def _keys(batch: pa.RecordBatch | pa.Table) -> dict[str, Any]:
    return {key: batch.column(key) for key in KEYS if key in batch.schema.names}


def _drawn(batch: pa.RecordBatch, *, column: str, seed: int, bound: int) -> pa.Table:
    """Return the keys and vectors of those rows that are in the sample."""
    require(batch.column(column).type)
    mine = below(draws(batch.column(_key(batch.schema.names)), seed), bound)
    mine &= batch.column(column).is_valid().to_numpy(zero_copy_only=False)
    chosen = batch.filter(pa.array(mine))
    vectors = matrix(chosen.column(column))[1]
    return pa.table({**_keys(chosen), VECTOR: packed(vectors)})


def _label(batch: pa.RecordBatch, *, column: str, fitted: Centers) -> pa.Table:
    """Return the keys of all rows, and of each its cluster, distance and silhouette."""
    labels = np.full(batch.num_rows, NOISE, np.int32)
    measured = np.full((2, batch.num_rows), np.nan, np.float32)
    for start in range(0, batch.num_rows, CHUNK):
        found, vectors = matrix(batch.column(column).slice(start, CHUNK))
        if not found.size:
            continue
        here = start + found
        own = fitted.measured(fitted.project(vectors))
        labels[here], measured[0, here], measured[1, here] = own
    return pa.table(
        {
            **_keys(batch),
            "cluster": pa.array(labels, mask=labels == NOISE),
            "distance": pa.array(measured[0], mask=np.isnan(measured[0])),
            "silhouette": pa.array(measured[1], mask=np.isnan(measured[1])),
        }
    )


def _kept(found: pa.Table, former: pa.Table) -> pa.Table:
    """Return rows as they were labelled before, where their version is the same.

    The same centers give the same label, but for a vector that lies exactly between two: what
    rounding makes of it depends on the rows beside it.
    """
    key = _key(found.column_names)
    place = pc.index_in(found[key], value_set=former[key].combine_chunks())
    same = pc.fill_null(pc.equal(found["version"], former["version"].take(place)), False)  # noqa: FBT003 - a value
    for name in ("cluster", "distance", "silhouette"):
        column = pc.if_else(same, former[name].take(place), found[name])
        found = found.set_column(found.column_names.index(name), name, column)
    return found


def _described(found: pa.Table, settings: Settings) -> pa.Table:
    """Return labels with ranks and exemplars."""
    labels = found["cluster"].fill_null(NOISE).to_numpy()
    distance = found["distance"].fill_null(np.inf).to_numpy()
    silhouette = found["silhouette"].fill_null(np.inf).to_numpy()
    turns = draws(found[_key(found.column_names)], settings.seed + RANDOM)
    inside = np.where(np.isinf(silhouette), NOISE, labels)
    with ThreadPoolExecutor(3) as pool:  # numpy lets go of the interpreter where it sorts
        near, random, border = pool.map(
            exemplars.ranks, (labels, labels, inside), (distance, turns, silhouette)
        )
    kinds = exemplars.kinds(settings.exemplars, nearest=near, random=random, border=border)
    return pa.table(
        {
            **_keys(found),
            "cluster": found["cluster"],
            "distance": found["distance"],
            "rank": pa.array(near, mask=near == 0),
            "silhouette": found["silhouette"],
            "exemplar": pa.array(kinds, pa.string()),
        }
    )
