"""How sources that kill workers are told from workers that were lost for another reason.

A set of places of a shard enters; trials leave, and in the end those that kill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from imgbatch.watch import Reason

T = TypeVar("T")
Found = dict[int, "Reason"]


def hunt(
    places: Sequence[int], suspects: Iterable[int], trial: Callable[[Sequence[int]], T]
) -> Generator[T, Reason | None, Found]:
    """Return the places that kill a worker, each by how it did.

    It yields trials and wants to be sent how each ended: None when it came through. So whoever
    makes them may do other things meanwhile.

    A place is only named when it was lost alone, twice in a row. A worker that is lost for another
    reason meanwhile costs more trials and names nothing.

    Args:
        places: to look among.
        suspects: tried one by one before anything else; where one of them kills, no other is tried.
        trial: makes one of some places: they are done on a worker of their own, and the rows are
            thrown away.
    """
    near = [place for place in suspects if place in set(places)]
    if found := (yield from _singles(near, trial)):
        return found
    return (yield from _among([place for place in places if place not in near], trial))


def _among(
    places: Sequence[int], trial: Callable[[Sequence[int]], T]
) -> Generator[T, Reason | None, Found]:
    if len(places) <= 1:
        return (yield from _singles(places, trial))
    if not (yield trial(places)):
        return {}
    half = len(places) // 2
    first = yield from _among(places[:half], trial)
    return first | (yield from _among(places[half:], trial))


def _singles(
    places: Sequence[int], trial: Callable[[Sequence[int]], T]
) -> Generator[T, Reason | None, Found]:
    found: Found = {}
    for place in places:
        if (yield trial([place])) and (reason := (yield trial([place]))):
            found[place] = reason
    return found
