"""Meta's data downloads in JSON: what a person's own Instagram, Facebook or Threads account posted.

Meta publishes no description and the exporter is not public; the shapes are those on which public
readers of such downloads agree (2019 to 2026): Instagram's posts_1.json is a list of {media, title,
creation_timestamp} where a post of one medium has its time and caption on the medium; reels,
stories, archived posts and profile pictures are {ig_...: [...]}, of posts or of bare media; newer
downloads have items {timestamp, media, label_values, fbid}, whose labels are in the reader's
language. Facebook's are {timestamp, title, data: [{post}], attachments: [{data: [{media} or
{external_context}]}]}, with albums, videos and other photos in files of their own: each of those
is a post here too, so a picture may belong to several. Text is UTF-8 taken for Latin-1, and file
names are too; paths are from the root of the download, of which a large one has several archives.

No download names the post's id (but a newer one's fbid) or its author, whose own it is. So an id is
made of the time and the first file, or the text where there is none. Drawback: of two posts in the
same second without a file an edit makes new ones.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from imgbatch.errors import SourceError
from imgbatch.sources.dumps.beside import kind_of
from imgbatch.sources.dumps.names import archive, base, exact, folder, ref
from imgbatch.sources.dumps.posts import Counted, Gap, Media, Post
from imgbatch.sources.dumps.values import at, objects, text, text_id, unix_time
from imgbatch.sources.dumps.walk import STEP, values
from imgbatch.storage.addresses import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked
    from imgbatch.sources.dumps.walk import Path

TITLE = "Meta's data download (Instagram, Facebook, Threads)"
RECOGNISED = (
    "media/posts_1.json, posts/your_posts_1.json, album/0.json and their like, with uri and time"
)
YIELDS = (
    "the account's own posts, stories, reels, albums and videos with their files; text as it was "
    "written; ids made of time and file where the download has none"
)

HEAD = 2**12
NUMBER = r"(?:_\d+)?\.json$"
# Where posts lie, by the end of their names.
INSTAGRAM = re.compile(
    r"(?:^|[/!])(?:media|content)/(?:posts|reels|stories|archived_posts|igtv_videos|other_content|"
    rf"profile_photos|recently_deleted_content){NUMBER}"
)
THREADS = re.compile(rf"(?:^|[/!])threads/threads_and_replies{NUMBER}")
FACEBOOK = re.compile(
    r"(?:^|[/!])(?:(?:posts|photos_and_videos|videos|reels|other_photos)/(?:your_posts\w*?|posts|"
    r"your_videos|videos|your_photos|your_uncategorized_photos|uncategorized_photos|archive|"
    rf"your_reels){NUMBER}|album/\d+\.json$)"
)
PLATFORMS = (("instagram", INSTAGRAM), ("threads", THREADS), ("facebook", FACEBOOK))
OURS = re.compile(
    rb'"(uri|creation_timestamp|timestamp|ig_\w+|photos|videos_v2|other_photos_v2)"\s*:'
)
TIMES = ("creation_timestamp", "timestamp", "taken_timestamp")
# A download's archives are named alike up to its date, or up to the number of the part.
DATED = re.compile(r"^((?:instagram|facebook|threads|meta)-.*?\d{4}-\d{2}-\d{2})", re.IGNORECASE)
PART = re.compile(r"[-_ ]?(?:part)?[-_ ]?\(?\d+\)?\.zip$", re.IGNORECASE)
ACTIVITY = ("your_facebook_activity/", "your_instagram_activity/", "your_activity_across_facebook/")
ID_BYTES = 6

Item = dict[str, Any]
Where = tuple[str, int, Counted]


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the names and heads of the files that hold posts."""
    return 0.9 if next(files(dump), None) is not None else 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the files of posts: by their names, and by having times or files in their heads."""
    for name in dump.metadata("json"):
        if _platform(name) and _is_ours(dump, name):
            yield name


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield the posts of all files, in the order of names."""
    del asked  # nothing to choose
    counted = Counted()
    downloads = _Downloads(dump)
    for name in files(dump):
        listed = False
        for found in values(dump, name, _whole):
            if isinstance(found, Gap):
                yield found
            elif _whole(found.path):
                listed = True
                yield from _item(downloads, found.value, (name, found.line, counted))
        if not listed:
            counted.missing("a list of posts or media", name)
        yield from counted.gaps()


