"""What commands on posts share: which are named; and the one that ends their time: retain."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch.errors import InputError, SettingsError
from imgbatch.terminal import DatasetUrl, Json, say

if TYPE_CHECKING:
    from imgbatch.dataset import Dataset

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


def given_posts(
    dataset: Dataset,
    post_id: list[str] | None,
    deleted_posts: str | None,
    platform: str | None,
) -> tuple[list[tuple[str, str]], int]:
    """Return the posts that options name, by platform ("": any) and id as the dataset has it.

    Returns:
        the posts, and how many lines of the file tell of something else than a deleted post.

    Raises:
        InputError: the file cannot be read.
        SettingsError: lines of it name no post, or the dataset has pseudonyms and there is no key.
    """
    from imgbatch.dataset import posts as kept  # noqa: PLC0415 - keeps `--help` quick
    from imgbatch.posts import privacy  # noqa: PLC0415
    from imgbatch.posts.deletions import read_deletions  # noqa: PLC0415

    ids, others = list(post_id or ()), 0
    if deleted_posts is not None:
        try:
            text = Path(deleted_posts).read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--deleted-posts {deleted_posts}: {error}") from error
        read = read_deletions(text)
        ids, others = [*ids, *read.ids], read.others
    made = kept.record(dataset) if ids and kept.here(dataset) else None
    inputs = made["inputs"].values() if made else ()
    if any(own["settings"]["pseudonyms"] for own in inputs):
        key = privacy.read_key()
        platforms = [platform] if platform else kept.platforms(dataset)
        hidden = [(p, privacy.pseudonym(key, "post", p, own)) for p in platforms for own in ids]
        # Pseudonyms themselves may be named too: whoever reads the tables sees nothing else.
        plain = [("", own) for own in ids if _is_pseudonym(own)]
        return [*hidden, *plain], others
    return [(platform or "", own) for own in ids], others


def _is_pseudonym(text: str) -> bool:
    return len(text) == 32 and all(c in "0123456789abcdef" for c in text)  # noqa: PLR2004 - its hex digits


def retain(
    dataset: DatasetUrl,
    *,
    days: Annotated[
        int | None,
        typer.Option(min=1, help="How long posts are kept; `keep_days` of the last recipe else."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Delete posts past their time, with the sources that no other post has, and log it."""
    from imgbatch.cli.forget import ask, rewrite_report, tell  # noqa: PLC0415 - quick `--help`
    from imgbatch.dataset import Dataset  # noqa: PLC0415
    from imgbatch.dataset.forget import forget  # noqa: PLC0415
    from imgbatch.dataset.given import Given, look_up  # noqa: PLC0415
    from imgbatch.dataset.posts_forgotten import older  # noqa: PLC0415

    opened = Dataset.open(dataset)
    kept = days or _kept_days(opened)
    before = time.time() - kept * DAY
    found, timeless = older(opened, before)
    notes = [f"{timeless:,} posts have no time, and stay"] if timeless else []
    if not found.here:
        said = f"nothing to do: no post is older than {kept} days"
        say(json, "retained", {"posts": 0, "days": kept, "timeless": timeless}, [said, *notes])
        return
    known = look_up(opened, [Given(one, one) for one in sorted(found.sources)])
    if not yes:
        ask(opened, known, found, as_json=json)
    day = time.strftime("%Y-%m-%d", time.gmtime(before))
    audit = forget(opened, known, of_posts=found, reason=f"retention: {kept} days, before {day}")
    rewrite_report(opened, audit)
    more: dict[str, Any] = {"days": kept, "timeless": timeless}
    tell("retained", known, found, audit, more, notes, as_json=json)


def _kept_days(dataset: Dataset) -> int:
    """Return `keep_days` of the recipe that ran last.

    Raises:
        SettingsError: it has none.
    """
    from imgbatch.observe.status import last_record  # noqa: PLC0415 - keeps `--help` quick

    last = last_record(dataset, dataset.run_names())
    found = ((last or {}).get("recipe") or {}).get("posts", {}).get("keep_days")
    if found is None:
        raise SettingsError(
            f"{dataset.url} has no time that its posts are kept",
            "Give --days, or set `keep_days` in the recipe's table [posts] and run.",
        )
    return int(found)
