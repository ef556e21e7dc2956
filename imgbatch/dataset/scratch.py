"""A folder for what does not fit into memory; a full disk is a StorageError."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from typing import TYPE_CHECKING

from imgbatch.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

REMEDY = "Free space there, or set TMPDIR to a folder of a larger disk, then do the same again."
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """Have a folder for the time of a `with` block.

    Raises:
        StorageError: there is no space left.
    """
    with tempfile.TemporaryDirectory(prefix="imgbatch-") as folder:
        try:
            yield folder
        except OSError as error:
            if error.errno in FULL:
                raise full(error) from error
            raise


def full(error: Exception) -> StorageError:
    """Return what is to be said when the temporary folder cannot be written to."""
    return StorageError(f"the temporary folder {tempfile.gettempdir()}: {error}", REMEDY)
