r"""Telegram Desktop's export as JSON: result.json of one chat, or of an account with its chats.

Confirmed in Telegram Desktop's export_output_json.cpp (2025-09 and older states): `left_chats`
beside `chats`; `file_name`, `file_size`, `photo_file_size`, `thumbnail_file_size`, `media_spoiler`
and `reactions` in newer exports; no `date_unixtime` in the oldest; control bytes as `\x1F`, which
is no JSON; a sentence in the place of a file that was not exported. Paths are relative to where
result.json lies. Messages are numbered by chat, so a post's id is CHAT/MESSAGE (`_telegram_chats`
says what CHAT is).

An album is exported as one message a picture, with nothing but the same date in common: posts of
their own here too. A forward names its origin without an id: it is counted in `metrics`.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from imgbatch.errors import SourceError
from imgbatch.sources.dumps._telegram_chats import called, is_export, of_peer, shared, space_of
from imgbatch.sources.dumps.names import base, ref
from imgbatch.sources.dumps.posts import Counted, Gap, Media, Post
from imgbatch.sources.dumps.values import (
    at,
    count,
    listed,
    number,
    objects,
    text,
    text_id,
    unix_time,
)
from imgbatch.sources.dumps.values import iso_time as local_time
from imgbatch.sources.dumps.walk import STEP, Found, values
from imgbatch.sources.names import claims_media, claims_video

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked, MediaKind
    from imgbatch.sources.dumps.walk import Path

TITLE = "Telegram Desktop export"
RECOGNISED = "a result.json of one chat (name, type, id, messages) or of an account (about, chats)"
YIELDS = (
    "messages, their photos, files and thumbnails by path, reactions and forwards counted; why a "
    "file was not exported"
)

HEAD = 2**16
LOOKED_AT = 20
SKIPPED = re.compile(
    r"\((?:File|Photo|Video) (not included|exceeds maximum size|unavailable)\b[^)]*\)$"
)
STATUSES = {
    "not included": "not-included",
    "exceeds maximum size": "too-large",
    "unavailable": "unavailable",
}
KINDS: dict[str, MediaKind] = {
    "video_message": "video",
    "video_file": "video",
    "animation": "video",
    "voice_message": "audio",
    "audio_file": "audio",
}
MESSAGES = ("messages", STEP)
# Lists of an account that hold files and are no messages.
BESIDE = (("profile_pictures",), ("stories",))
CHATS: tuple[Path, ...] = ((), ("chats", "list", STEP), ("left_chats", "list", STEP))
LISTS = (("chats",), ("left_chats",), ("chats", "list"), ("left_chats", "list"))
FILES = ("photo", "file")
MESSAGE = ("type", "date_unixtime", "from_id", "from", "text")
SERVICE = ("date_unixtime", "actor_id", "actor")
CHAT_WORDS = ("name", "type", "id")


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the heads of files called result.json, else of the first JSON."""
    return 0.95 if next(files(dump), None) is not None else 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the exports: every result.json; where there is none, exports that were renamed."""
    named = False
    for name in dump.metadata("json"):
        if base(name) == "result.json" and _is_ours(dump, name):
            named = True
            yield name
    if not named:
        for name in islice(dump.metadata("json"), LOOKED_AT):
            if _is_ours(dump, name):
                yield name


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield the messages of all exports, in order."""
    del asked  # nothing to choose
    counted, names = Counted(), list(files(dump))
    ambiguous = shared(dump, names)
    for name in names:
        yield from _file(dump, name, counted, ambiguous)
        yield from counted.gaps()


def _is_ours(dump: Dump, name: str) -> bool:
    try:
        return is_export(dump.head(name, HEAD))
    except SourceError:
        return False


def _whole(path: Path) -> bool:
    return path[-2:] == MESSAGES


