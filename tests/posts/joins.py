"""Posts of a test's own, joined to the sources of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from imgbatch.dataset import Dataset
from imgbatch.dataset.gathered import Gathered
from imgbatch.posts.keys import exact_paths, media_keys, source_ids, source_keys
from imgbatch.posts.rows import Batches
from imgbatch.sources.dumps import Gap, Media, Post
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def joined(
    corpus: Path,
    posts: Sequence[Post],
    *,
    form: str = "made",
    namers: dict[str, Callable[[str], str | None]] | None = None,
) -> list[tuple[str, str, str | None]]:
    """Join posts of the input `in` to the sources of the dataset `own`.

    Returns:
        Status, level and file of each medium, in the order of platforms, posts and media.
    """
    dataset = Dataset.open(str(corpus / "own"))
    root = open_store(str(corpus / "in")).root
    gathered = Gathered(dataset, root)
    found: Sequence[tuple[str, Post | Gap]] = [(form, post) for post in posts]
    for rows in Batches(root).of(found):
        gathered.take(rows)
    gathered.settle("keep", listed=lambda _: None, exact=exact_paths)
    gathered.join(media_keys({}), source_keys({}), source_ids(namers or {}))
    media = pa.concat_tables([rows for _, rows in gathered.rows()["post_media"]])
    order = [(name, "ascending") for name in ("platform", "post_id", "media_idx")]
    media = media.sort_by(order).to_pylist()
    gathered.close()
    addresses = {row["source_id"]: row["address"] for row in dataset.read("sources").to_pylist()}
    return [
        (
            row["status"],
            row["joined_by"],
            row["source_id"] and addresses[row["source_id"]].removeprefix(f"{root}/"),
        )
        for row in media
    ]


def post(*media: Media, post_id: str = "P", ref: str = "dump.jsonl:1", platform: str = "x") -> Post:
    """Return a post of some media."""
    return Post(post_id, platform, ref, media=media)


def image(index: int = 0, **said: str | None) -> Media:
    """Return a picture, and what a dump says of it."""
    return Media(index, "image", **said)  # type: ignore[arg-type] # a test's own words
