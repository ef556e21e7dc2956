"""Reddit dumps of Pushshift and Arctic Shift: submissions and comments, one JSON object a line.

Confirmed in the field lists that Arctic Shift derives from all dumps since 2005 (schemas/RS.ts,
schemas/RC.ts and file_content_explanations.md of ArthurHeitmann/arctic_shift, read 2026-11):
`created_utc` is a number or, in older months, a string; `author_fullname` is not always there;
`_meta` comes since 2023-11 and may say `was_deleted_later`; a gallery's order is that of
`gallery_data.items`; `media_metadata[].status` is valid, failed, unprocessed or invalid, its `e`
Image, AnimatedImage or RedditVideo; URLs hold `&amp;`. The names that downloaders give their files
were read in theirs: bdfr `{REDDITOR}_{TITLE}_{POSTID}`, gallery-dl `{id} {title}`.

Ids are fullnames (`t3_` submissions, `t1_` comments): the bare ids of the two count separately. An
author `[deleted]` is nobody, so that they do not look like one very active person.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from imgbatch.platforms import SUBMISSION
from imgbatch.sources.dumps import lines
from imgbatch.sources.dumps._reddit_ids import is_comment, whole
from imgbatch.sources.dumps._reddit_media import media_of
from imgbatch.sources.dumps.few import few
from imgbatch.sources.dumps.names import base, ref, stem
from imgbatch.sources.dumps.posts import Counted, Gap, Post
from imgbatch.sources.dumps.values import at, counts, text, text_id, unix_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked

TITLE = "Reddit, by Pushshift or Arctic Shift"
RECOGNISED = "lines of JSON with subreddit, created_utc and a title or a link_id (RS_*, RC_*)"
YIELDS = (
    "submissions and comments as posts, galleries in their order, Reddit's own videos, pictures "
    "that a submission links to; crossposts with the media of what they share"
)

ENDINGS = ("jsonl", "ndjson", "json", "zst", "xz", "bz2", "gz", "")
# A month's file; without extension when it was unpacked.
MONTH = re.compile(r"^R[SC]_(v2_)?\d{4}-\d{2}(\.|$)")
SITE = "https://www.reddit.com"
METRICS = ("score", "ups", "downs", "num_comments", "num_crossposts", "gilded", "controversiality")
NOBODY = "[deleted]"
# Of a submission's and a comment's own fields at least so many.
OWN = (
    "subreddit", "subreddit_id", "created_utc", "id", "author", "score", "title", "num_comments",
    "is_self", "selftext", "link_id", "parent_id", "body", "retrieved_on",
)  # fmt: skip
OWN_LEAST = 6
# `<id> <title>.jpg` and `<id> 02 <title>.jpg`, or `<author>_<title>_<id>.jpg`, `..._<id>_2.jpg`.
FIRST = re.compile(r"^([0-9a-z]{5,9}) ")
LAST = re.compile(r"_([0-9a-z]{5,9})(?:_\d{1,2})?$")

Row = dict[str, Any]


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the first object of a few files."""
    for name in few(dump, *ENDINGS, own=_may_be_ours):
        if _is_ours(lines.first(dump, name)):
            return 0.95
    return 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the files of whose first objects one is a submission or a comment."""
    for name in _candidates(dump):
        if _is_ours(lines.first(dump, name)):
            yield name


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield submissions and comments as they come."""
    del asked  # nothing to choose
    counted = Counted()
    for name in files(dump):
        for found in lines.objects(dump, name):
            if isinstance(found, Gap):
                yield found
            else:
                yield _post(found[1], name, found[0], counted)
        yield from counted.gaps()


def posts_of(name: str) -> str | None:
    """Return the submission that a downloader's file name holds; it names no comments."""
    found = FIRST.match(stem(name)) or LAST.search(stem(name))
    return SUBMISSION + found[1] if found else None


def _candidates(dump: Dump) -> Iterator[str]:
    return filter(_may_be_ours, dump.metadata(*ENDINGS))


def _may_be_ours(name: str) -> bool:
    return "." in base(name) or MONTH.match(base(name)) is not None


def _is_ours(first: list[Row]) -> bool:
    return any(map(_is_row, first))


def _is_row(item: Row) -> bool:
    if "subcategory" in item:
        return False  # gallery-dl writes Reddit's fields and a subcategory
    somewhere = "subreddit" in item or "subreddit_id" in item
    return somewhere and sum(field in item for field in OWN) >= OWN_LEAST


def _post(row: Row, name: str, line: int, counted: Counted) -> Post | Gap:
    bare = text_id(row.get("id"))
    if bare is None:
        return Gap("no-id", name, line, "a submission or comment without id")
    comment = is_comment(row)
    created = _time(row, name, line, counted)
    author = text(row.get("author"))
    if author is None:
        counted.missing("author", name, line)
    known = author is not None and author != NOBODY
    author_id = text_id(row.get("author_fullname")) if known else None
    if known and author_id is None:
        counted.missing("author_fullname", name, line)
    return Post(
        post_id=whole(bare, comment=comment),
        platform="reddit",
        raw_ref=ref(name, line),
        author_id=author_id,
        author_name=author if known else None,
        created_at=created,
        time_source="created_utc" if created else "",
        text=_text(row, comment=comment, where=(name, line, counted)),
        url=_url(row, bare),
        reply_to=text_id(row.get("parent_id")) if comment else None,
        repost_of=text_id(row.get("crosspost_parent")),
        metrics=_metrics(row),
        media=media_of(row, counted, name, line),
    )


def _time(row: Row, name: str, line: int, counted: Counted) -> datetime | None:
    told = row.get("created_utc")
    created = unix_time(told)
    if told is None:
        counted.missing("created_utc", name, line)
    elif created is None:
        counted.bad("created_utc", name, line)
    return created


def _text(row: Row, *, comment: bool, where: tuple[str, int, Counted]) -> str | None:
    name, line, counted = where
    first, second = ("body", "") if comment else ("title", "selftext")
    told = [said for said in (text(row.get(first)), text(row.get(second))) if said]
    if row.get(first) is None:
        counted.missing(first, name, line)
    return "\n\n".join(told) or None


def _url(row: Row, bare: str) -> str:
    link = text(row.get("permalink"))
    if link is not None:
        return SITE + link if link.startswith("/") else link
    # Comments of older months have none.
    thread = text_id(row.get("link_id"))
    if thread is None:
        return f"{SITE}/comments/{bare}"
    return f"{SITE}/comments/{thread.removeprefix(SUBMISSION)}/_/{bare}"


def _metrics(row: Row) -> dict[str, int]:
    found = counts(row, *METRICS)
    if row.get("over_18") is True:
        found["over_18"] = 1
    if at(row, "_meta", "was_deleted_later") is True:
        found["was_deleted_later"] = 1
    return found
