"""Enters: a small JSON document of a dump: a sidecar, an info file. Leaves: its value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imgbatch.errors import ArchiveError

if TYPE_CHECKING:
    from imgbatch.sources.dumps.dump import Dump


def whole(dump: Dump, name: str) -> Any:
    """Return the value of a JSON document; NUL bytes and bytes that are no UTF-8 are borne.

    Raises:
        SourceError: it cannot be had; archive.corrupt, it is no JSON.
    """
    try:
        return json.loads(dump.read(name).replace(b"\0", b"").decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as error:
        raise ArchiveError("archive.corrupt", f"no JSON: {error}") from error