def mended(value: Any) -> str | None:
    """Return a text whose UTF-8 was taken for Latin-1 as it was written; any other as it is."""
    found = text(value)
    if found is None or found.isascii():
        return found
    try:
        return found.encode("latin-1").decode()
    except UnicodeError:
        return found


def _platform(name: str) -> str | None:
    return next((platform for platform, form in PLATFORMS if form.search(name)), None)


def _is_ours(dump: Dump, name: str) -> bool:
    try:
        return bool(OURS.search(dump.head(name, HEAD)))
    except SourceError:
        return False


def _whole(path: Path) -> bool:
    """Tell whether it is an item of the document's list, or of a list in its object."""
    return path[-1:] == (STEP,) and len(path) <= 2 and path[0] != "comments"  # noqa: PLR2004 - deep


class _Downloads:
    """Finds a file by the path that a download names it by: from the root of the download."""

    def __init__(self, dump: Dump) -> None:
        self._dump = dump
        self._beside = ""
        self._roots: list[str] = []
        self._archives: list[str] | None = None

    def find(self, uri: str, beside: str) -> str | None:
        """Return the name in the dump of what a metadata file means, where it is there.

        Args:
            uri: as the download has it.
            beside: the metadata file.
        """
        if beside != self._beside:
            self._beside = beside
            self._roots = [*_above(beside), *self._others(beside)]
        paths = list(_paths(uri))
        for root in self._roots:
            for path in paths:
                if self._dump.has(root + path):
                    self._roots.remove(root)
                    self._roots.insert(0, root)  # the next one lies there too
                    return root + path
        return None

    def _others(self, beside: str) -> Iterator[str]:
        """Yield the other archives of the same download, where it came in several."""
        own = archive(beside)
        if not own:
            return
        if self._archives is None:
            self._archives = sorted({archive(name) for name in self._dump.names()} - {""})
        for other in self._archives:
            if other != own and folder(other[:-2]) == folder(own[:-2]) and _alike(other, own):
                yield other


def _paths(uri: str) -> Iterator[str]:
    """Yield what a path may be: mended or as it stands, with the activity's folder or not."""
    for said in dict.fromkeys((mended(uri) or uri, uri)):
        parts = [part for part in said.split("/") if part not in ("", ".")]
        if not parts or ".." in parts:
            continue
        path = "/".join(map(quote, parts))
        yield path
        for activity in ACTIVITY:
            yield path.removeprefix(activity) if path.startswith(activity) else activity + path


def _above(name: str) -> Iterator[str]:
    """Yield the folders above a file, nearest first, up to the root of its archive or the dump."""
    inside = archive(name)
    around = folder(name)
    while len(around) > len(inside):
        yield around
        around = folder(around.rstrip("/"))
    yield inside


def _alike(one: str, other: str) -> bool:
    first, second = (unquote(base(name[:-2])) for name in (one, other))
    dated = DATED.match(first), DATED.match(second)
    if dated[0] and dated[1]:
        return dated[0][1] == dated[1][1]
    return PART.sub("", first) == PART.sub("", second)


