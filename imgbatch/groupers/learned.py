"""The label that a fitted model gives to each picture: `imgbatch fit` makes one, `apply` uses it.

Only rows that were made as those were that it learned from are labelled: another analyzer version,
setting or model gives other numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import threadpoolctl

from imgbatch.analyzers import Column
from imgbatch.errors import GroupError, LabelsError
from imgbatch.learners import file
from imgbatch.learners.scores import has_probabilities, strengths
from imgbatch.settings import Settings as BaseSettings
from imgbatch.vectors.columns import matrix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgbatch.groupers import Context, Tables
    from imgbatch.learners.file import Learned

VERSION = 1
NO_VECTOR = "the picture has no vector"
NONE = f"{NO_VECTOR}; the model gives no probabilities (svm)"
COLUMNS = (
    Column("label", pa.string(), "Label that the model gives", missing=NO_VECTOR),
    Column("probability", pa.float32(), "Of that label, as the model says", "", "0-1", NONE),
    Column(
        "probabilities",
        pa.list_(pa.float32()),
        "Of all classes, in the order of their names; they sum to 1. One-vs-rest: all 0 where no"
        " class is spoken for, and the label is the first then",
        "",
        "0-1",
        NONE,
    ),
)
KEYS = ("source_id", "version", "picture_id")


class Settings(BaseSettings):
    """Which model.

    Attributes:
        model: path of its file, as `imgbatch fit` wrote it.
        sha256: what its digest must be; "": anything. `imgbatch apply` names it.
    """

    model: str = ""
    sha256: str = ""


def READS(settings: Settings) -> Mapping[str, Sequence[str]]:  # noqa: N802 - what a grouper exports
    """Return the table that the model learned from; none without a model."""
    if not settings.model:
        return {}
    record = file.read_record(settings.model)
    return {record["table"]: [record["column"]]}


def group(tables: Tables, settings: Settings, context: Context) -> pa.Table:
    """Return the label of each picture.

    Raises:
        LabelsError: the model cannot be loaded.
        GroupError: the rows were made in another way than those that it learned from.
    """
    if not settings.model:
        raise LabelsError("no model is named", "`imgbatch apply DATASET MODEL` names one.")
    learned = file.load(settings.model, settings.sha256)
    table = learned.record["table"]
    found = tables.made_of(table)["fingerprint"]
    if found != learned.record["fingerprint"]:
        raise GroupError(
            f"the rows of table {table} were made otherwise ({found}) than those that the model "
            f"learned from ({learned.record['fingerprint']})",
            "Run the recipe of the model's dataset over this one, or fit a model on this one.",
        )
    with threadpoolctl.threadpool_limits(1):
        labels = [_labelled(learned, rows) for rows in tables.batches(table)]
    context.say(f"{sum(rows.num_rows for rows in labels):,} rows of {table} were labelled")
    return pa.concat_tables(labels)


def _labelled(learned: Learned, rows: pa.RecordBatch) -> pa.Table:
    """Return keys and labels of a batch."""
    column = rows[learned.record["column"]].cast(pa.list_(pa.float32()))
    places, vectors = matrix(column)
    keys = {key: rows[key] for key in KEYS}
    labels = np.full(rows.num_rows, None, object)
    chances: list[list[float] | None] = [None] * rows.num_rows
    if len(places):
        # The trees were looked through for vectors of that length: others may lead them astray.
        if vectors.shape[1] != (wanted := learned.record["dimensions"]):
            raise GroupError(
                f"vectors of {vectors.shape[1]} numbers, and the model learned from {wanted}",
                "Fit a model on this dataset.",
            )
        labels[places] = learned.estimator.predict(vectors)
        if has_probabilities(learned.estimator):
            found = strengths(learned.estimator, vectors).astype(np.float32)
            for place, row in zip(places, found.tolist(), strict=True):
                chances[place] = row
    best = [None if row is None else max(row) for row in chances]
    return pa.table(
        {
            **keys,
            "label": pa.array(labels.tolist(), pa.string()),
            "probability": pa.array(best, pa.float32()),
            "probabilities": pa.array(chances, pa.list_(pa.float32())),
        }
    )
