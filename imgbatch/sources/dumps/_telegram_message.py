"""Enters: a message of Telegram Desktop's export. Leaves: its text, numbers and media."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, json

from imgbatch.sources.dumps.posts import Media
from imgbatch.sources.dumps.values import at, count, listed, number, objects, text
from imgbatch.sources.names import claims_media, claims_video

if TYPE_CHECKING:
    from imgbatch.sources.dumps.posts import MediaKind

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


class Message(Struct, rename={"from_": "from"}):
    """What is read of a message, each whatever an export says there; None where it says nothing."""

    id: Any = None
    type: Any = None
    date: Any = None
    date_unixtime: Any = None
    from_: Any = None
    from_id: Any = None
    actor: Any = None
    actor_id: Any = None
    author: Any = None
    # null where the origin has no name: a forward all the same
    forwarded_from: Any = UNSET
    reply_to_message_id: Any = None
    reply_to_peer_id: Any = None
    text: Any = None
    text_entities: Any = None
    reactions: Any = None
    poll: Any = None
    photo: Any = None
    file: Any = None
    file_name: Any = None
    thumbnail: Any = None
    media_type: Any = None
    mime_type: Any = None
    width: Any = None
    height: Any = None
    duration_seconds: Any = None


# Decodes a list of messages without dicts, and without what is not read of them: in two thirds of
# the time that `orjson.loads` takes.
together = json.Decoder(list[Message]).decode
DEFAULTS = tuple(zip(Message.__struct_encode_fields__, Message.__struct_defaults__, strict=True))


def alone(value: Any) -> Message:
    """Return a message that came alone; what is no object is one without id."""
    if not isinstance(value, dict):
        return Message()
    # Not by `convert`, which takes no keys with lone surrogates.
    return Message(*[value.get(key, default) for key, default in DEFAULTS])


def text_of(message: Message) -> str | None:
    """Return a text that is a list of strings and of objects with one."""
    for entities in (message.text, message.text_entities):
        parts = listed(entities)
        told = [part.get("text") if isinstance(part, dict) else part for part in parts]
        if found := "".join(part for part in told if isinstance(part, str)):
            return found
    return None


def metrics_of(message: Message) -> dict[str, int]:
    """Return its reactions, in all and by sign, voters, and whether it was forwarded."""
    found: dict[str, int] = {}
    if message.reactions is not None:
        for reaction in objects(message.reactions):
            times = count(reaction.get("count")) or 0
            sign = text(reaction.get("emoji")) or text(reaction.get("type")) or "other"
            found["reactions"] = found.get("reactions", 0) + times
            found[f"reactions {sign}"] = found.get(f"reactions {sign}", 0) + times
    if message.poll is not None:
        voters = count(at(message.poll, "total_voters"))
        if voters is not None:
            found["voters"] = voters
    if message.forwarded_from is not UNSET:
        found["forwarded"] = 1
    return found


def media_of(message: Message) -> tuple[Media, ...]:
    """Return its photo, file and thumbnail, or why they were not exported."""
    found: list[Media] = []
    if photo := text(message.photo):
        found.append(_medium(message, photo, 0, "image"))
    # What most messages lack is not looked at: they may be a million.
    if message.file is not None and (file := text(message.file)):
        found.append(_medium(message, file, len(found), _kind(message, file)))
    if message.thumbnail is not None:
        thumbnail = text(message.thumbnail)
        if thumbnail and not _status(thumbnail):
            found.append(Media(len(found), "image", path=thumbnail, key="thumbnail"))
    return tuple(found)


def _medium(message: Message, value: str, index: int, kind: MediaKind) -> Media:
    status = _status(value) if value[-1] == ")" else ""
    name, duration = message.file_name, message.duration_seconds
    return Media(
        index,
        kind,
        path=None if status else value,
        key=None if name is None else text(name),
        width=count(message.width),
        height=count(message.height),
        duration=None if duration is None else number(duration),
        status=status,
    )


def _status(value: str) -> str:
    found = SKIPPED.search(value)
    return STATUSES[found[1]] if found else ""


def _kind(message: Message, path: str) -> MediaKind:
    """Return what a file is: as Telegram takes it, else by its MIME type, else by its name."""
    known = KINDS.get(str(message.media_type))
    if known:
        return known
    first = str(message.mime_type).partition("/")[0]
    if first in ("image", "video", "audio"):
        return first  # type: ignore[return-value] # one of the words
    name = text(message.file_name) or path
    if claims_media(name):
        return "video" if claims_video(name) else "image"
    return "other"
