"""The poisons of a task enter; what their outcomes say leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.errors import PoisonError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgbatch.carry import Shift
    from imgbatch.messages import Poison
    from imgbatch.records import Source

SAID = {
    "crash": "its worker's process died",
    "memory": "its worker took more memory than it may",
    "hang": "it was not done within its time limit",
}
DURING = {"decode": "while it was decoded", "analyze": "in an analyzer, after it was decoded"}


def poisoned(shift: Shift, poisons: Iterable[Poison]) -> dict[str, PoisonError]:
    """Return what is to be said of each poison of a shard, by source."""
    found = {}
    for poison in poisons:
        if poison.shard == shift.work.shard.name:
            source = shift.sources[poison.place]
            said = f"{SAID[poison.reason]} {DURING[poison.stage]}; {_where(source)}"
            found[source.source_id] = PoisonError(f"poison.{poison.reason}", said)
    return found


def _where(source: Source) -> str:
    if source.container is None:
        return f"{source.size} bytes of {source.address}"
    size = source.size if source.packed_size is None else source.packed_size
    unpacked = " unpacked" if source.packing == "stream" else ""
    return f"{size} bytes at {source.offset} of {source.container}{unpacked}"
