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

from typing import TYPE_CHECKING

from imgbatch.errors import SourceError
from imgbatch.sources.dumps._telegram_chats import called, is_export
from imgbatch.sources.dumps._telegram_message import (
    Message,
    alone,
    media_of,
    metrics_of,
    text_of,
    together,
)
from imgbatch.sources.dumps.few import few
from imgbatch.sources.dumps.names import base, ref
from imgbatch.sources.dumps.posts import Counted, Gap, Post
from imgbatch.sources.dumps.values import iso_time as local_time
from imgbatch.sources.dumps.values import text, text_id, unix_time
from imgbatch.sources.dumps.walk import STEP, Found, values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked, Media
    from imgbatch.sources.dumps.walk import Path

TITLE = "Telegram Desktop export"
RECOGNISED = "a result.json of one chat (name, type, id, messages) or of an account (about, chats)"
YIELDS = (
    "messages (user7/1, chat7/1 or channel7/1 by the kind of their chat), their photos, files and "
    "thumbnails by path, reactions and forwards counted; why a file was not exported"
)

HEAD = 2**16
MESSAGES = ("messages", STEP)
# Lists of an account that hold files and are no messages.
BESIDE = (("profile_pictures",), ("stories",))
CHATS: tuple[Path, ...] = ((), ("chats", "list", STEP), ("left_chats", "list", STEP))
LISTS = (("chats",), ("left_chats",), ("chats", "list"), ("left_chats", "list"))
MESSAGE = ("type", "date_unixtime", "from_id", "from_", "text")
SERVICE = ("date_unixtime", "actor_id", "actor")
CHAT_WORDS = ("name", "type", "id")


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the heads of files called result.json, else of a few JSON."""
    if next(_named(dump), None) is not None:
        return 0.95
    return 0.95 if any(_is_ours(dump, name) for name in few(dump, "json")) else 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the exports: every result.json; where there is none, exports that were renamed."""
    named = False
    for name in _named(dump):
        named = True
        yield name
    if not named:
        for name in dump.metadata("json"):
            if _is_ours(dump, name):
                yield name


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield the messages of all exports, in order."""
    del asked  # nothing to choose
    counted = Counted()
    for name in files(dump):
        yield from _file(dump, name, counted)
        yield from counted.gaps()


def _named(dump: Dump) -> Iterator[str]:
    for name in dump.metadata("json"):
        if base(name) == "result.json" and _is_ours(dump, name):
            yield name


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

    def __init__(self, name: str, counted: Counted) -> None:
        self._name = name
        self._counted = counted
        self._seen: set[Path] = set()
        self._listed = False
        self._empty = False
        self.came = False
        self._type: str | None = None
        self._chat: str | None = None
        self._number: str | None = None

    def message(self, found: Found) -> Post | Gap | None:
        """Return the post that a message is."""
        self.came = True
        if not self._listed:
            self._seen.add(found.path[:3])
            self._listed = True
        _, value, line = found
        message = value if type(value) is Message else alone(value)
        message_id = text_id(message.id)
        if message_id is None:
            return Gap("no-id", self._name, line, "a message without id")
        author, name = message.from_id, message.from_
        moment, said = message.date_unixtime, message.text
        plain = message.type == "message" and None not in (author, name, moment, said)
        if not plain and not self._is_post(message, line):
            return None
        former: tuple[tuple[str, str], ...] = ()
        if self._chat is None:
            self._counted.no_id("id of the chat", self._name, line)
        else:
            if self._number is not None:
                former = (("telegram", f"{self._number}/{message_id}"),)
            message_id = f"{self._chat}/{message_id}"
        created, source = unix_time(moment), "date_unixtime"
        if created is None:
            created, source = self._local(message, line)
        media: tuple[Media, ...] = ()
        if message.photo is not None or message.file is not None:
            media = media_of(message)
        elif message.mime_type is not None or message.width is not None:
            self._counted.missing("photo or file", self._name, line)
        return Post(
            message_id,
            "telegram",
            ref(self._name, line),
            author_id=text_id(author) or text_id(message.actor_id),
            author_name=text(name) or text(message.actor) or text(message.author),
            created_at=created,
            time_source=source,
            text=said if type(said) is str and said else text_of(message),
            reply_to=self._reply(message),
            metrics=metrics_of(message),
            media=media,
            former=former,
        )

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
                self._chat_is(number, found.line)
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

    def _is_post(self, message: Message, line: int) -> bool:
        """Tell whether a message is a post; count what it lacks, or that it is none."""
        if message.type == "service" and message.photo is None:
            words = "service messages (joins, pins, calls) are no posts"
            self._counted.note("unread", words, self._name, line)
            return False
        if message.type == "unsupported":
            words = "messages of a kind that Telegram does not export"
            self._counted.note("unread", words, self._name, line)
            return True
        for field in SERVICE if message.type == "service" else MESSAGE:
            if getattr(message, field) is None:
                self._counted.missing(field.rstrip("_"), self._name, line)
        return True

    def _reply(self, message: Message) -> str | None:
        """Return the id of the message that is replied to; it may lie in another chat."""
        if message.reply_to_message_id is None:
            return None
        target = text_id(message.reply_to_message_id)
        peer = text_id(message.reply_to_peer_id)
        inside = peer or self._chat
        return f"{inside}/{target}" if target and inside else target

    def _local(self, message: Message, line: int) -> tuple[datetime | None, str]:
        """Return the moment by the exporter's clock, where a message says no other."""
        if message.date_unixtime is not None:
            self._counted.bad("date_unixtime", self._name, line)
        created = local_time(message.date)
        if created is None and message.date is not None:
            self._counted.bad("date", self._name, line)
        return created, "date: no zone, taken as UTC" if created else ""

    def _chat_is(self, number: str, line: int) -> None:
        self._chat = called(self._type, number)
        self._number = None if self._chat == number else number
        if self._type is None:
            self._counted.missing("type", self._name, line)

    def _chat_ends(self, line: int | None) -> None:
        if self._chat is not None and not self._listed:
            self._counted.no_id("messages", self._name, line)
        self._type = self._chat = self._number = None
        self._listed = False


def _file(dump: Dump, name: str, counted: Counted) -> Iterator[Post | Gap]:
    export = _Export(name, counted)
    messages: Path = MESSAGES  # all messages of a chat have the same path
    for found in values(dump, name, _whole, together):
        if isinstance(found, Gap):
            yield found
        elif found.path is messages or found.path[-2:] == MESSAGES:
            messages = found.path
            if (told := export.message(found)) is not None:
                yield told
        else:
            export.other(found)
    export.ends()
