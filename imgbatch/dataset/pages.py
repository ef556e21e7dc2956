"""Pages that show sources enter a dataset, and leave it again where they show what may not stay.

Who makes a page holds no lock: runs would wait for it. So a takedown may be through before the page
is put, and nobody would look at it any more. It changes what `look` sees first, and deletes
`report/` afterwards: whoever looks before he reads, and again once the page is there, was either
quicker than that, or takes the page out himself.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgbatch.dataset import tombstones
from imgbatch.dataset.audit import records
from imgbatch.errors import BusyError, ImgbatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from imgbatch.dataset import Dataset

AGAIN = (
    "Nothing of it was left there. Do the same again when no takedown is at work; one that was "
    "killed is completed by `imgbatch forget` with the same names."
)
STAYS = (
    "What stays may show what was forgotten. `imgbatch forget DATASET --former` deletes the report "
    "with its former versions: do it as soon as the store lets you list and delete them."
)
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Seen:
    """What was to be seen of takedowns at one moment.

    Attributes:
        told: the names of all tombstone files, and of each takedown its run and status.
        begun: a takedown that is not finished; "" where there is none.
    """

    told: frozenset[tuple[str, str]]
    begun: str

    def changed(self, now: Seen) -> str:
        """Return what came to pass since, after which nothing may be kept; "" where nothing did."""
        if self.begun or now.begun:
            return f"the takedown {self.begun or now.begun} is not finished"
        return "" if self.told == now.told else "a takedown went by meanwhile"


def look(dataset: Dataset) -> Seen:
    """Return what is to be seen now; to be called before anything is read that a page shows.

    Raises:
        DamageError: a record of a takedown is not readable.
    """
    names = tombstones.names_below(dataset.store, tombstones.FOLDER)
    told = {(name, "") for name in names if name.endswith(".parquet")}
    takedowns = {(str(one["run"]), str(one["status"])) for one in records(dataset.store)}
    begun = min((run for run, status in takedowns if status == "begun"), default="")
    return Seen(frozenset(told | takedowns), begun)


@contextlib.contextmanager
def putting(dataset: Dataset, before: Seen) -> Iterator[Callable[[str, bytes], None]]:
    """Give what writes objects of a page, by name and bytes; they stay if nothing changed.

    Args:
        dataset: to write to.
        before: what `look` saw before anything of the page was read.

    Raises:
        BusyError: a takedown is not finished or went by. What was written is deleted again; what
            could not be is named.
        StorageError, DamageError: nobody can say whether one did; it is deleted as well. Where
            something stays, that is a BusyError too.
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
        try:
            why = before.changed(look(dataset))
        except ImgbatchError as error:
            if stays := _withdraw(dataset, put):
                _refuse(f"nobody can say whether a takedown went by: {error}", stays, error)
            raise
        if why:
            _refuse(why, _withdraw(dataset, put))


def _refuse(why: str, stays: str = "", cause: Exception | None = None) -> None:
    if why:
        told = f"no page of pictures may be put into the dataset now: {why}"
        if stays:
            raise BusyError(f"{told}; {stays}", STAYS) from cause
        raise BusyError(told, AGAIN)


def _withdraw(dataset: Dataset, names: Sequence[str]) -> str:
    """Delete objects, with what a versioned bucket would keep of them; return what may stay.

    One that cannot be deleted keeps none of the others.
    """
    store = dataset.store
    there: list[str] = []
    former: list[str] = []
    why: list[str] = []
    for name in dict.fromkeys(names):
        try:
            store.delete(name)
        except (ImgbatchError, OSError) as error:
            there.append(name)
            why.append(str(error))
    for folder in sorted({name.rpartition("/")[0] for name in names}):
        # A version of a bucket is named from the bucket's root.
        try:
            own = [one for one in store.former(folder) if one.name.endswith(tuple(names))]
            store.erase(own)
        except (ImgbatchError, OSError) as error:
            former.append(f"{folder}/")
            why.append(str(error))
    told = [
        *([f"{_some(there)} could not be deleted"] if there else []),
        *([f"former versions of the page may stay below {_some(former)}"] if former else []),
    ]
    return f"{' and '.join(told)}: {why[0]}" if told else ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if names[SHOWN:] else ""
    return ", ".join(names[:SHOWN]) + more
