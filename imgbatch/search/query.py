"""One vector that others are compared with, and what it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imgbatch.errors import SearchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from imgbatch.records import Picture


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One vector that others are compared with.

    Attributes:
        label: what it is of, for people.
        own: the name of its row in the space; None for what comes from outside.
        source_id: its source in the dataset; None for what comes from outside.
        frame: of its source.
        region: keys and place of the face that it is of; empty for a whole picture.
        picture: its pixels, where they had to be decoded.
        outside: the ids that it would have as a source, of what comes from outside; a page has
            them, so that a takedown finds the page. None of a source of the dataset and for words.
        others: the names of further rows that are left out: all pictures of a source that was
            named as a whole, and what one that changed was before.
        noticed: that it is not, or may not be, what a run saw, and which of both it is of; or "".
    """

    label: str
    vector: NDArray[np.float64]
    own: str | None = None
    source_id: str | None = None
    frame: int = 0
    region: Mapping[str, Any] | None = None
    picture: Picture | None = None
    outside: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    noticed: str = ""


def pointing(queries: list[Query]) -> list[Query]:
    """Return the vectors that have a direction."""
    found = [query for query in queries if np.linalg.norm(query.vector) > 0]
    if not found:
        raise SearchError(
            "the photo has no vector: it is plain, or nothing in it can be compared",
            "Give another photo.",
        )
    return found
