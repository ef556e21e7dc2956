"""A dataset in, the faces that its tables `faces` and `faces_regions` know out, by picture.

Decision, 2026-11: all are held in memory, some hundred bytes for each picture and each face: copies
are made in the order of the input, and tables lie in another. Drawback: ten million faces take a
gigabyte.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from imgbatch.copies.faces import whole
from imgbatch.dataset import Dataset
from imgbatch.errors import DatasetError, PreprocessError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from imgbatch.copies.faces import Look
    from imgbatch.preprocess.masks import Box
    from imgbatch.records import Picture, Source

MAIN, BOXES = "faces", "faces_regions"
BOX_COLUMNS = ("x", "y", "width", "height")

# A picture: its source, that one's version, and which frame.
Key = tuple[str, str, int]


def known_faces(url: str) -> Look:
    """Read the faces of a dataset.

    Raises:
        DatasetError: there is none, or it keeps no boxes of faces.
    """
    dataset = Dataset.open(url)
    tables = dataset.tables()
    kept = dataset.table(f"tables/{BOXES}").schema().names if BOXES in tables else ()
    if MAIN not in tables or not set(BOX_COLUMNS).issubset(kept):
        raise DatasetError(
            f"{url} keeps no boxes of faces; its tables are {', '.join(tables)}",
            'Run a recipe with [analyzers.faces] and output = "boxes" or "full" first, or name a '
            "detector.",
        )
    keys = ("source_id", "version", "frame")
    counts: dict[Key, int | None] = {}
    for batch in dataset.batches(MAIN, columns=[*keys, "status", "n_faces"]):
        for source, version, frame, status, n in zip(*_lists(batch), strict=True):
            counts[source, version, frame] = n if status == "ok" else None
    boxes: dict[Key, list[Box]] = defaultdict(list)
    for batch in dataset.batches(BOXES, columns=[*keys, *BOX_COLUMNS]):
        for source, version, frame, x, y, width, height in zip(*_lists(batch), strict=True):
            boxes[source, version, frame].append(whole(x, y, x + width, y + height))
    return partial(_known, url, counts, dict(boxes))


def _lists(batch: pa.RecordBatch) -> list[list[Any]]:
    return [column.to_pylist() for column in batch.columns]


def _known(
    url: str,
    counts: Mapping[Key, int | None],
    boxes: Mapping[Key, list[Box]],
    source: Source,
    picture: Picture,
) -> list[Box]:
    """Return the faces of an image that the dataset looked at, in this version."""
    key = source.source_id, source.version, picture.frame
    found = boxes.get(key, [])
    if picture.time is not None or counts.get(key) is None or len(found) != counts[key]:
        raise PreprocessError(
            "preprocess.mask",
            f"{url} does not know the faces of this {picture.facts.kind} in this version",
        )
    return found
