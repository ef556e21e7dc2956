"""Dumps of X posts as twarc2 writes them, and what a dataset came to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imgbatch.dataset import Dataset, posts
from tests.corpus import PHOTOS, run_inline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from imgbatch.summary import Summary

RECIPE = "[analyzers.image]\n"
CDN = "https://pbs.twimg.com/media"


@dataclass
class Tweet:
    """One post; `media` are the last parts of the addresses of photos."""

    id: str
    text: str = "said"
    media: Sequence[str] = ()
    author: str = "7"
    when: str = "2024-03-04T05:06:07.000Z"
    more: dict[str, Any] = field(default_factory=dict)


def write_dump(file: Path, tweets: Sequence[Tweet], *, each: int = 2) -> None:
    """Write pages of so many posts each."""
    pages = [tweets[at : at + each] for at in range(0, len(tweets), each)]
    file.write_text("".join(json.dumps(_page(page)) + "\n" for page in pages), "utf-8")


def _page(tweets: Sequence[Tweet]) -> dict[str, Any]:
    data, media = [], []
    for tweet in tweets:
        keys = [f"3_{tweet.id}{at}" for at in range(len(tweet.media))]
        media += [
            {"media_key": key, "type": "photo", "url": f"{CDN}/{name}"}
            for key, name in zip(keys, tweet.media, strict=True)
        ]
        data.append(
            {
                "id": tweet.id,
                "text": tweet.text,
                "author_id": tweet.author,
                "created_at": tweet.when,
                **({"attachments": {"media_keys": keys}} if keys else {}),
                **tweet.more,
            }
        )
    users = [{"id": author, "username": f"u{author}"} for author in {t.author for t in tweets}]
    return {"data": data, "includes": {"media": media, "users": users}, "__twarc": {"version": "2"}}


def photo(file: Path, name: str = "rocket.jpg", tail: bytes = b"") -> None:
    """Put a real photograph somewhere; a tail makes it another file of the same picture."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(PHOTOS[name].read_bytes() + tail)


def bring(input_: Path, own: Path, said: str = "", **flags: Any) -> Summary:
    """Run over a dump; `said` are lines of the recipe's `[posts]`."""
    recipe = f"{RECIPE}[posts]\n{said}\n" if said else RECIPE
    return run_inline(input_, own, recipe=recipe, **flags)


def rows(own: Path, name: str, *columns: str) -> list[Any]:
    """Return committed rows in the order of their keys, or some columns of them as tuples."""
    table = Dataset.open(str(own)).table(name).dataset().to_table()
    keys = ("platform", "post_id", "media_idx", "kind", "ref", "line", "message")
    table = table.sort_by([(key, "ascending") for key in keys if key in table.column_names])
    if not columns:
        return table.to_pylist()
    return list(zip(*(table[column].to_pylist() for column in columns), strict=True))


def parts(own: Path) -> dict[str, set[str]]:
    """Return the committed parts of each table."""
    dataset = Dataset.open(str(own))
    return {name: set(dataset.table(name).parts()) for name in posts.TABLES}


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def said(self) -> dict[str, Any]:
        return json.loads(self.stdout)  # type: ignore[no-any-return]
