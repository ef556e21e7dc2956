"""Enters: exports of Telegram Desktop. Leaves: ids that several of their chats have, and names.

Users, basic groups and channels are numbered apart, and an export tells a chat's number alone: a
user and a group of one number would be one chat. Where that is so, in all exports of a dump
together, a chat is called as Telegram calls the author of a message: user777, chat777, channel777.

Decision, 2026-11: other chats are called by their number alone, as they always were: ids that
datasets hold stay what they are. So an account's export is looked through before it is read, for
the heads of its chats alone, since neither their order nor that of exports may decide. Drawbacks:
it is fetched and unpacked twice; and where a later export brings a second chat of a number, the
posts of the first one get other ids.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imgbatch.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgbatch.sources.dumps.dump import Dump

PIECE = 2**16
# A chat's head is shorter; one that two pieces share is looked at in the second.
LONGEST = 2**10
# Before its messages a chat has its type and its id, side by side; in a text quotes are escaped.
CHAT = re.compile(rb'"type"\s*:\s*"([a-z_]+)"\s*,\s*"id"\s*:\s*"?(-?\d+)"?\s*,\s*"messages"\s*:')
ONE_CHAT = re.compile(
    rb'"type"\s*:\s*"(saved_messages|replies|verification_codes|personal_chat|bot_chat|'
    rb'(private|public)_(group|supergroup|channel))"\s*,\s*"id"\s*:\s*-?\d+\s*,\s*"messages"\s*:'
)
ACCOUNT = re.compile(
    rb'\s*\{\s*"about"\s*:\s*"[^"]*Telegram.*?"(personal_information|profile_pictures|stories|'
    rb'contacts|frequent_contacts|sessions|chats|left_chats)"\s*:',
    re.DOTALL,
)
PEER = re.compile(r"(\D*)(\d.*)")
SPACES = {
    "saved_messages": "user",
    "replies": "user",
    "verification_codes": "user",
    "personal_chat": "user",
    "bot_chat": "user",
    "private_group": "chat",
    "public_group": "chat",
    "private_supergroup": "channel",
    "public_supergroup": "channel",
    "private_channel": "channel",
    "public_channel": "channel",
}


def is_export(head: bytes) -> bool:
    """Tell whether a file begins as an export does, of one chat or of an account."""
    return bool(ONE_CHAT.search(head) or _is_account(head))


def _is_account(head: bytes) -> bool:
    return bool(ACCOUNT.match(head.removeprefix(b"\xef\xbb\xbf")))


def shared(dump: Dump, names: Iterable[str]) -> frozenset[str]:
    """Return the ids that chats of several number spaces have.

    Args:
        dump: that holds the exports.
        names: of them all.
    """
    spaces: dict[str, set[str]] = {}
    for name in names:
        for kind, number in _chats(dump, name):
            spaces.setdefault(number, set()).add(space_of(kind))
    return frozenset(number for number, found in spaces.items() if len(found) > 1)


def called(space: str, number: str, ambiguous: frozenset[str]) -> str:
    """Return what a chat is called in the ids of its posts."""
    return f"{space}{number}" if number in ambiguous else number


def of_peer(peer: str, ambiguous: frozenset[str]) -> str | None:
    """Return the same of a chat that is told as `user12`, `chat12` or `channel12`."""
    found = PEER.fullmatch(peer)
    return called(found[1], found[2], ambiguous) if found else None


def space_of(kind: str | None) -> str:
    """Return the number space of a type of chats; of one that is new, the type."""
    return SPACES.get(kind or "", kind or "")


def _chats(dump: Dump, name: str) -> Iterator[tuple[str, str]]:
    """Yield (type, id) of the chats of an export; what cannot be read, its reader tells."""
    text = b""
    try:
        with dump.open(name) as file:
            while piece := file.read(PIECE):
                first, text = not text, text[-LONGEST:] + piece
                for kind, number in CHAT.findall(text):
                    yield kind.decode(), number.decode()
                if first and not _is_account(text):
                    return  # of one chat: what follows are messages
    except SourceError:
        return
