"""Enters: a file of a dump that is read out of order, such as Parquet. Leaves: it, seekable.

Little of it is in memory, whatever its size: a file of this machine stays where it is, one in a
bucket is read by ranges, and a compressed member of a zip or tar goes to a temporary file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from imgbatch.settings import Limits
from imgbatch.sources.fetch import fetch

if TYPE_CHECKING:
    from imgbatch.sources.dumps.dump import Dump

BY_RANGES = Limits(fetched_bytes=2**18, spooled_bytes=0)


def seekable(dump: Dump, name: str) -> BinaryIO:
    """Open a file of a dump as it lies there, not unpacked; the caller closes it.

    Raises:
        SourceError: it cannot be had.
        KeyError: there is none of this name.
    """
    source = dump.source(name)
    if source.packing == "stream":
        return dump.packed(name)
    return fetch(source, limits=BY_RANGES).open()
