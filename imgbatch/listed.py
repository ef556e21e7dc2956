"""What is asked for enters; the listing of its input leaves, as the manifest compares it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pyarrow.compute as pc

from imgbatch import sources
from imgbatch.dataset import Dataset, manifest, tombstones
from imgbatch.dataset.shards import archives, members
from imgbatch.errors import SettingsError
from imgbatch.records import Source
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from imgbatch.summary import Request

LISTING_STEP = 1000


class Listener(Protocol):
    """Who is told while an input is listed."""

    def listing(self, found: int) -> None:
        """So many sources are listed so far."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What an input holds.

    Attributes:
        sources: as the manifest compares them.
        forgotten: how many more there are that this dataset was told to forget.
    """

    sources: pa.Table
    forgotten: int


def list_input(request: Request, listener: Listener) -> Listed:
    """Return the listing of the input, or of the sample of it that is asked for.

    Archives that the dataset knows in the same version are not read again, forgotten ones never.

    Raises:
        SettingsError: the dataset lies inside the input.
        InputError: the input cannot be listed.
    """
    _refuse_nested(request)
    dataset = Dataset.find(request.dataset)
    known = archives(dataset) if dataset else {}
    stones = tombstones.read(dataset.store) if dataset else tombstones.Tombstones()

    def recall(address: str, version: str) -> Iterable[Source] | None:
        if stones and stones.covers(address):
            return [Source(address, version, 0)]
        if dataset is None or known.get(address) != version:
            return None
        return members(dataset, address)

    found = _counted(sources.open_input(request.input, known=recall), listener)
    whole = manifest.listing(found, root=open_store(request.input).root)
    kept = whole.filter(pc.invert(stones.listed(whole))) if stones else whole
    return Listed(
        manifest.sample(kept, limit=request.limit, share=request.share),
        forgotten=whole.num_rows - kept.num_rows,
    )


def _counted(found: Iterable[Source], listener: Listener) -> Iterator[Source]:
    count = 0
    for count, source in enumerate(found, 1):
        if count % LISTING_STEP == 0:
            listener.listing(count)
        yield source
    listener.listing(count)


def _refuse_nested(request: Request) -> None:
    root, inner = open_store(request.input).root, open_store(request.dataset).root
    if f"{inner}/".startswith(f"{root}/"):
        raise SettingsError(
            f"DATASET {inner} lies inside INPUT {root}: its tables would become sources",
            "Put the dataset beside the input, not in it.",
        )
