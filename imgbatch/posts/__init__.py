"""The last step of a run: posts of a dump enter, three tables of the dataset leave.

A dump is an input like any other, and its metadata files are sources too. When all sources have
their outcomes, the metadata files are read again as a stream, and each medium of a post is joined
to the source that holds it. Nothing is read when neither sources nor settings changed since.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from imgbatch import __version__
from imgbatch.dataset import posts, tombstones
from imgbatch.dataset.gathered import Counts, Gathered
from imgbatch.dataset.places_then import PlacesThen
from imgbatch.dataset.suspects import Seen, Suspects
from imgbatch.posts.damage import Noted, there
from imgbatch.posts.found import (
    Found,
    check,
    find,
    key_mark,
    lasting,
    look,
    refuse_other_ids,
    refuse_unknown,
)
from imgbatch.posts.in_names import all_ids_of, ids_of
from imgbatch.posts.keys import exact_paths, media_keys, source_keys
from imgbatch.posts.leaving import FORMER, REASON, begin_to_forget
from imgbatch.posts.left_out import left_out, platforms_of
from imgbatch.posts.retention import changed as retention_changed
from imgbatch.posts.rows import Batches
from imgbatch.sources import dumps
from imgbatch.sources.dumps import Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.tombstones import Tombstones
    from imgbatch.records import Source
    from imgbatch.settings import Limits, PostSettings
    from imgbatch.sources.dumps import Dump, Post

__all__ = [
    "Ahead",
    "Brought",
    "Found",
    "ahead",
    "bring",
    "check",
    "find",
    "refuse_other_ids",
    "refuse_unknown",
    "retention_changed",
]

# The version of posts that tells first which of them other inputs have too: before it, one post had
# several ids. It grows whenever a format gives other ids.
SHARED_SINCE = 4


@dataclass(frozen=True, slots=True)
class Brought:
    """What the step came to; `suspects` has addresses."""

    formats: tuple[str, ...]
    counts: Counts
    suspects: Suspects
    seconds: float

    def record(self) -> dict[str, Any]:
        """Return all of it, as `runs/<run>.json` and `--json` say it."""
        told = {"formats": list(self.formats), **asdict(self.counts), "seconds": self.seconds}
        # By address, so that a takedown of the file finds it.
        return {**told, "suspects": asdict(self.suspects)} if self.suspects.count else told


@dataclass(frozen=True, slots=True)
class Ahead:
    """What the step would do: of posts alone, because media are joined when they have outcomes."""

    formats: tuple[str, ...]
    read: int
    new: int
    changed: int
    removed: int
    absent: int


def bring(
    dataset: Dataset,
    input_: str,
    found: Found,
    settings: PostSettings,
    *,
    run: str,
    number: int,
    say: Callable[[str], None] | None = None,
) -> Brought:
    """Read a dump, join it, and commit what differs from before.

    Args:
        dataset: to write to.
        input_: the root that is read.
        found: what `find` gave.
        settings: how.
        run: who commits.
        number: under which; taken by `take_number`.
        say: told what is going on.

    Raises:
        FencedError: another run took the dataset over; the former rows stay.
        StorageError: the temporary folder is full, or the store failed.
    """
    start = time.monotonic()
    # Before anything is read: what changes meanwhile is seen by the next run.
    states = posts.states(dataset)
    posts.here(dataset)
    made = posts.record(dataset)
    stones = tombstones.read(dataset.store)
    with contextlib.closing(Gathered(dataset, input_)) as gathered:
        _read(gathered, found, settings, dataset, stones, made=made, say=say)
        own: dict[str, Any] = {
            "formats": list(found.formats),
            "settings": lasting(settings),
            "key": key_mark(settings),
            "manifest": states["manifest"],
            "before": found.dump.address(""),
            "version": posts.VERSION,
            "stones": len(stones),
        }
        inputs = {**(made["inputs"] if made else {}), input_: own}
        before = {name: told["before"] for name, told in inputs.items()}
        formats = sorted({name for told in inputs.values() for name in told["formats"]})
        if say:
            say("posts: joining media to sources")
        hidden = _hidden(settings)
        gathered.join(media_keys(before), source_keys(before), ids_of(formats, hidden))
        reason = REASON if settings.removed == "forget" else FORMER
        here = posts.platforms(dataset) if hidden and posts.POSTS in posts.here(dataset) else []
        in_names = all_ids_of(formats, hidden, stones.platforms.union(here))
        begin_to_forget(dataset, gathered, before, in_names, number=number, reason=reason)
        # Else what leaves now may be here by another name: it is read once more.
        if not gathered.has_untold():
            own["stones"] = len(tombstones.read(dataset.store))
        said = {
            "run": run,
            "version": posts.VERSION,
            "imgbatch": __version__,
            "sources": states["sources"],
            "inputs": inputs,
            "counts": asdict(gathered.counts),
        }
        posts.commit(dataset, posts.Made(gathered.rows(), said), run=run, number=number)
        if settings.removed == "forget":
            posts.vacuum(dataset)
        seconds = round(time.monotonic() - start, 3)
        files = tuple(map(found.dump.address, gathered.suspects.files))
        suspects = Suspects(gathered.suspects.count, files)
        return Brought(found.formats, gathered.counts, suspects, seconds)


def ahead(
    dataset: Dataset,
    input_: str,
    sources: Iterable[Source],
    settings: PostSettings,
    limits: Limits | None = None,
    *,
    unread: dict[str, int] | None = None,
) -> Ahead | None:
    """Return what the step would do with an input of these sources; None where it is no dump.

    `unread` takes what may hold posts, by ending, where no format is recognised.

    Raises:
        DumpError, SettingsError: as for `find`.
    """
    if settings.form == "none":
        return None
    posts.here(dataset)
    made = posts.record(dataset)
    was = bool(made and input_ in made["inputs"])
    found = look(input_, sources, settings, limits, was=was, unread=unread)
    if found is None:
        return None
    refuse_other_ids(dataset, settings)
    with contextlib.closing(Gathered(dataset, input_)) as gathered:
        stones = tombstones.read(dataset.store)
        read = _read(gathered, found, settings, dataset, stones, made=made)
        got = gathered.counts
        return Ahead(found.formats, read, got.new, got.changed, got.removed, got.absent)


def _hidden(settings: PostSettings) -> Callable[[str, str], str] | None:
    """Return what gives the pseudonym of a post, of its platform and id; None: ids are plain."""
    if not settings.pseudonyms:
        return None
    from imgbatch.posts import privacy  # noqa: PLC0415 - most dumps need none of it

    return partial(privacy.pseudonym, privacy.read_key(), "post")


def _read(
    gathered: Gathered,
    found: Found,
    settings: PostSettings,
    dataset: Dataset,
    stones: Tombstones,
    *,
    made: Mapping[str, Any] | None,
    say: Callable[[str], None] | None = None,
) -> int:
    """Read all posts and settle them with those of before; return how many were read."""
    batches = Batches(gathered.input, gathered.take)
    gave: set[str] = set()
    with contextlib.closing(found.dump):
        noted = Noted(dumps.read_all(found.dump, found.formats, settings))
        kept = _private(noted, settings, platforms_of(stones))
        if stones:
            kept = left_out(
                kept,
                stones,
                found.dump,
                input_=gathered.input,
                gave=gave,
                say=batches.leave_out,
                then=PlacesThen(dataset, gathered.input),
            )
        kept = dumps.exported(kept, found.dump, found.formats, gave)
        for rows in batches.of(kept):
            gathered.take(rows)
            if say:
                say(f"posts: {batches.read:,} read")
        why = "no metadata of a dump is left" if not found.formats else noted.damage
        pieces = {name: dumps.ids_within(name) for name in found.formats if dumps.in_pieces(name)}
        gathered.settle(
            settings.removed,
            listed=partial(_listed, found.dump, whole=noted.listed),
            exact=exact_paths,
            damage=why or _unknown(made, gathered.input),
            seen=Seen(
                there=partial(there, found.dump),
                gave=gave,
                asked=() if settings.form == "auto" else found.formats,
                first=not made or gathered.input not in made["inputs"],
            ),
            pieces=pieces,
            without=_not_kept(settings),
        )
    return batches.read


def _listed(dump: Dump, name: str, *, whole: bool) -> str | None:
    """Return the address of a file that is in a dump, or may be where not `whole` is listed."""
    return dump.address(name) if not name or not whole or dump.has(name) else None


def _unknown(made: Mapping[str, Any] | None, input_: str) -> str:
    """Return why no post of an input counts as removed: who else has it is not known; else ""."""
    for name, own in made["inputs"].items() if made else ():
        if name != input_ and own.get("version", 0) < SHARED_SINCE:
            return f"which posts {name} has too is not known until that input is run again"
    return ""


def _not_kept(settings: PostSettings) -> tuple[str, ...]:
    """Return the columns that are left out of posts that were brought with them, too."""
    text = () if settings.text else ("text", "alt_text")
    return text if settings.names else (*text, "author_name", "url")


def _private(
    found: Iterable[tuple[str, Post | Gap]], settings: PostSettings, platforms: Sequence[str]
) -> Iterable[tuple[str, Post | Gap]]:
    """Leave out what is not to be kept, before anything of it lies on a disk."""
    if settings.text and settings.names and not settings.pseudonyms:
        return found
    from imgbatch.posts import privacy  # noqa: PLC0415 - most dumps need none of it

    key = privacy.read_key() if settings.pseudonyms else None
    return (
        (name, one if isinstance(one, Gap) else privacy.private(one, settings, key, platforms))
        for name, one in found
    )