def _item(downloads: _Downloads, item: Any, where: Where) -> Iterator[Post | Gap]:
    name, line, counted = where
    if not isinstance(item, dict):
        yield Gap("no-id", name, line, "no object")
        return
    media = list(_listed(item))
    if not media and "creation_timestamp" in item:
        counted.missing("uri", name, line)  # it is a medium itself
    created, source = _time(item, media, where)
    words = _text(item, media)
    uris = [uri for medium in media if (uri := text(medium.get("uri")))]
    fbid = text_id(item.get("fbid"))
    if not (uris or words or created or fbid):
        yield Gap("no-id", name, line, "an item without file, text, time and fbid")
        return
    platform = _platform(name) or "meta"
    if platform == "threads":
        # Threads' text lies in a medium too, which has no file then.
        media = [medium for medium in media if "uri" in medium]
    if len(uris) < len(media):
        counted.missing("uri", name, line)
    links = sum(text(link.get("url")) is not None for link in _links(item))
    if not fbid and created is None:
        counted.no_id("the id is made of a time, and there is none", name, line)
    yield Post(
        post_id=fbid or _made(platform, created, uris[0] if uris else words or ""),
        platform=platform,
        raw_ref=ref(name, line),
        created_at=created,
        time_source=source,
        text=words,
        url=_url(item),
        metrics={"shared_links": links} if links else {},
        media=tuple(_media(downloads, media, words, name)),
    )


def _listed(item: Item) -> Iterator[Item]:
    """Yield the media of an item, wherever its kind of file has them."""
    if "uri" in item:
        yield item
    value = item.get("media")
    yield from objects([value] if isinstance(value, dict) else value)
    for attached in objects(item.get("attachments")):
        for data in objects(attached.get("data")):
            yield from objects([data.get("media")])
    for label in objects(item.get("label_values")):
        yield from objects(label.get("media"))


def _links(item: Item) -> Iterator[Item]:
    for attached in objects(item.get("attachments")):
        for data in objects(attached.get("data")):
            yield from objects([data.get("external_context")])


def _time(item: Item, media: list[Item], where: Where) -> tuple[datetime | None, str]:
    name, line, counted = where
    for found, of in ((item, ""), *((medium, "media.") for medium in media)):
        for key in TIMES:
            created = unix_time(found.get(key))
            if created is not None:
                return created, of + key
            if found.get(key) is not None:
                counted.bad(of + key, name, line)
    counted.missing("creation_timestamp", name, line)
    return None, ""


def _text(item: Item, media: list[Item]) -> str | None:
    """Return what its author wrote: on Facebook `title` only says what was done."""
    for data in objects(item.get("data")):
        if found := mended(data.get("post")):
            return found
    if "attachments" in item or "data" in item:
        return None
    first = media[0] if media else {}
    # A newer download's first label without a link is the caption, in whatever language.
    labels = (
        label.get("value")
        for label in objects(item.get("label_values"))
        if "value" in label and "href" not in label
    )
    own = ("description", "title") if "uri" in item else ("title",)
    kept = (*(item.get(key) for key in own), first.get("title"), *labels)
    return next((found for value in kept if (found := mended(value))), None)


def _url(item: Item) -> str | None:
    labels = objects(item.get("label_values"))
    return next((found for label in labels if (found := text(label.get("href")))), None)


def _made(platform: str, created: datetime | None, what: str) -> str:
    """Return an id made of what does not change: the second, and the first file or the text."""
    second = int(created.timestamp()) if created else 0
    told = f"{platform}\n{second}\n{base(what)}".encode("utf-8", "replace")
    return f"{second}-{blake2b(told, digest_size=ID_BYTES).hexdigest()}"


def _media(
    downloads: _Downloads, media: list[Item], words: str | None, name: str
) -> Iterator[Media]:
    for index, medium in enumerate(media):
        uri = text(medium.get("uri"))
        found = downloads.find(uri, name) if uri else None
        described = mended(medium.get("description"))
        yield Media(
            index,
            kind_of(uri) if uri else "other",
            path=exact(found) if found else (f"/{mended(uri)}" if uri else None),
            key=text_id(at(medium, "fbid")),
            alt_text=described if described != words else None,
            status="" if uri else "not-included",
        )
