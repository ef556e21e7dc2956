"""What is asked for enters; the listing of its input leaves, as the manifest compares it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from imgbatch import sources
from imgbatch.dataset import Dataset, manifest
from imgbatch.dataset.shards import Members, archives
from imgbatch.errors import SettingsError
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgbatch.dataset.changes import Listing
    from imgbatch.records import Source
    from imgbatch.summary import Request

LISTING_STEP = 1000


class Listener(Protocol):
    """Who is told while an input is listed."""

    def listing(self, found: int) -> None:
        """So many sources are listed so far."""


def list_input(request: Request, listener: Listener) -> Listing:
    """Return the listing of the input, or of the sample of it that is asked for.

    Archives that the dataset knows in the same version are not read again.

    Raises:
        SettingsError: the dataset lies inside the input.
        InputError: the input cannot be listed.
    """
    _refuse_nested(request)
    dataset = Dataset.find(request.dataset)
    known = archives(dataset) if dataset else {}
    members = Members(dataset) if dataset else None

    def recall(address: str, version: str) -> Iterable[Source] | None:
        if members is None or known.get(address) != version:
            return None
        return members.of(address)

    found = _counted(sources.open_input(request.input, known=recall), listener)
    whole = manifest.listing(found, root=open_store(request.input).root)
    return manifest.sample(whole, limit=request.limit, share=request.share)


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
