"""Enters: a record whose fields nobody has prescribed. Leaves: what its usual names say of a post.

Names are compared in lower case, blanks and dashes as `_`; the first name of a line that a record
has counts.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from imgbatch.sources.dumps.values import (
    count,
    iso_time,
    number,
    text_id,
    unix_time,
    written_time,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

POST_ID = ("post_id", "id", "tweet_id", "message_id", "item_id", "video_id", "shortcode", "uid")
AUTHOR_ID = ("author_id", "user_id", "owner_id", "channel_id", "account_id", "author_fullname")
AUTHOR_NAME = (
    "author_name", "author", "username", "user_name", "screen_name", "user", "owner_username",
    "channel", "account", "handle",
)  # fmt: skip
CREATED = (
    "created_at", "created_utc", "unix_timestamp", "timestamp", "create_time", "created",
    "taken_at", "published_at", "date", "datetime", "time", "posted_at", "post_date",
)  # fmt: skip
TEXT = (
    "text", "full_text", "body", "caption", "content", "message", "description",
    "video_description", "post_text", "title",
)  # fmt: skip
LANG = ("lang", "language")
URL = ("post_url", "permalink", "link", "webpage_url", "url")
REPLY_TO = ("reply_to", "in_reply_to_status_id", "in_reply_to", "parent_id")
REPOST_OF = ("repost_of", "retweet_id", "retweeted_id", "crosspost_parent")
PLATFORM = ("platform", "source_platform")
ALT_TEXT = ("alt_text", "alt", "image_alt")
METRIC = re.compile(
    r"(^|_)(likes?|shares?|views?|comments?|replies|retweets?|score)(_count)?$|_count$"
)

DAY = re.compile(r"^(19|20)\d{2}(0[1-9]|1[0-2])[0-3]\d$")
# Seconds between them are numbers of up to 8 digits.
FEW_DIGITS_FROM = datetime.fromtimestamp(0, UTC)
FEW_DIGITS_TO = datetime.fromtimestamp(10**8, UTC)
# What would be later, as seconds or milliseconds, was not meant as either.
MANY_DIGITS_FROM = datetime(2200, 1, 1, tzinfo=UTC)
# A day as in 20231224, and to the minute and second, by how many digits it has.
STAMPS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
# Of a second, as tables of pandas and Parquet have them in columns of whole numbers.
FRACTIONS = {16: 10**6, 19: 10**9}
WRITTEN = "%a %b %d %H:%M:%S %z %Y"


class Usual(NamedTuple):
    """Which field of a record says what; "" where none does."""

    post_id: str = ""
    author_id: str = ""
    author_name: str = ""
    created_at: str = ""
    text: str = ""
    lang: str = ""
    url: str = ""
    reply_to: str = ""
    repost_of: str = ""
    platform: str = ""
    alt_text: str = ""
    metrics: tuple[str, ...] = ()


def usual(fields: Iterable[str], *taken: str) -> Usual:
    """Return which fields say what, but for those that are taken for something else."""
    known = {plain(field): field for field in reversed([f for f in fields if f not in taken])}

    def first(names: tuple[str, ...]) -> str:
        return next((known[name] for name in names if name in known), "")

    return Usual(
        post_id=first(POST_ID),
        author_id=first(AUTHOR_ID),
        author_name=first(AUTHOR_NAME),
        created_at=first(CREATED),
        text=first(TEXT),
        lang=first(LANG),
        url=first(URL),
        reply_to=first(REPLY_TO),
        repost_of=first(REPOST_OF),
        platform=first(PLATFORM),
        alt_text=first(ALT_TEXT),
        metrics=tuple(sorted(field for name, field in known.items() if METRIC.search(name))),
    )


def plain(field: str) -> str:
    """Return a field's name as it is compared."""
    return re.sub(r"[\s-]+", "_", field.strip().lower())


def moment(value: Any) -> datetime | None:
    """Return the moment that a field holds, in UTC where it names no zone.

    Seconds, milliseconds, microseconds or nanoseconds since 1970, ISO 8601 (also 20231224), X's old
    form, or a datetime. A number of up to 8 digits is no seconds, which would be of before March
    1973: it is a day as in 20231224, or no moment, as a bare year is none; one of 12 or 14 digits
    is a minute or second as in 20231224153000, or none. Seconds before 1970 have a minus.
    """
    if isinstance(value, str):
        if value[4:5] == "-" or DAY.match(value.strip()):
            return iso_time(value)
    elif hasattr(value, "isoformat"):
        return iso_time(value.isoformat())
    found = unix_time(value)
    if found is None:
        return iso_time(value) or written_time(value, WRITTEN) or _by_digits(value)
    # In this order: by far the most are told by the first look.
    if FEW_DIGITS_TO <= found < MANY_DIGITS_FROM or found < FEW_DIGITS_FROM:
        return found
    return _by_digits(value)


def _by_digits(value: Any) -> datetime | None:
    """Return the moment of a number that is known by its length; a table may have it as 2.0."""
    told = number(value)
    if told is None or told < 0 or told % 1:
        return None
    digits = f"{told:.0f}"
    if len(digits) in FRACTIONS:
        return unix_time(int(digits) / FRACTIONS[len(digits)])
    if len(digits) not in STAMPS or not DAY.match(digits[:8]):
        return None
    return written_time(digits, STAMPS[len(digits)])


def words(row: Mapping[str, Any], field: str) -> str | None:
    """Return a text of a record; a number as its digits."""
    return word(row.get(field)) if field else None


def word(value: Any) -> str | None:
    """Return a text; a number as its digits."""
    return (value or None) if type(value) is str else text_id(value)


def numbers(row: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, int]:
    """Return those of some fields that hold whole numbers, by name."""
    return {field: told for field in fields if (told := count(row.get(field))) is not None}
