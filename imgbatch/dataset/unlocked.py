"""Work that reads a dataset without its lock enters; what disturbs it leaves by its true name.

A takedown deletes the files behind former versions of the tables. To somebody who still reads one
that looks like damage, and a repair would be the wrong advice.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from imgbatch.errors import BusyError, DamageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.dataset import Dataset


@contextlib.contextmanager
def unlocked(dataset: Dataset) -> Iterator[None]:
    """Tell damage from what somebody else changed meanwhile.

    Args:
        dataset: that the work inside reads, by this very object.

    Raises:
        BusyError: something could not be read, and a table is not as it was when it was opened.
        DamageError: something could not be read, and all tables are as they were.
    """
    try:
        yield
    except DamageError as error:
        if changed := dataset.changed():
            raise BusyError(
                f"{dataset.url} was changed while it was read, by a run or a takedown: "
                f"{', '.join(changed)}",
                "Run the same command again. `imgbatch status DATASET` says whether somebody is "
                "still at work there.",
            ) from error
        raise
