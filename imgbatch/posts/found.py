"""An input enters; the dump that it is leaves, if it is one and its posts are not up to date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgbatch.dataset import counts, posts, tombstones
from imgbatch.dataset.shards import of_input
from imgbatch.errors import SettingsError, StorageError
from imgbatch.sources import dumps
from imgbatch.sources.dumps import Dump

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imgbatch.dataset import Dataset
    from imgbatch.records import Source
    from imgbatch.settings import Limits, PostSettings

# Sources of these classes are no metadata; whatever else is filtered may be, and so may what could
# not be had: it was not looked into.
NO_METADATA = ("archive", "link")
NOT_HAD = ("archive.", "fetch.")
NEW_DATASET = "Use a new DATASET: rows of both kinds would never find each other."


@dataclass(frozen=True, slots=True)
class Found:
    """A dump that is to be read.

    Attributes:
        formats: what it is read as; none where it was a dump and no metadata is left of it.
    """

    dump: Dump
    formats: tuple[str, ...]


def refuse_unknown(settings: PostSettings, root: str = "") -> None:
    """Refuse a format that there is not, before anything is listed.

    Args:
        settings: how posts are brought in.
        root: of the dataset, which may not be there yet.

    Raises:
        DumpError: with the names that are near.
        SettingsError: a column of media is named, and the dump is to be no table; or ids are to be
            pseudonyms, and there is no key, or it lies in the dataset.
    """
    if settings.media_column and settings.form != "table":
        raise SettingsError(
            f"--media-column {settings.media_column} is of tables, and --dump {settings.dump} "
            "knows itself where its media are",
            "Give one of the two; or --dump table.",
        )
    if settings.form not in ("auto", "none"):
        dumps.load(settings.form)
    key_mark(settings, root)


def key_mark(settings: PostSettings, root: str = "") -> str:
    """Return what tells one key of pseudonyms from another, and nothing of the key itself.

    Args:
        settings: "" comes of those without pseudonyms.
        root: of the dataset that the key must not lie in; "": not looked at.
    """
    if not settings.pseudonyms or settings.form == "none":
        return ""
    from imgbatch.posts import privacy  # noqa: PLC0415 - most dumps need none of it

    return _mark_of(privacy.read_key(outside=root))


def key_of(dataset: Dataset) -> bytes:
    """Return the key of a dataset of pseudonyms: by another one no post of it would be found.

    Raises:
        SettingsError: none is named, it is of another dataset, or lies in this one.
    """
    from imgbatch.posts import privacy  # noqa: PLC0415 - most dumps need none of it

    key = privacy.read_key(outside=dataset.url)
    made = posts.record(dataset)
    if any(own["key"] != _mark_of(key) for own in (made["inputs"].values() if made else ())):
        raise _other_key(dataset, "Name the file of that key.")
    return key


def _mark_of(key: bytes) -> str:
    from imgbatch.posts import privacy  # noqa: PLC0415 - most dumps need none of it

    return privacy.pseudonym(key, "post", "", "")[:8]


def _other_key(dataset: Dataset, remedy: str) -> SettingsError:
    return SettingsError(f"{dataset.url} holds posts by pseudonyms of another key", remedy)


def refuse_other_ids(dataset: Dataset, settings: PostSettings) -> None:
    """Refuse pseudonyms in a dataset of plain ids, and the other way round.

    Raises:
        SettingsError: so it is.
    """
    made = posts.record(dataset)
    for own in made["inputs"].values() if made else ():
        if own["settings"]["pseudonyms"] != settings.pseudonyms:
            had, has = (
                ("pseudonyms", "plain ids")
                if own["settings"]["pseudonyms"]
                else ("plain ids", "pseudonyms")
            )
            raise SettingsError(
                f"{dataset.url} holds posts by {had}, and these would come by {has}", NEW_DATASET
            )
        if own["key"] != key_mark(settings):
            raise _other_key(dataset, "Name the file of that key, or use a new DATASET.")


def find(
    dataset: Dataset,
    input_: str,
    settings: PostSettings,
    limits: Limits | None = None,
    *,
    unread: dict[str, int] | None = None,
) -> Found | None:
    """Return the dump that an input is, if it is one and its posts are not up to date.

    Args:
        dataset: with its manifest and outcomes.
        input_: the root of the input.
        settings: `dump` says what to look for.
        limits: how long a store is asked again.
        unread: see `look`.

    Raises:
        DumpError: several formats would read the same file, or none is of the one that is named, or
            no table has a column that is.
        SettingsError: see `refuse_other_ids`.
    """
    made = posts.record_now(dataset)
    own = made["inputs"].get(input_) if made else None
    if settings.form == "none" or (made and own and not _is_due(dataset, made, own, settings)):
        return None
    if own is None and settings.form == "auto" and not _may_hold_metadata(dataset):
        return None
    found = look(
        input_, of_input(dataset, input_), settings, limits, was=own is not None, unread=unread
    )
    if found:
        refuse_other_ids(dataset, settings)
    return found


def check(
    dataset: Dataset, input_: str, settings: PostSettings, limits: Limits | None = None
) -> None:
    """Refuse before anything is analysed what `find` would refuse when all is.

    What is no dump by then is known only when its sources have their outcomes.

    Raises:
        DumpError, SettingsError: as for `find`.
    """
    made = posts.record_now(dataset)
    was = bool(made and input_ in made["inputs"])
    if settings.form == "none" or not (was or settings.form != "auto"):
        return
    refuse_other_ids(dataset, settings)
    if settings.form != "auto":
        found = look(input_, of_input(dataset, input_), settings, limits, was=was)
        if found:
            found.dump.close()


def _is_due(
    dataset: Dataset, made: Mapping[str, Any], own: Mapping[str, Any], settings: PostSettings
) -> bool:
    now = posts.states(dataset)
    return bool(
        own["manifest"] != now["manifest"]
        or made["sources"] != now["sources"]
        or own.get("version") != posts.VERSION
        or own["settings"] != lasting(settings)
        # The dump may have files of what was forgotten since, or say of others that they are.
        or own["stones"] != len(tombstones.read(dataset.store))
        # Whoever was to delete what former versions held was killed before.
        or (settings.removed == "forget" and posts.strays(dataset))
    )


def lasting(settings: PostSettings) -> dict[str, Any]:
    """Return the settings that rows depend on."""
    return settings.model_dump(mode="json", exclude={"keep_days"})


def _may_hold_metadata(dataset: Dataset) -> bool:
    if not dataset.table(counts.OUTCOMES).exists:
        return False
    try:
        told = counts.outcomes(dataset)
    except (OSError, StorageError):
        return True  # they are derived: where they cannot be read, the input itself is looked at
    return any(
        (status == "filtered" and error_class not in NO_METADATA)
        or (status == "failed" and str(error_class).startswith(NOT_HAD))
        for status, error_class in told
    )


def look(
    input_: str,
    sources: Iterable[Source],
    settings: PostSettings,
    limits: Limits | None,
    *,
    was: bool,
    unread: dict[str, int] | None = None,
) -> Found | None:
    """Return the dump that an input of these sources is, open; None where it is none.

    Args:
        input_: its root.
        sources: of the input.
        settings: `form` says what to look for.
        limits: how long a store is asked again.
        was: whether it was a dump before: then it is one, of which nothing may be left.
        unread: takes how many files may hold posts, by ending, where no format is recognised.

    Raises:
        DumpError: as for `find`.
    """
    dump = Dump(input_, sources, limits)
    try:
        formats = tuple(dumps.choose(dump, settings.form))
        dumps.refuse(dump, formats, settings)
    except BaseException:
        dump.close()
        raise
    if not formats and unread is not None:
        unread.update(dumps.untaken(dump))
    if formats or was:
        return Found(dump, formats)
    dump.close()
    return None
