"""A dataset's vectors and a CSV of labels in; a fitted model and its record out, as one file.

    labels.csv -> sources -> their rows of a table, in the order of the fit -> estimator -> file

The order of the rows belongs to the fit: a forest draws its samples by their places, so that other
orders give other forests. It is by the number that is the file's name, then by address, then by
frame: such as MNIST's digits have it, whatever folders they lie in. Files whose names are no
numbers come after those, by address.

Nothing of the dataset changes. The file names no source: only what was fitted, to what, and how
well it does on labels that the fit did not see.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from imgbatch import __version__
from imgbatch.dataset import Dataset
from imgbatch.dataset.ordered import Ordered
from imgbatch.dataset.scratch import scratch_folder
from imgbatch.dataset.state import unlocked
from imgbatch.errors import LabelsError
from imgbatch.fitting.labels import Labelled, match, read_labels
from imgbatch.learners import file, kinds
from imgbatch.learners.scores import scores, strengths
from imgbatch.storage import open_store
from imgbatch.storage.addresses import lies_in
from imgbatch.vectors.columns import matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from imgbatch.settings import Limits

PIXELS, EMBEDDING = "pixels", "embedding"
# What the others are called of which one label is told; the second where that one is the first.
REST, NOT_REST = "rest", "not rest"
ORDER = "number of the file's name, address, frame"
FIRST = 10
CLASSES = 2


@dataclass(frozen=True, slots=True)
class FitWish:
    """What a fit is asked for.

    Attributes:
        dataset: its URL.
        labels: path of the CSV that is learned from.
        test: path of the CSV that the model is judged by; "" for none.
        on: the table of vectors: `pixels`, or one with a column `embedding`.
        model: one of `learners.kinds.KINDS`.
        settings: of the model.
        only: one label, to be told from all others; "" for all of them.
        one_vs_rest: fit a model of each class against the others.
        seed: of all that is drawn.
    """

    dataset: str
    labels: str
    on: str
    model: str
    test: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    only: str = ""
    one_vs_rest: bool = False
    seed: int = 42


@dataclass(frozen=True, slots=True)
class Examples:
    """Vectors with labels, in the order of the fit.

    Attributes:
        vectors: (n, d) float32.
        labels: (n,).
        without: labelled sources without a vector: what they hold could not be decoded, or gave
            none.
    """

    vectors: NDArray[np.float32]
    labels: NDArray[np.str_]
    without: int


def fit(
    wish: FitWish, out: str, limits: Limits, *, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Fit a model, judge it, and write it to a file of this machine; return its record.

    Raises:
        SettingsError: no such model or setting.
        LabelsError: the labels name unknown sources, say two things of one, or one class only;
            those to judge by have no vector; or OUT lies in the dataset or cannot be written.
            Nothing was written.
        GroupError: the table is not there, empty, or made in several ways.
        BusyError: a takedown or a run went by while it was read.
    """
    kind = kinds.read_kind(wish.model, wish.settings)
    dataset = Dataset.open(wish.dataset)
    _refuse_inside(dataset, out)
    said = {role: read_labels(path) for role, path in _files(wish).items()}
    with unlocked(dataset):
        sources = {role: match(labels, dataset) for role, labels in said.items()}
        _refuse_overlap(sources)
        examples, made = _examples(dataset, wish.on, sources)
    others = (NOT_REST if wish.only == REST else REST) if wish.only else ""
    if wish.only:
        examples = {role: _against(found, wish.only, others) for role, found in examples.items()}
    train = examples["labels"]
    _refuse_one_class(wish, train)
    _refuse_no_test(wish, examples.get("test"))
    say(f"fitting {wish.model} on {len(train.labels):,} rows of {wish.on}")
    estimator = kind.estimator(wish.seed, limits.threads)
    estimator = kinds.one_vs_rest(estimator) if wish.one_vs_rest else estimator
    noticed = _fitted(estimator, train)
    record = {
        "model": wish.model,
        "settings": kind.model_dump(),
        "seed": wish.seed,
        "one_vs_rest": wish.one_vs_rest,
        "only": wish.only,
        "others": others,
        "table": wish.on,
        "column": _column(wish.on),
        "fingerprint": made["fingerprint"],
        "made_of": {key: value for key, value in made.items() if key != "fingerprint"},
        "order": ORDER,
        "classes": estimator.classes_.tolist(),
        "dimensions": train.vectors.shape[1],
        "rows": {name: len(found.labels) for name, found in examples.items()},
        "without_vector": {name: found.without for name, found in examples.items()},
        "unlabelled": {name: labels.unlabelled for name, labels in said.items()},
        "files": {name: labels.sha256 for name, labels in said.items()},
        "noticed": noticed,
        "versions": _versions(),
        **_judged(estimator, examples.get("test")),
    }
    return record | _written(estimator, record, out)


def _files(wish: FitWish) -> dict[str, str]:
    return {"labels": wish.labels, **({"test": wish.test} if wish.test else {})}


def _column(table: str) -> str:
    return PIXELS if table == PIXELS else EMBEDDING


def _refuse_inside(dataset: Dataset, out: str) -> None:
    if lies_in(open_store("/").address(str(Path(out).absolute()).lstrip("/")), dataset.url):
        raise LabelsError(
            f"--out {out} lies in DATASET {dataset.url}, which a model is no part of",
            "Give a place beside the dataset.",
        )


