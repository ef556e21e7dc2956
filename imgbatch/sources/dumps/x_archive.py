"""X's personal archive: `data/tweets.js` (or `tweet.js`, `tweets-part1.js`), media beside it.

Items are {tweet: {id_str, full_text, created_at, extended_entities, ...}} behind
`window.YTD.tweets.part0 =`; the author stands in `account.js`. Media lie in `tweets_media` (older:
`tweet_media`) as `<tweet id>-<basename of the URL>`, of videos one of the variants. Confirmed in
public readers of such archives (both folders, parts, the prefix of file names); not in any paper of
X's own.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imgbatch.errors import SourceError
from imgbatch.sources.dumps import documents
from imgbatch.sources.dumps.names import base, folder, ref, resolve
from imgbatch.sources.dumps.posts import Counted, Gap, Media, Post
from imgbatch.sources.dumps.values import at, counts, objects, text, text_id, x_time
from imgbatch.sources.dumps.web.x import METRICS, media_of, variants_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked

TITLE = "X's personal archive"
RECOGNISED = "data/tweets.js or tweet.js that begins with window.YTD"
YIELDS = "the account's posts, with the files of data/tweets_media; of reposts whose media say so"

TWEETS = re.compile(r"^tweets?(-part\d+)?\.js$")
FOLDERS = ("tweets_media", "tweet_media")
OWN = re.compile(r"^(\d{1,20})-.")
LOOKED_AT = 5
HEAD = 200

Item = dict[str, Any]


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the names of the scripts and how the first of them begin."""
    for looked, name in enumerate(files(dump)):
        if looked == LOOKED_AT:
            break
        if b"window.YTD.tweet" in dump.head(name, HEAD):
            return 0.95
    return 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the scripts that hold posts."""
    for name in dump.metadata("js"):
        if TWEETS.match(base(name)):
            yield name


def posts_of(name: str) -> str | None:
    """Return the post whose id begins a media file's name."""
    found = OWN.match(base(name))
    return found[1] if found and any(f"/{each}/" in f"/{name}" for each in FOLDERS) else None


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield the posts of all parts, in order."""
    del asked  # nothing to choose
    counted = Counted()
    for name in files(dump):
        author = _author(dump, name, counted)
        for found in documents.items(dump, name):
            if isinstance(found, Gap):
                yield found
                continue
            line, item = found
            # The oldest archives have no layer `tweet`.
            tweet = at(item, "tweet") or item
            post_id = text_id(at(tweet, "id_str")) or text_id(at(tweet, "id"))
            if post_id is None:
                yield Gap("no-id", name, line, "a post without id_str")
            else:
                yield _post(dump, post_id, tweet, author, (name, line, counted))
        yield from counted.gaps()


def _author(dump: Dump, name: str, counted: Counted) -> tuple[str | None, str | None]:
    """Return id and name of the account, from the script beside the posts."""
    account = folder(name) + "account.js"
    found: Any = None
    if dump.has(account):
        try:
            first = next(documents.items(dump, account), None)
        except SourceError:
            first = None
        if first is not None and not isinstance(first, Gap):
            found = at(first[1], "account")
    author_id, author = text_id(at(found, "accountId")), text(at(found, "username"))
    if author_id is None:
        counted.missing("account.accountId", account)
    return author_id, author


def _post(
    dump: Dump,
    post_id: str,
    tweet: Item,
    author: tuple[str | None, str | None],
    where: tuple[str, int, Counted],
) -> Post:
    name, line, counted = where
    for field in ("created_at", "full_text"):
        if tweet.get(field) is None:
            counted.missing(field, name, line)
    created = x_time(tweet.get("created_at"))
    if created is None and tweet.get("created_at") is not None:
        counted.bad("created_at", name, line)
    written = text(tweet.get("full_text")) or text(tweet.get("text"))
    return Post(
        post_id=post_id,
        platform="x",
        raw_ref=ref(name, line),
        author_id=author[0],
        author_name=author[1],
        created_at=created,
        time_source="created_at" if created else "",
        text=written,
        lang=text(tweet.get("lang")),
        url=f"https://x.com/{author[1] or 'i'}/status/{post_id}",
        reply_to=text_id(tweet.get("in_reply_to_status_id_str")),
        repost_of=_original(tweet, written),
        metrics=counts(tweet, *METRICS),
        media=_media(dump, post_id, tweet, name),
    )


def _original(tweet: Item, written: str | None) -> str | None:
    """Return what a repost shares: the archive says it of its media alone."""
    if not (written or "").startswith("RT @"):
        return None
    media = objects(at(tweet, "extended_entities", "media"))
    found = [text_id(medium.get("source_status_id_str")) for medium in media]
    return next((each for each in found if each), None)


def _media(dump: Dump, post_id: str, tweet: Item, name: str) -> tuple[Media, ...]:
    media = media_of(tweet)
    raw = objects(at(tweet, "extended_entities", "media"))
    raw = raw or objects(at(tweet, "entities", "media"))
    return tuple(
        replace(medium, path=_path(dump, post_id, name, [*variants_of(each), medium.url or ""]))
        for medium, each in zip(media, raw, strict=True)
    )


def _path(dump: Dump, post_id: str, name: str, urls: list[str]) -> str | None:
    """Return the file of a medium: of those that its URLs may mean the one that is there."""
    bases = [f"{post_id}-{base(url)}" for url in urls if base(url)]
    paths = [f"{each}/{file}" for each in FOLDERS for file in bases]
    for path in paths:
        found = resolve(path, name)
        if found is not None and dump.has(found):
            return path
    return paths[0] if paths else None
