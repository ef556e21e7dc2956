"""Enters: what yt-dlp wrote of a video. Leaves: which post it is of.

Confirmed in yt-dlp's extractors (2026-08): of most sites the video is the post. Not of these:

    x           `id` is the medium's, `display_id` the post's; before, `id` was the post's
    reddit      `id` is that of v.redd.it, `display_id` the submission's without t3_, and
                `channel_id` the subreddit
    instagram   a carousel's entries have shortcodes of their own; the address has the post's
    telegram    `id` is the message's, and counts within the chat

So ids agree with those that other formats give for the same post. Drawbacks: on Telegram a chat is
its name here, and its number in Telegram's own exports; on Bluesky a post is the end of its address
here, and the whole at:// address in 4CAT's files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from imgbatch.sources.dumps._reddit_ids import whole
from imgbatch.sources.dumps.values import text, text_id

if TYPE_CHECKING:
    from collections.abc import Mapping

PLATFORMS = {
    "twitter": "x",
    "youtubetab": "youtube",
    "youtubeclip": "youtube",
    "telegramembed": "telegram",
}
# Platforms that versions before 3 called by the extractor's own name.
UNNAMED = ("telegramembed",)
# What the id of a post is like, and where its address has it.
IDS = {"x": re.compile(r"\d+"), "reddit": re.compile(r"[0-9a-z]+")}
ADDRESSES = {
    "x": re.compile(r"/status(?:es)?/(\d+)"),
    "reddit": re.compile(r"/comments/([0-9a-z]+)"),
    "instagram": re.compile(r"/(?:p|tv|reels?(?!/audio/))/([\w-]+)"),
}
NOBODY = "[deleted]"


def platform_of(info: Mapping[str, Any]) -> str:
    """Return where a video is from, by its extractor; `unknown` where that is not said."""
    word = _extractor(info)
    return PLATFORMS.get(word, word)


def _extractor(info: Mapping[str, Any]) -> str:
    extractor = text(info.get("extractor_key")) or text(info.get("ie_key"))
    extractor = extractor or text(info.get("extractor")) or "unknown"
    return extractor.lower().partition(":")[0]


def post_id_of(info: Mapping[str, Any], platform: str) -> str | None:
    """Return the id of the post that a video is of; None where the video has none itself."""
    own = text_id(info.get("id"))
    if own is None:
        return None
    if platform == "telegram":
        chat = text_id(info.get("channel_id"))
        return f"{chat}/{own}" if chat else own
    shown = text_id(info.get("display_id")) or ""
    if platform in IDS and IDS[platform].fullmatch(shown):
        return whole(shown) if platform == "reddit" else shown
    found = None
    if platform in ADDRESSES:
        found = ADDRESSES[platform].search(text(info.get("webpage_url")) or "")
    if found is None:
        return own
    return whole(found[1]) if platform == "reddit" else found[1]


def former_of(info: Mapping[str, Any], platform: str, post_id: str) -> tuple[tuple[str, str], ...]:
    """Return what versions before 3 called the post: each video was one, by its own id.

    Args:
        info: of the video.
        platform: of the post, as it is called now.
        post_id: the same.
    """
    own = text_id(info.get("id"))
    word = _extractor(info)
    was = word if word in UNNAMED else platform
    return () if own is None or (was, own) == (platform, post_id) else ((was, own),)


def author_of(info: Mapping[str, Any], platform: str) -> tuple[str | None, str | None]:
    """Return the author's id and name: on Reddit a channel is no author."""
    name = text(info.get("uploader"))
    if platform == "reddit":
        return text_id(info.get("uploader_id")), None if name == NOBODY else name
    found = text_id(info.get("channel_id")) or text_id(info.get("uploader_id"))
    return found, name or text(info.get("channel"))
