"""Enters: exports of Telegram Desktop. Leaves: how they are known, and what their chats are called.

Decision, 2026-11: users, basic groups and channels are numbered apart, and an export tells a chat's
number alone. So a chat is called as Telegram calls the author of a message, whatever else is in the
export: user777, chat777, channel777. Former versions said so only where two chats of one number
were there, and 777 elsewhere: when a second one came, the ids of the first one changed, and what
was forgotten of it came back.
"""

from __future__ import annotations

import re

ONE_CHAT = re.compile(
    rb'"type"\s*:\s*"(saved_messages|replies|verification_codes|personal_chat|bot_chat|'
    rb'(private|public)_(group|supergroup|channel))"\s*,\s*"id"\s*:\s*-?\d+\s*,\s*"messages"\s*:'
)
ACCOUNT = re.compile(
    rb'\s*\{\s*"about"\s*:\s*"[^"]*Telegram.*?"(personal_information|profile_pictures|stories|'
    rb'contacts|frequent_contacts|sessions|chats|left_chats)"\s*:',
    re.DOTALL,
)
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
    return bool(ONE_CHAT.search(head) or ACCOUNT.match(head.removeprefix(b"\xef\xbb\xbf")))


def called(kind: str | None, number: str) -> str:
    """Return what a chat is called in the ids of its posts.

    Args:
        kind: its type, as the export has it; before its number stands a new one's own name.
        number: its id, as the export has it.
    """
    return f"{SPACES.get(kind or '', kind or '')}{number}"
