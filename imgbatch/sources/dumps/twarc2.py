"""X API v2 as twarc2 writes it, one JSON object a line: pages of posts, or flattened posts.

A page is {data, includes, meta, errors, __twarc}: authors, media and referenced posts stand in
`includes`, by id; `twarc2 flatten` puts them into each post. Pages of users (followers, ...), lists
and counts differ in `data` alone, and are no posts. Confirmed in twarc's expansions.py (which keys
are joined, and what a flattened post looks like) and command2.py (what else it writes). No media
are in such a dump; who downloads them keeps the basename of the URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.sources.dumps import lines
from imgbatch.sources.dumps.few import few
from imgbatch.sources.dumps.names import ref
from imgbatch.sources.dumps.posts import Counted, Gap, Media, Post
from imgbatch.sources.dumps.values import (
    at,
    count,
    counts,
    iso_time,
    number,
    objects,
    text,
    text_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked, MediaKind

TITLE = "X API v2, by twarc2"
RECOGNISED = "lines of JSON with data and includes, or flattened posts with edit history or metrics"
YIELDS = (
    "posts, reposts with the whole text and media of the original, photos by URL, videos by their "
    "best variant; quotes are posts of their own"
)

ENDINGS = ("jsonl", "ndjson", "json")
KINDS: dict[str, MediaKind] = {"photo": "image", "video": "video", "animated_gif": "video"}
# Of a flattened post at least so many.
FLAT = ("author_id", "conversation_id", "public_metrics", "edit_history_tweet_ids", "created_at")
FLAT_LEAST = 3
# What only posts have, and what users, lists, jobs, spaces and counts have and posts never.
POSTED = ("text", "author_id", "conversation_id", "edit_history_tweet_ids", "referenced_tweets")
OTHER = ("username", "name", "tweet_count", "host_ids", "state")

Tweet = dict[str, Any]


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the first object of a few files."""
    for name in few(dump, *ENDINGS):
        if _is_ours(lines.first(dump, name)):
            return 0.9
    return 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the files of whose first objects one is a page or a flattened post."""
    for name in dump.metadata(*ENDINGS):
        if _is_ours(lines.first(dump, name)):
            yield name


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield the posts of all pages, in order."""
    del asked  # nothing to choose
    counted = Counted()
    for name in files(dump):
        came = False
        for found in lines.objects(dump, name):
            if isinstance(found, Gap):
                came = True
                yield found
                continue
            line, page = found
            for one in _page(page, name, line, counted):
                came = True
                yield one
        # Of a page that does not say it there is a gap.
        if not came:
            counted.empty(name)
        yield from counted.gaps()


def _is_ours(first: list[Tweet]) -> bool:
    return any(map(_is_page, first))


def _is_page(item: Tweet) -> bool:
    if "__twarc" in item and any(key in item for key in ("data", "errors", "id", "meta")):
        return not any(map(_is_other, (_tweets(item) or [])[:1]))
    if "data" in item and ("includes" in item or at(item, "meta", "newest_id") is not None):
        tweet = at(item, "data", 0) or item["data"]
        return isinstance(tweet, dict) and "id" in tweet and "text" in tweet
    flat = sum(key in item for key in FLAT)
    return "id" in item and "text" in item and flat >= FLAT_LEAST


def _is_other(item: Tweet) -> bool:
    """Tell whether an item is no post: a user, a list, a space, a job, a count."""
    return any(key in item for key in OTHER) and not any(key in item for key in POSTED)


class _Included:
    """What a page brings beside its posts, by id."""

    def __init__(self, page: Tweet) -> None:
        includes = page.get("includes")
        self.users = {text_id(user.get("id")): user for user in objects(at(includes, "users"))}
        self.tweets = {text_id(post.get("id")): post for post in objects(at(includes, "tweets"))}
        self.media = {
            text_id(medium.get("media_key")): medium for medium in objects(at(includes, "media"))
        }


def _page(page: Tweet, name: str, line: int, counted: Counted) -> Iterator[Post | Gap]:
    for error in objects(page.get("errors")):
        title = text(error.get("title")) or "untitled"
        counted.note("unread", f"the platform gave an error instead: {title[:80]}", name, line)
    tweets = _tweets(page)
    if tweets is None:
        counted.no_id("data: no posts", name, line)
        return
    if not tweets and not _is_empty(page):
        counted.no_id("data: no posts, and nothing says that there are none", name, line)
    elif isinstance(listed := page.get("data"), list) and len(tweets) < len(listed):
        counted.no_id("data: an item that is no object", name, line)
    if any(map(_is_other, tweets)):
        counted.note("unread", "data: users, lists or counts, and no posts", name, line)
        tweets = [tweet for tweet in tweets if not _is_other(tweet)]
    included = _Included(page)
    if included.media.keys() - _named([*tweets, *included.tweets.values()]):
        counted.missing("attachments.media_keys", name, line)
    for tweet in tweets:
        post_id = text_id(tweet.get("id"))
        if post_id is None:
            yield Gap("no-id", name, line, "a post without id")
        else:
            yield _post(post_id, tweet, included, (name, line, counted))


