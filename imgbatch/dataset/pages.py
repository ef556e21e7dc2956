"""Pages that show sources enter a dataset, and leave it again where they show what may not stay.

Who makes a page holds no lock: runs would wait for it. So a takedown, or a run whose recipe keeps
less of faces, may be through before the page is put, and nobody would look at it any more. Both
change what `look` sees first, and delete `report/` afterwards: whoever looks before he reads, and
again once the page is there, was either quicker than that, or takes the page out himself.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from imgbatch.dataset import tombstones
from imgbatch.dataset.audit import records
from imgbatch.errors import BusyError
from imgbatch.records import REGIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from imgbatch.dataset import Dataset

# What a part's name says it was made with: `<shard>@<generation>-<fingerprint, 8>-<sha256, 8>`.
MADE_WITH = r"-(?P<made>[0-9a-f]{8})-[0-9a-f]{8}\.parquet$"
AGAIN = (
    "Nothing of it was left there. Do the same again when no takedown is at work; one that was "
    "killed is completed by `imgbatch forget` with the same names."
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was to be seen of takedowns, and of how regions were made, at one moment.

    Attributes:
        told: the names of all tombstone files, and of each takedown its run and status.
        begun: a takedown that is not finished; "" where there is none.
        made: of each table of regions the fingerprints of its parts.
    """

    told: frozenset[tuple[str, str]]
    begun: str
    made: Mapping[str, frozenset[str]]

    def changed(self, now: Seen) -> str:
        """Return what came to pass since, after which nothing may be kept; "" where nothing did."""
        if self.begun or now.begun:
            return f"the takedown {self.begun or now.begun} is not finished"
        if self.told != now.told:
            return "a takedown went by meanwhile"
        gone = [name for name, own in self.made.items() if own - now.made.get(name, frozenset())]
        return f"table {gone[0]} was made otherwise meanwhile" if gone else ""


def look(dataset: Dataset) -> Seen:
    """Return what is to be seen now; to be called before anything is read that a page shows.

    Raises:
        DamageError: a record of a takedown is not readable.
    """
    names = tombstones.names_below(dataset.store, tombstones.FOLDER)
    told = {(name, "") for name in names if name.endswith(".parquet")}
    takedowns = {(str(one["run"]), str(one["status"])) for one in records(dataset.store)}
    begun = min((run for run, status in takedowns if status == "begun"), default="")
    regions = [name for name in dataset.folders("tables") if name.endswith(REGIONS)]
    return Seen(
        frozenset(told | takedowns), begun, {name: _made(dataset, name) for name in regions}
    )


def _made(dataset: Dataset, name: str) -> frozenset[str]:
    # Of its own, and not the dataset's: what that has opened stays as its reader saw it.
    table = dataset.newest(f"tables/{name}")
    found = pc.extract_regex(table.paths(), MADE_WITH)
    return frozenset(pc.unique(pc.struct_field(found, "made")).drop_null().to_pylist())


@contextlib.contextmanager
def putting(dataset: Dataset, before: Seen) -> Iterator[Callable[[str, bytes], None]]:
    """Give what writes objects of a page, by name and bytes; they stay if nothing changed.

    Args:
        dataset: to write to.
        before: what `look` saw before anything of the page was read.

    Raises:
        BusyError: a takedown is not finished or went by, or a run made regions anew. What was
            written is deleted again.
    """
    put: list[str] = []
    _refuse(before.changed(look(dataset)))

    def write(name: str, data: bytes) -> None:
        put.append(name)
        dataset.store.put(name, data)

    try:
        yield write
    finally:
        # Whatever ended it: what was written till then is there.
        why = before.changed(look(dataset))
        if why:
            _withdraw(dataset, put)
            _refuse(why)


def _refuse(why: str) -> None:
    if why:
        raise BusyError(f"no page of pictures may be put into the dataset now: {why}", AGAIN)


def _withdraw(dataset: Dataset, names: Sequence[str]) -> None:
    """Delete objects, with what a versioned bucket would keep of them."""
    store = dataset.store
    for name in names:
        store.delete(name)
    for folder in {name.rpartition("/")[0] for name in names}:
        # A version of a bucket is named from the bucket's root.
        own = [one for one in store.former(folder) if one.name.endswith(tuple(names))]
        store.erase(own)
