"""X's personal archive: `data/tweets.js` (or `tweet.js`, `tweets-part1.js`), media beside it.

Items are {tweet: {id_str, full_text, created_at, extended_entities, ...}} behind
`window.YTD.tweets.part0 =`; the author stands in `account.js`. Media lie in `tweets_media` (older:
`tweet_media`) as `<tweet id>-<basename of the URL>`, of videos one of the variants. Confirmed in
public readers of such archives (both folders, parts, the prefix of file names); not in any paper of
X's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from imgbatch.errors import SourceError
from imgbatch.sources.dumps.few import few
from imgbatch.sources.dumps.names import base, folder, ref, resolve
from imgbatch.sources.dumps.posts import Counted, Gap, Media, Post
from imgbatch.sources.dumps.values import at, counts, text, text_id, x_time
from imgbatch.sources.dumps.walk import STEP, items
from imgbatch.sources.dumps.web.x import METRICS, media_of, raw_media, variants_of

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
HEAD = 200

Item = dict[str, Any]


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the names of the scripts and how a few of them begin."""
    for name in few(dump, "js", own=_is_named):
        try:
            head = dump.head(name, HEAD)
        except SourceError:
            continue
        if b"window.YTD.tweet" in head:
            return 0.95
    return 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the scripts that hold posts."""
    yield from filter(_is_named, dump.metadata("js"))


def posts_of(name: str) -> str | None:
    """Return the post whose id begins a media file's name."""
    found = OWN.match(base(name))
    return found[1] if found and any(f"/{each}/" in f"/{name}" for each in FOLDERS) else None


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield the posts of all parts, in order."""
    del asked  # nothing to choose
    counted = Counted()
    for name in files(dump):
        script = _Script(dump, name, counted)
        for found in items(dump, name, (STEP,)):
            yield found if isinstance(found, Gap) else script.post(*found)
        yield from counted.gaps()


def _is_named(name: str) -> bool:
    return TWEETS.match(base(name)) is not None


def _author(dump: Dump, name: str, counted: Counted) -> tuple[str | None, str | None]:
    """Return id and name of the account, from the script beside the posts."""
    account = folder(name) + "account.js"
    found: Any = None
    if dump.has(account):
        try:
            first = next(items(dump, account, (STEP,)), None)
        except SourceError:
            first = None
        if first is not None and not isinstance(first, Gap):
            found = at(first[1], "account")
    author_id, author = text_id(at(found, "accountId")), text(at(found, "username"))
    if author_id is None:
        counted.missing("account.accountId", account)
    return author_id, author


class _Script:
    """One script's posts: their author stands in another, their media in a folder beside it."""

    def __init__(self, dump: Dump, name: str, counted: Counted) -> None:
        self._dump = dump
        self._name = name
        self._counted = counted
        self._author_id, self._author = _author(dump, name, counted)
        self._url = f"https://x.com/{self._author or 'i'}/status/"
        beside = folder(name)
        there = [each for each in FOLDERS if next(dump.starting(f"{beside}{each}/"), None)]
        self._folders = there or FOLDERS[:1]

    def post(self, line: int, item: Any) -> Post | Gap:
        """Return the post of an item."""
        # The oldest archives have no layer `tweet`.
        tweet = at(item, "tweet") or item
        post_id = text_id(at(tweet, "id_str")) or text_id(at(tweet, "id"))
        if post_id is None:
            return Gap("no-id", self._name, line, "a post without id_str")
        post = Post(post_id, "x", ref(self._name, line), self._author_id, self._author)
        written = tweet.get("created_at")
        post.created_at = x_time(written)
        if post.created_at is not None:
            post.time_source = "created_at"
        elif written is None:
            self._counted.missing("created_at", self._name, line)
        else:
            self._counted.bad("created_at", self._name, line)
        if tweet.get("full_text") is None:
            self._counted.missing("full_text", self._name, line)
        post.text = text(tweet.get("full_text")) or text(tweet.get("text"))
        post.lang = text(tweet.get("lang"))
        post.url = self._url + post_id
        post.reply_to = text_id(tweet.get("in_reply_to_status_id_str"))
        post.repost_of = _original(tweet, post.text)
        post.metrics = counts(tweet, *METRICS)
        post.media = self._media(post_id, tweet)
        return post

    def _media(self, post_id: str, tweet: Item) -> tuple[Media, ...]:
        raw = raw_media(tweet)
        media = media_of(raw)
        for medium, each in zip(media, raw, strict=True):
            urls = variants_of(each) if "video_info" in each else []
            medium.path = self._path(post_id, [*urls, medium.url or ""])
        return media

    def _path(self, post_id: str, urls: list[str]) -> str | None:
        """Return the file of a medium: of those that its URLs may mean the one that is there."""
        bases = dict.fromkeys(found for url in urls if (found := base(url)))
        paths = [f"{each}/{post_id}-{found}" for each in self._folders for found in bases]
        if len(paths) > 1:
            for path in paths:
                there = resolve(path, self._name)
                if there is not None and self._dump.has(there):
                    return path
        return paths[0] if paths else None


def _original(tweet: Item, written: str | None) -> str | None:
    """Return what a repost shares: the archive says it of its media alone."""
    if not (written or "").startswith("RT @"):
        return None
    found = [text_id(medium.get("source_status_id_str")) for medium in raw_media(tweet)]
    return next((each for each in found if each), None)