class _Export:
    """How far an export was read: the chat that it is in, and what it had none of.

    Attributes:
        came: whether there was any message.
    """

    def __init__(self, name: str, counted: Counted, ambiguous: frozenset[str]) -> None:
        self._name = name
        self._counted = counted
        self._ambiguous = ambiguous
        self._seen: set[Path] = set()
        self._listed = False
        self._empty = False
        self.came = False
        self._type: str | None = None
        self._chat: str | None = None

    def message(self, found: Found) -> Post | Gap | None:
        """Return the post that a message is."""
        self.came = True
        if not self._listed:
            self._seen.add(found.path[:3])
            self._listed = True
        _, message, line = found
        message_id = text_id(message.get("id")) if isinstance(message, dict) else None
        if message_id is None:
            return Gap("no-id", self._name, line, "a message without id")
        told = message.get
        author, name = told("from_id"), told("from")
        moment, said = told("date_unixtime"), told("text")
        plain = told("type") == "message" and None not in (author, name, moment, said)
        if not plain and not self._is_post(message, line):
            return None
        if self._chat is None:
            self._counted.no_id("id of the chat", self._name, line)
        else:
            message_id = f"{self._chat}/{message_id}"
        post = Post(message_id, "telegram", ref(self._name, line))
        post.author_id = text_id(author) or text_id(told("actor_id"))
        post.author_name = text(name) or text(told("actor")) or text(told("author"))
        post.created_at, post.time_source = unix_time(moment), "date_unixtime"
        if post.created_at is None:
            post.created_at, post.time_source = self._local(message, line)
        post.text = said if type(said) is str and said else _text(message)
        if "reply_to_message_id" in message:
            post.reply_to = self._reply(message)
        if "reactions" in message or "poll" in message or "forwarded_from" in message:
            post.metrics = _metrics(message)
        if "photo" in message or "file" in message:
            post.media = _media(message)
        elif "mime_type" in message or "width" in message:
            self._counted.missing("photo or file", self._name, line)
        return post

    def other(self, found: Found) -> None:
        """Note anything else: a chat's `name`, `type` and `id` come before its messages."""
        path = found.path
        self._seen.add(path[:3])
        if path[:-1] in CHATS and path[-1] in CHAT_WORDS:
            if self._listed or self._chat is not None:
                self._chat_ends(found.line)
            if path[-1] == "type":
                self._type = text(found.value)
            elif path[-1] == "id" and (number := text_id(found.value)) is not None:
                self._chat = called(space_of(self._type), number, self._ambiguous)
        elif path[-1:] == ("messages",) and found.value == []:
            self._listed = self._empty = True
        elif path in LISTS and found.value != []:
            self._counted.no_id(f"{path[0]}: no list of chats", self._name, found.line)
        elif path[:1] in BESIDE and path[-1] in ("photo", "media"):
            words = f"{path[0]} of the account are no messages"
            self._counted.note("unread", words, self._name, found.line)

    def ends(self) -> None:
        """Count what there should have been."""
        self._chat_ends(None)
        if self._empty and not self.came:
            self._counted.empty(self._name)
        for key in ("chats", "left_chats") if ("about",) in self._seen else ():
            if (key, "list", STEP) not in self._seen:
                self._counted.missing(key, self._name)

    def _is_post(self, message: dict[str, Any], line: int) -> bool:
        """Tell whether a message is a post; count what it lacks, or that it is none."""
        kind = message.get("type")
        if kind == "service" and "photo" not in message:
            words = "service messages (joins, pins, calls) are no posts"
            self._counted.note("unread", words, self._name, line)
            return False
        if kind == "unsupported":
            words = "messages of a kind that Telegram does not export"
            self._counted.note("unread", words, self._name, line)
            return True
        for field in SERVICE if kind == "service" else MESSAGE:
            if message.get(field) is None:
                self._counted.missing(field, self._name, line)
        return True

    def _reply(self, message: dict[str, Any]) -> str | None:
        """Return the id of the message that is replied to; it may lie in another chat."""
        target = text_id(message["reply_to_message_id"])
        peer = text_id(message.get("reply_to_peer_id"))
        inside = of_peer(peer, self._ambiguous) if peer else self._chat
        return f"{inside}/{target}" if target and inside else target

    def _local(self, message: dict[str, Any], line: int) -> tuple[datetime | None, str]:
        """Return the moment by the exporter's clock, where a message says no other."""
        if message.get("date_unixtime") is not None:
            self._counted.bad("date_unixtime", self._name, line)
        created = local_time(message.get("date"))
        if created is None and message.get("date") is not None:
            self._counted.bad("date", self._name, line)
        return created, "date: no zone, taken as UTC" if created else ""

    def _chat_ends(self, line: int | None) -> None:
        if self._chat is not None and not self._listed:
            self._counted.no_id("messages", self._name, line)
        self._type, self._chat, self._listed = None, None, False


def _file(
    dump: Dump, name: str, counted: Counted, ambiguous: frozenset[str]
) -> Iterator[Post | Gap]:
    export = _Export(name, counted, ambiguous)
    messages: Path = MESSAGES  # all messages of a chat have the same path
    for found in values(dump, name, _whole):
        if isinstance(found, Gap):
            yield found
        elif found.path is messages or found.path[-2:] == MESSAGES:
            messages = found.path
            if (told := export.message(found)) is not None:
                yield told
        else:
            export.other(found)
    export.ends()


def _text(message: dict[str, Any]) -> str | None:
    """Return a text that is a list of strings and of objects with one."""
    for field in ("text", "text_entities"):
        parts = listed(message.get(field))
        told = [part.get("text") if isinstance(part, dict) else part for part in parts]
        if found := "".join(part for part in told if isinstance(part, str)):
            return found
    return None


def _metrics(message: dict[str, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for reaction in objects(message.get("reactions")):
        times = count(reaction.get("count")) or 0
        sign = text(reaction.get("emoji")) or text(reaction.get("type")) or "other"
        found["reactions"] = found.get("reactions", 0) + times
        found[f"reactions {sign}"] = found.get(f"reactions {sign}", 0) + times
    voters = count(at(message, "poll", "total_voters"))
    if voters is not None:
        found["voters"] = voters
    if "forwarded_from" in message:
        found["forwarded"] = 1
    return found


def _media(message: dict[str, Any]) -> tuple[Media, ...]:
    found: list[Media] = []
    for field in FILES:
        value = message.get(field)
        if type(value) is not str or not value:
            continue
        medium = Media(len(found), "image" if field == "photo" else _kind(message, value))
        if value[-1] == ")":
            medium.status = _status(value)
        if not medium.status:
            medium.path = value
        medium.width = count(message.get("width"))
        medium.height = count(message.get("height"))
        if "file_name" in message:
            medium.key = text(message["file_name"])
        if "duration_seconds" in message:
            medium.duration = number(message["duration_seconds"])
        found.append(medium)
    thumbnail = text(message["thumbnail"]) if "thumbnail" in message else None
    if thumbnail and not _status(thumbnail):
        found.append(Media(len(found), "image", path=thumbnail, key="thumbnail"))
    return tuple(found)


def _status(value: str) -> str:
    found = SKIPPED.search(value)
    return STATUSES[found[1]] if found else ""


def _kind(message: dict[str, Any], path: str) -> MediaKind:
    """Return what a file is: as Telegram takes it, else by its MIME type, else by its name."""
    known = KINDS.get(str(message.get("media_type")))
    if known:
        return known
    first = str(message.get("mime_type")).partition("/")[0]
    if first in ("image", "video", "audio"):
        return first  # type: ignore[return-value] # one of the words
    name = text(message.get("file_name")) or path
    if claims_media(name):
        return "video" if claims_video(name) else "image"
    return "other"
