"""Names of parts enter; paths of files on this machine that hold them leave.

Decision, 2026-11: a bucket's parts are copied once into a temporary folder, and read there by
column, as often as a report asks. Not through deltalake's own reader: it hands pyarrow a file
system that is written in Python, pyarrow's threads may still be in it when the interpreter ends,
and then the process aborts (about one exit in six, deltalake 1.6.6 with pyarrow 26). Drawback: the
disk holds the tables that are read, until the process ends.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from imgbatch.dataset.scratch import full

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgbatch.storage import Store

FETCHES = 8


class Mirror:
    """Parts of one table of a bucket, in a temporary folder that goes with this object.

    A part's name ends with its digest, so a copy never grows old.
    """

    def __init__(self, store: Store, table: str) -> None:
        self._store = store
        self._table = table
        self._folder = ""

    def paths(self, names: Iterable[str]) -> list[str]:
        """Return the paths of copies of parts, in the order of their names given.

        Raises:
            FileNotFoundError: one of the parts is missing.
            StorageError: the store failed, or the temporary folder is full.
        """
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix="imgbatch-")
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        with ThreadPoolExecutor(FETCHES) as pool:
            return list(pool.map(self._copy, names))

    def _copy(self, name: str) -> str:
        path = Path(self._folder, name)
        if not path.exists():
            data = self._store.get(f"{self._table}/{name}")
            half = path.with_suffix(".half")
            try:
                half.write_bytes(data)
                half.replace(path)
            except OSError as error:
                raise full(error) from error
        return str(path)
