"""What is asked for enters; the listing of its input leaves, as the manifest compares it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from imgbatch import sources
from imgbatch.attempts import attempt
from imgbatch.dataset import Dataset, manifest, tombstones
from imgbatch.dataset.shards import Members, archives, inputs
from imgbatch.errors import SettingsError
from imgbatch.records import Source
from imgbatch.sources.tables import is_table, open_table
from imgbatch.storage import open_store
from imgbatch.storage.addresses import lies_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgbatch.dataset.changes import Listing
    from imgbatch.dataset.tombstones import Tombstones
    from imgbatch.settings import Limits, PostSettings
    from imgbatch.sources import Known
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

    sources: Listing
    forgotten: int


def list_input(request: Request, limits: Limits, listener: Listener, told: PostSettings) -> Listed:
    """Return the listing of the input, or of the sample of it that is asked for.

    Archives that the dataset knows in the same version are not read again, forgotten ones never.

    Args:
        request: `input` is what is listed.
        limits: how long a store is asked again.
        listener: told how far it is.
        told: of a single file that is a table of posts, which column names its media.

    Raises:
        SettingsError: the dataset lies inside the input, or holds sources of another one.
        InputError: the input cannot be listed.
        DumpError: a table has no such column.
        StorageError: the store failed, however often it was asked.
    """
    refuse_nested(open_store(request.input).root, open_store(request.dataset).root)
    dataset = Dataset.find(request.dataset)
    _refuse_other_input(request, dataset)
    known = archives(dataset) if dataset else {}
    members = Members(dataset) if dataset else None
    stones = tombstones.read(dataset.store) if dataset else tombstones.Tombstones()

    def recall(address: str, version: str) -> Iterable[Source] | None:
        if stones and stones.covers(address):
            return [Source(address, version, 0)]
        if members is None or known.get(address) != version:
            return None
        return members.of(address)

    def whole() -> Listed:
        found = _counted(_open(request.input, told, recall), listener)
        kept = _Kept(found, stones)
        listed = manifest.listing(kept, root=open_store(request.input).root)
        return Listed(listed, kept.left_out)

    # From its beginning: half a listing would remove the sources of the other half.
    listed = attempt(whole, sources.patience(limits))
    chosen = manifest.sample(listed.sources, limit=request.limit, share=request.share)
    return Listed(chosen, listed.forgotten)


def _open(url: str, told: PostSettings, recall: Known) -> Iterator[Source]:
    if told.form == "table" and is_table(url):
        return open_table(url, told, known=recall)
    return sources.open_input(url, known=recall)


class _Kept:
    """The listed sources that the dataset was not told to forget."""

    def __init__(self, found: Iterable[Source], stones: Tombstones) -> None:
        self._found = found
        self._stones = stones
        self.left_out = 0

    def __iter__(self) -> Iterator[Source]:
        if not self._stones:
            yield from self._found
            return
        for source in self._found:
            if self._stones.covers(source.address):
                self.left_out += 1
            else:
                yield source


def _counted(found: Iterable[Source], listener: Listener) -> Iterator[Source]:
    count = 0
    for count, source in enumerate(found, 1):
        if count % LISTING_STEP == 0:
            listener.listing(count)
        yield source
    listener.listing(count)


def refuse_nested(root: str, inner: str) -> None:
    """Refuse an input that holds the dataset, be it by way of a link.

    Raises:
        SettingsError: it does.
    """
    if lies_in(inner, root):
        raise SettingsError(
            f"DATASET {inner} lies inside INPUT {root}: its tables would become sources",
            "Put the dataset beside the input, not in it.",
        )


def _refuse_other_input(request: Request, dataset: Dataset | None) -> None:
    """Refuse an input that is not the dataset's, which is a typing error more often than a wish."""
    root = open_store(request.input).root
    if dataset is None or request.add_input:
        return
    known = inputs(dataset, until=root)
    if known and root not in known:
        raise SettingsError(
            f"{request.dataset} holds sources of {', '.join(sorted(known))}, not of {root}",
            "Give the same INPUT, or another DATASET; --add-input keeps both in this one.",
        )
