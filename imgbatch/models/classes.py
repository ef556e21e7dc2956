"""Names that a user gives to the classes of weights of their own enter; they tell classes apart.

The names of published weights are not looked at: two classes of ImageNet may be called alike, and
have a WordNet id each.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from imgbatch.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN = 3


def tell_apart(names: Sequence[str]) -> None:
    """Refuse names of which a row could not say which class is meant.

    Args:
        names: of all classes, in their order.

    Raises:
        WeightsError: some are empty, or of two classes, blanks around them aside; says which, by
            their places from 1 on.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names, 1):
        places[name.strip()].append(place)
    empty = places.pop("", [])
    problems = [f"{_listed(empty)} {'are' if empty[1:] else 'is'} empty"] if empty else []
    problems += [f"{n!r} stands at {_listed(found)}" for n, found in places.items() if found[1:]]
    if problems:
        said = "; ".join(problems[:SHOWN])
        more = f"; and {len(problems) - SHOWN} more" if problems[SHOWN:] else ""
        raise WeightsError(
            f"the names in `classes` do not tell classes apart: {said}{more}",
            "Give each class a name of its own. Counted is from 1 on, as lines of a file are.",
        )


def _listed(places: Sequence[int]) -> str:
    *first, last = [str(place) for place in places[:SHOWN]]
    if places[SHOWN:]:
        return f"{', '.join([*first, last])} and {len(places) - SHOWN} more"
    return f"{', '.join(first)} and {last}" if first else last
