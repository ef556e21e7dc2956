"""Enters: a small JSON document of a dump: a sidecar, an info file. Leaves: its value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imgbatch.errors import ArchiveError
from imgbatch.sources.dumps.beside import together
from imgbatch.sources.dumps.names import ending

if TYPE_CHECKING:
    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Counted


def whole(dump: Dump, name: str, counted: Counted) -> Any:
    """Return the value of a JSON document; NUL bytes are borne, as are bytes that are no UTF-8.

    Args:
        dump: that holds it.
        name: of the document.
        counted: where it is noted that bytes were no UTF-8.

    Raises:
        SourceError: it cannot be had; archive.corrupt, it is no JSON.
    """
    data = dump.read(name).replace(b"\0", b"")
    try:
        said = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        said = data.decode("utf-8-sig", "replace")
        note = "no UTF-8: these bytes became U+FFFD"
        counted.note("bad-bytes", note, together(name, ending(name)))
    try:
        return json.loads(said)
    except (ValueError, RecursionError) as error:
        raise ArchiveError("archive.corrupt", f"no JSON: {error}") from error
