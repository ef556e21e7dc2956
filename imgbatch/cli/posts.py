"""What commands on posts share: which are named; and the one that ends their time: retain."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch.errors import InputError, SettingsError
from imgbatch.terminal import DatasetUrl, Json, say

if TYPE_CHECKING:
    from collections import Counter

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.given import Given
    from imgbatch.fetching.takedown import TakenOut
    from imgbatch.fetching.traces import Traces

DAY = 24 * 3600.0
NamedPosts = Annotated[
    list[str] | None, typer.Option("--post-id", help="Id of a post; may be given again.")
]
DeletedPosts = Annotated[
    str | None,
    typer.Option("--deleted-posts", help="A file of deleted posts: ids, CSV or JSON lines."),
]
OfPlatform = Annotated[
    str | None,
    typer.Option("--platform", help="Where these posts are from: x, telegram, ...; else any."),
]
LookedAtToo = Annotated[
    list[str] | None,
    typer.Option("--fetched", help="With --forgotten: OUT of a fetch. May be given again."),
]
FetchedTo = Annotated[
    list[str] | None,
    typer.Option("--fetched", help="OUT of a fetch: they leave it too. May be given again."),
]


@dataclass(frozen=True, slots=True)
class Takedown:
    """The posts that options name.

    Attributes:
        posts, authors: by platform ("": any) and id, as the dataset has it.
        ids: of the posts, as they were given and as names of files have them, by those of `posts`.
        plain: what their tombstones are made of where ids are no pseudonyms.
        others: lines of the file that tell of something else, by what they call it.
        hidden: pseudonyms that were given in place of ids.
        anywhere: those of `posts` that depend on no platform.
    """

    posts: list[tuple[str, str]]
    authors: list[tuple[str, str]]
    ids: dict[str, str]
    plain: frozenset[str]
    others: Counter[str]
    hidden: tuple[str, ...] = ()
    anywhere: frozenset[str] = frozenset()

    def proved(self) -> list[tuple[str, str]]:
        """Return by what each post may have a tombstone, on each platform that is here."""
        own = [one for one in self.posts if one[1] not in self.anywhere]
        platforms = sorted({platform for platform, _ in own if platform}) or [""]
        return [*own, *itertools.product(platforms, self.anywhere)]


def given_posts(
    dataset: Dataset,
    post_id: list[str] | None,
    deleted_posts: str | None,
    platform: str | None,
) -> Takedown:
    """Return the posts that options name.

    Raises:
        InputError: the file cannot be read.
        SettingsError: lines of it name no post, or the dataset has pseudonyms and there is no key,
            or it is another one.
    """
    from imgbatch.dataset import posts as kept
    from imgbatch.dataset.post_marks import REDDIT, author_mark, mark, other_forms, platform_of
    from imgbatch.platforms import unmarked
    from imgbatch.posts import privacy
    from imgbatch.posts.deletions import PLATFORM, Deletions, read_deletions
    from imgbatch.posts.found import key_of

    read = Deletions()
    if deleted_posts is not None:
        try:
            text = Path(deleted_posts).read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--deleted-posts {deleted_posts}: {error}") from error
        read = read_deletions(text)
    ids = [*(post_id or ()), *read.ids]
    # An author's number would be somebody else's on another platform.
    where = platform_of(platform or PLATFORM)
    names = {own: own for own in ids}
    posts = [(platform or "", own) for own in ids]
    authors = [(where, own) for own in read.authors]
    plain = frozenset({mark(*one) for one in posts} | {author_mark(*one) for one in authors})
    hidden: tuple[str, ...] = ()
    anywhere: dict[str, str] = {}
    made = kept.record(dataset) if plain and kept.here(dataset) else None
    inputs = made["inputs"].values() if made else ()
    if any(own["settings"]["pseudonyms"] for own in inputs):
        key = key_of(dataset)
        # Under any name of its file: the pseudonym is the same.
        here = {unmarked(one) for one in kept.platforms(dataset)}
        platforms = sorted(here)
        if platform:
            wanted = platform_of(platform)
            platforms = sorted({wanted} | {p for p in platforms if platform_of(p) == wanted})
        # Pseudonyms themselves may be named too: whoever reads the tables sees nothing else.
        hidden = tuple(filter(_is_pseudonym, ids))
        posts = []
        for there, own in itertools.product(platforms, ids):
            # What a pseudonym is of does not show: it is looked for in each form of the id.
            forms = other_forms(own) if platform_of(there) == REDDIT else ()
            theirs = [privacy.pseudonym(key, "post", there, form) for form in (own, *forms)]
            posts += [(there, one) for one in theirs]
            names |= dict.fromkeys(theirs, own)
        # Of platforms that are not here yet too, by whatever names they come.
        anywhere = {privacy.anywhere(key, own): own for own in ids}
        posts += [(platform or "", one) for one in anywhere]
        names |= anywhere
        posts += [("", own) for own in hidden]
        # Pseudonyms are of the platform by the name that the dump has for it.
        called = {where} | {p for p in here if platform_of(p) == where}
        authors = [
            (p, privacy.pseudonym(key, "author", p, own)) for p in called for own in read.authors
        ]
    return Takedown(posts, authors, names, plain, read.others, hidden, frozenset(anywhere))


def _is_pseudonym(text: str) -> bool:
    return len(text) == 32 and all(c in "0123456789abcdef" for c in text)  # noqa: PLR2004 - its hex digits


def check_fetched(fetched: list[str] | None, hidden: tuple[str, ...] = ()) -> None:
    """Refuse what no fetch wrote, and posts that it cannot know, before anything is changed.

    Raises:
        DatasetError: see `takedown.check_out`.
        SettingsError: posts are named by pseudonyms, and what a fetch wrote has their ids.
    """
    if fetched and hidden:
        raise SettingsError(
            f"{hidden[0]} is a pseudonym, and --fetched OUT has the ids of posts",
            "Nothing was changed. Name these posts by the ids that their platform gave them.",
        )
    from imgbatch.fetching.takedown import check_out

    for out in fetched or ():
        check_out(out)


def leave_fetched(
    fetched: list[str] | None, marks: frozenset[str], before: float | None = None
) -> list[TakenOut]:
    """Take posts out of what fetches wrote: by their marks, and those from before a moment."""
    from imgbatch.fetching.takedown import take_out

    return [take_out(out, marks, before=before) for out in fetched or ()]


def nobodys(dataset: Dataset, left: list[TakenOut]) -> list[Given]:
    """Return the sources whose files left with posts, and which no post of a dataset has.

    What a post had before it was edited: its rows do not say so any more, and OUT did.
    """
    from imgbatch.dataset.given import of_no_post

    deleted = {address for one in left for address in one.addresses}
    return of_no_post(dataset, deleted) if deleted else []


def looked_at(fetched: list[str] | None, marks: frozenset[str]) -> list[Traces]:
    """Look for forgotten posts in what fetches wrote, for those of these marks and all others."""
    if not fetched:
        return []
    from imgbatch.fetching.traces import traces

    return [traces(out, marks) for out in fetched]


def retain(
    dataset: DatasetUrl,
    *,
    days: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How long posts are kept; else `keep_days` of each input's last recipe, and of a "
            "post that several inputs have the shortest.",
        ),
    ] = None,
    fetched: FetchedTo = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Delete posts past their time, with the sources that no other post has, and log it."""
    from imgbatch.cli.forget import ask, tell
    from imgbatch.cli.forget_lines import fetched_lines, key_lines
    from imgbatch.dataset import Dataset
    from imgbatch.dataset.forget import forget
    from imgbatch.dataset.given import Given, look_up
    from imgbatch.dataset.posts_forgotten import older
    from imgbatch.posts.in_names import ids_in_names
    from imgbatch.recount import recount
    from imgbatch.report import rewrite_report
    from imgbatch.storage import open_store

    opened = Dataset.open(dataset)
    by_input = {} if days else _kept_days(opened)
    now = time.time()
    moments = {root: now - kept * DAY for root, kept in by_input.items()}
    all_days = sorted({days} if days else set(by_input.values()))
    shortest = now - all_days[0] * DAY
    found, timeless = older(opened, moments or shortest, ids=ids_in_names(opened))
    notes = [f"{timeless:,} posts have no time, and stay"] if timeless else []
    notes += key_lines(opened)
    check_fetched(fetched)
    known = look_up(opened, [Given(one, one) for one in sorted(found.sources)])
    if not yes and (found.here or fetched):
        ask(opened, known, found, fetched, as_json=json)
    # Of which input a fetch is nobody knows, unless its OUT is one itself.
    marks = found.marks if by_input else frozenset()
    left = [
        one
        for out in fetched or ()
        for one in leave_fetched([out], marks, moments.get(open_store(out).root, shortest))
    ]
    if deleted := nobodys(opened, left):
        known = look_up(opened, [*(Given(one, one) for one in sorted(found.sources)), *deleted])
    told = {"days": all_days[0], "inputs": by_input} if by_input else {"days": days}
    if not (found.here or deleted):
        said = f"nothing to do: no post is older than {' or '.join(map(str, all_days))} days"
        record: dict[str, Any] = {"posts": 0, **told, "timeless": timeless}
        record["fetched"] = [one.record() for one in left]
        say(json, "retained", record, [said, *notes, *fetched_lines(left)])
        return
    reasons = (f"{kept} days, before {_day(now - kept * DAY)}" for kept in all_days)
    reason = f"retention: {'; '.join(reasons)}"
    audit = forget(opened, known, of_posts=found, reason=reason, recount=recount)
    rewrite_report(opened, audit.report)
    more = {**told, "timeless": timeless}
    tell("retained", known, found, audit, left, more, notes, as_json=json)


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))


def _kept_days(dataset: Dataset) -> dict[str, int]:
    """Return `keep_days` of the recipe that each input had last, by its root.

    Raises:
        SettingsError: none has any.
    """
    from imgbatch.posts.retention import kept_days

    found = kept_days(dataset)
    if not found:
        raise SettingsError(
            f"{dataset.url} has no time that its posts are kept",
            "Give --days, or set `keep_days` in the recipe's table [posts] and run.",
        )
    return found