def _refuse_overlap(sources: Mapping[str, Mapping[str, Labelled]]) -> None:
    both = set(sources["labels"]).intersection(sources.get("test", ()))
    if both:
        shown = sources["labels"][min(both)].name
        raise LabelsError(
            f"{len(both):,} sources are learned from and judged by, such as {shown}",
            "A model is judged by what it has not seen: take them out of one of the two files.",
        )


def _refuse_one_class(wish: FitWish, train: Examples) -> None:
    classes = sorted(set(train.labels.tolist()))
    if wish.only and wish.only not in classes:
        raise LabelsError(f"{wish.labels} gives nothing the label {wish.only!r}")
    if len(classes) < CLASSES:
        raise LabelsError(
            f"{wish.labels} leaves {len(train.labels):,} rows of {len(classes)} class: {classes}",
            "A model tells classes apart: label sources of two at least, whose rows are in the "
            f"table {wish.on}.",
        )


def _refuse_no_test(wish: FitWish, test: Examples | None) -> None:
    if test is not None and not len(test.labels):
        raise LabelsError(
            f"{wish.test} leaves nothing to judge by: no source of it has a vector in the table "
            f"{wish.on}",
            "Label sources to judge by whose rows are in that table, or leave out --test.",
        )


def _examples(
    dataset: Dataset, table: str, sources: Mapping[str, Mapping[str, Labelled]]
) -> tuple[dict[str, Examples], dict[str, Any]]:
    """Return the vectors of labelled sources by role, and what the table was made of."""
    column = _column(table)
    with scratch_folder() as folder:
        tables = Ordered(dataset, {table: [column]}, Path(folder))
        if "region_id" in dataset.table(f"tables/{table}").schema().names:
            raise LabelsError(
                f"table {table} has rows of regions, and labels are of sources",
                "Fit on a table with a row per picture.",
            )
        kept: dict[str, list[pa.RecordBatch]] = {role: [] for role in sources}
        for batch in tables.batches(table):
            ids = batch["source_id"].to_pylist()
            for role, labelled in sources.items():
                found = batch.filter(pa.array([one in labelled for one in ids], pa.bool_()))
                kept[role] += [found] if found.num_rows else []
        made = tables.made_of(table)
    return {role: _in_order(kept[role], column, sources[role]) for role in sources}, made


def _in_order(
    batches: list[pa.RecordBatch], column: str, labelled: Mapping[str, Labelled]
) -> Examples:
    if not batches:
        return Examples(np.empty((0, 0), np.float32), np.empty(0, str), len(labelled))
    rows = pa.Table.from_batches(batches)
    places, vectors = matrix(rows[column].cast(pa.list_(pa.float32())))
    ids = rows["source_id"].take(places).to_pylist()
    frames = [int(p.rpartition("-")[2]) for p in rows["picture_id"].take(places).to_pylist()]
    order = sorted(range(len(ids)), key=lambda i: (*_place(labelled[ids[i]].name), frames[i]))
    labels = np.array([labelled[ids[i]].label for i in order])
    return Examples(vectors[order], labels, len(set(labelled).difference(ids)))


def _place(address: str) -> tuple[int, int, str]:
    stem = address.rpartition("/")[2].partition(".")[0]
    return (0, int(stem), address) if stem.isascii() and stem.isdecimal() else (1, 0, address)


def _against(examples: Examples, only: str, others: str) -> Examples:
    labels = np.where(examples.labels == only, only, others)
    return Examples(examples.vectors, labels, examples.without)


def _fitted(estimator: Any, train: Examples) -> list[str]:
    """Fit; return what scikit-learn said of it, such as that it did not converge."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(train.vectors, train.labels)
    for part in file.parts_of(estimator):
        # Of the fit alone: the same file from a machine with other cores.
        if getattr(part, "n_jobs", None) is not None:
            part.n_jobs = None
    return sorted({str(one.message) for one in caught})


def _judged(estimator: Any, test: Examples | None) -> dict[str, Any]:
    """Return scores on rows that the fit did not see, and the first predictions."""
    if test is None:
        return {"scores": None, "first": []}
    classes = estimator.classes_.tolist()
    if unknown := sorted(set(test.labels.tolist()).difference(classes)):
        raise LabelsError(
            f"the labels to judge by have {len(unknown)} that nothing was learned of, such as "
            f"{unknown[0]!r}",
            "Label some of them to learn from, or take them out.",
        )
    predicted = estimator.predict(test.vectors)
    found = scores(test.labels, predicted, strengths(estimator, test.vectors), classes)
    return {"scores": found, "first": predicted[:FIRST].tolist()}


def _versions() -> dict[str, str]:
    import sklearn  # noqa: PLC0415 - slow to import

    return {"imgbatch": __version__, "scikit-learn": sklearn.__version__, "numpy": np.__version__}


def _written(estimator: Any, record: dict[str, Any], out: str) -> dict[str, Any]:
    data = file.dump(estimator, record)
    # Of a name of its own: another fit may write the same file now, and the later one is whole.
    begun = Path(f"{out}.{secrets.token_hex(4)}.part")
    try:
        begun.write_bytes(data)
        begun.replace(out)
    except OSError as error:
        with contextlib.suppress(OSError):
            begun.unlink()
        raise LabelsError(f"the model cannot be written: {error}", "Give another --out.") from error
    return {"file": out, "sha256": hashlib.sha256(data).hexdigest()}
