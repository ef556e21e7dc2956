"""Enters: what a search found. Leaves: a page of thumbnails, one HTML file that needs nothing else.

It has the policy and the style of the report: no script, no network, every name shown as text.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from imgbatch import __version__
from imgbatch.dataset import pages
from imgbatch.dataset.state import unlocked
from imgbatch.report.page import POLICY, environment
from imgbatch.report.sheet import choices_of
from imgbatch.report.story import dataset_name
from imgbatch.report.thumbnails import HEIGHT, Thumbnail, encode, of_frames
from imgbatch.search.space import BOX
from imgbatch.settings import MediaSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.search import Found
    from imgbatch.search.query import Query
    from imgbatch.settings import Limits

FOLDER = "report/search"
# A page of more would be slow to open; the table has them all.
SHOWN = 200
NONE = Thumbnail(reason="not in the dataset any more")

_Made = dict[str, dict[int, Thumbnail]]


@dataclass(frozen=True, slots=True)
class Card:
    """One picture with what is known of it.

    Attributes:
        row: of the table of hits; of a query its keys, if any.
        box: where its face is: left, top, width, height in percent of the picture; else None.
    """

    row: Mapping[str, Any]
    thumbnail: Thumbnail
    box: tuple[float, float, float, float] | None


def render(found: Found, limits: Limits) -> bytes:
    """Return the page; sources are fetched and decoded for it, as the report does."""
    rows = found.hits.slice(0, SHOWN).to_pylist()
    with unlocked(found.space.dataset):
        made = _thumbnails(found, rows, limits)
    cards: dict[int, list[Card]] = defaultdict(list)
    for row in rows:
        thumbnail = made.get(row["source_id"], {}).get(row["frame"], NONE)
        cards[row["query"]].append(Card(row, thumbnail, box_of(row)))
    inputs = tuple(dict.fromkeys(str(r.get("input", "")) for r in found.space.dataset.runs()))
    template = environment("imgbatch.search", inputs=inputs).get_template("search.html")
    text = template.render(
        found=found,
        name=dataset_name(found.space.dataset),
        asked=[_asked(query, made) for query in found.queries],
        cards=cards,
        left=found.hits.num_rows - len(rows),
        policy=POLICY,
        version=__version__,
    )
    return text.encode("utf-8", "replace")


def put(found: Found, page: bytes) -> str:
    """Write a page into the dataset; the same question replaces its former page.

    It lies below `report/`, so `forget` takes it out with the report.

    Raises:
        BusyError: a takedown went by since the space was opened; nothing of the page is left.
    """
    asked = f"{found.kind}:{found.asked}:{found.space.table}"
    digest = blake2b(asked.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    name = f"{FOLDER}/{found.kind}-{digest}.html"
    with pages.putting(found.space.dataset, found.space.seen) as put_:
        put_(name, page)
    return found.space.dataset.store.address(name)


def _thumbnails(found: Found, rows: list[dict[str, Any]], limits: Limits) -> _Made:
    wanted: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        wanted[row["source_id"]].add(row["frame"])
    for query in found.queries:
        if query.source_id is not None:
            wanted[query.source_id].add(query.frame)
    ids = dict.fromkeys(wanted, "")
    choices = {c.source.source_id: c for c in choices_of(found.space.dataset, ids)}
    media = MediaSettings.model_validate(found.space.made_of["media"])
    small = media.model_copy(update={"min_side": HEIGHT, "exact": False})
    return of_frames(choices, wanted, small, limits)


def _asked(query: Query, made: _Made) -> Card | None:
    """Return the card of what was asked with; None for words."""
    box = box_of(query.region or {})
    if query.picture is not None:
        return Card({}, encode(query.picture), box)
    if query.source_id is None:
        return None
    return Card({}, made.get(query.source_id, {}).get(query.frame, NONE), box)


def box_of(row: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """Return where a region lies, in percent of the picture; None for a whole picture."""
    left, top, width, height = (row.get(name) for name in BOX)
    if left is None or top is None or width is None or height is None:
        return None
    # A box may lie beyond the picture's edge.
    right, bottom = min(1.0, left + width), min(1.0, top + height)
    left, top = max(0.0, left), max(0.0, top)
    return 100 * left, 100 * top, 100 * (right - left), 100 * (bottom - top)
