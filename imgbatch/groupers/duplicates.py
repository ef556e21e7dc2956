"""Which pictures are copies of each other: the same bytes, or pixels that look the same.

(in work)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from imgbatch.analyzers import Column
from imgbatch.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgbatch.groupers import Context, Tables

VERSION = 1
COLUMNS = (Column("group_id", pa.string(), "The first picture of its group"),)


class Settings(BaseSettings):
    """Nothing yet."""


def READS(settings: Settings) -> Mapping[str, Sequence[str]]:  # noqa: ARG001, N802 - what a grouper exports
    """Return what it reads."""
    return {"sources": ["sha256"], "hashes": ["dhash", "phash"]}


def group(tables: Tables, settings: Settings, context: Context) -> pa.Table:  # noqa: ARG001 - the same
    """Return which pictures are copies."""
    rows = pa.Table.from_batches(list(tables.batches("hashes")))
    return rows.select(["source_id", "version", "picture_id"]).append_column(
        "group_id", rows["phash"]
    )