def _is_empty(page: Tweet) -> bool:
    """Tell whether a page without posts is one by its own words: none found, or each refused."""
    if count(at(page, "meta", "result_count")) == 0:
        return True
    errors = page.get("errors")
    told = objects(errors) if "includes" not in page else []
    # What is not of one post, such as too many requests, says nothing of any.
    return bool(told) and all("resource_id" in error or "value" in error for error in told)


def _named(tweets: list[Tweet]) -> set[str | None]:
    """Return the keys of all media that posts name."""
    found: set[str | None] = set()
    for tweet in tweets:
        keys = at(tweet, "attachments", "media_keys")
        found.update(map(text_id, keys) if isinstance(keys, list) else ())
    return found


def _tweets(page: Tweet) -> list[Tweet] | None:
    """Return the posts of a line, none where it brings errors alone; None: no posts by its type."""
    data = page.get("data", [page] if "id" in page or "text" in page else [])
    if isinstance(data, dict):
        return [data]
    return objects(data) if isinstance(data, list) else None


def _post(post_id: str, tweet: Tweet, included: _Included, where: tuple[str, int, Counted]) -> Post:
    name, line, counted = where
    for field in ("author_id", "created_at", "text"):
        if tweet.get(field) is None:
            counted.missing(field, name, line)
    created = iso_time(tweet.get("created_at"))
    if created is None and tweet.get("created_at") is not None:
        counted.bad("created_at", name, line)
    references = {
        kind: reference
        for reference in objects(tweet.get("referenced_tweets"))
        if (kind := text(reference.get("type")))
    }
    original = _original(references.get("retweeted"), included)
    if "retweeted" in references and not original:
        counted.missing("includes.tweets", name, line)
    author_id = text_id(tweet.get("author_id"))
    author = _object(tweet.get("author")) or included.users.get(author_id) or {}
    author_name = text(author.get("username"))
    if author_name is None:
        counted.missing("author.username", name, line)
    return Post(
        post_id=post_id,
        platform="x",
        raw_ref=ref(name, line),
        author_id=author_id,
        author_name=author_name,
        created_at=created,
        time_source="created_at" if created else "",
        # A repost's own text is cut after 140 characters.
        text=text(original.get("text")) or text(tweet.get("text")),
        lang=text(tweet.get("lang")),
        url=f"https://x.com/{author_name or 'i'}/status/{post_id}",
        reply_to=text_id(at(references.get("replied_to"), "id")),
        repost_of=text_id(at(references.get("retweeted"), "id")),
        metrics=_metrics(tweet),
        media=_media(tweet, included, where) or _media(original, included, where),
    )


def _object(value: Any) -> Tweet:
    return value if isinstance(value, dict) else {}


def _original(reference: Tweet | None, included: _Included) -> Tweet:
    """Return the post that a repost shares; a flattened post holds it in its reference."""
    if reference is None:
        return {}
    if "text" in reference:
        return reference
    return _object(included.tweets.get(text_id(reference.get("id"))))


def _metrics(tweet: Tweet) -> dict[str, int]:
    metrics = _object(tweet.get("public_metrics"))
    return counts(metrics, *metrics)


def _media(tweet: Tweet, included: _Included, where: tuple[str, int, Counted]) -> tuple[Media, ...]:
    attached = _object(tweet.get("attachments"))
    flat = {text_id(medium.get("media_key")): medium for medium in objects(attached.get("media"))}
    keys = attached.get("media_keys")
    wanted = [text_id(key) for key in keys] if isinstance(keys, list) else list(flat)
    found = []
    for index, key in enumerate(wanted):
        medium = flat.get(key) or included.media.get(key)
        if medium is None:
            name, line, counted = where
            counted.missing("includes.media", name, line)
            found.append(Media(index, "other", key=key, status="not-included"))
        else:
            found.append(_medium(index, key, medium))
    return tuple(found)


def _medium(index: int, key: str | None, medium: Tweet) -> Media:
    kind = KINDS.get(str(medium.get("type")), "other")
    duration = number(medium.get("duration_ms"))
    url = text(medium.get("url")) if kind == "image" else best(medium.get("variants"), "bit_rate")
    return Media(
        index,
        kind,
        url=url or text(medium.get("url")) or text(medium.get("preview_image_url")),
        key=key,
        width=count(medium.get("width")),
        height=count(medium.get("height")),
        duration=None if duration is None else duration / 1000,
        alt_text=text(medium.get("alt_text")),
    )


def best(variants: Any, rate: str) -> str | None:
    """Return the URL of the variant of most bits a second; a playlist has none and comes last."""
    found = objects(variants)
    found.sort(key=lambda variant: number(variant.get(rate)) or -1.0)
    return text(found[-1].get("url")) if found else None
