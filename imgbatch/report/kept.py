"""What a dataset keeps of people in posts, as the codebook says it: by column, by settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.dataset import posts
from imgbatch.dataset.posts import COPIES, MEDIA, POSTS

if TYPE_CHECKING:
    from imgbatch.dataset import Dataset

TEXTS = {(POSTS, "text"), (MEDIA, "alt_text")}
NAMES = {(POSTS, "author_name"), (POSTS, "url")}
IDS = {
    (POSTS, "post_id"),
    (POSTS, "author_id"),
    (POSTS, "reply_to"),
    (POSTS, "repost_of"),
    (MEDIA, "post_id"),
    (MEDIA, "media_key"),
    (COPIES, "post_id"),
    (COPIES, "author_id"),
}


def settings_of(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the settings that the posts of each input came by."""
    made = posts.record(dataset) if posts.here(dataset) else None
    return [own["settings"] for own in made["inputs"].values()] if made else []


def kept(table: str, column: str, settings: list[dict[str, Any]]) -> str:
    """Return what is kept of people in a column, as a part of a sentence; "" where nothing is said.

    Args:
        table: one of posts.
        column: of it.
        settings: of each input; the column says both where they differ.
    """
    said = {_kept((table, column), own) for own in settings}
    return " or ".join(sorted(said - {""}))


def _kept(place: tuple[str, str], own: dict[str, Any]) -> str:
    if place in IDS:
        return "keyed hash here (pseudonyms = true)" if own["pseudonyms"] else "plain here"
    if place in TEXTS:
        return "kept here" if own["text"] else "left out here (text = false)"
    if place in NAMES:
        if own["pseudonyms"]:
            return "left out here (pseudonyms = true)"
        return "kept here" if own["names"] else "left out here (names = false)"
    return ""
