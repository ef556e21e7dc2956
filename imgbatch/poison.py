"""How sources that kill workers are told from workers that were lost for another reason.

A set of places of a shard enters, with a way to try some of them; those that kill leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from imgbatch.watch import Reason

    Probe = Callable[[Sequence[int]], Reason | None]


def hunt(places: Sequence[int], suspects: Iterable[int], probe: Probe) -> dict[int, Reason]:
    """Return the places that kill a worker, each by how it did.

    A place is only named when it was lost alone, twice in a row. A worker that is lost for another
    reason meanwhile costs more probes and names nothing.

    Args:
        places: to look among.
        suspects: tried one by one before anything else; where one of them kills, no other is tried.
        probe: does some places on a worker of their own and throws the rows away; returns None when
            it came through.
    """
    near = [place for place in suspects if place in set(places)]
    if found := _singles(near, probe):
        return found
    return _among([place for place in places if place not in near], probe)


def _among(places: Sequence[int], probe: Probe) -> dict[int, Reason]:
    if len(places) <= 1:
        return _singles(places, probe)
    if not probe(places):
        return {}
    half = len(places) // 2
    return _among(places[:half], probe) | _among(places[half:], probe)


def _singles(places: Sequence[int], probe: Probe) -> dict[int, Reason]:
    found: dict[int, Reason] = {}
    for place in places:
        if probe([place]) and (reason := probe([place])):
            found[place] = reason
    return found
