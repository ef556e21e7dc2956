"""Seconds by stage enter; what bounds the run leaves.

A worker's decoding threads do one thing after another: they wait for a source's bytes (`fetch`),
decode them (`hash`, `decode`) and show the pictures to the analyzers. So the seconds of these
stages are at most what the threads had (wall time x threads, as each tick of a worker tells), and:

- where they fill at least half of that, the run is bound by the largest of: bytes (a network, or a
  disk), decoding, or one analyzer. All but bytes is CPU time; that of an analyzer is a GPU's where
  the workers say that it computes on one;
- where they do not, the threads lack work. Rows are put together and written (`rows`, `write`)
  beside them, by the thread that also hands out the next shard: if that takes more time than any
  other stage, it is what the run waits for; else it is something that no stage holds: a compressed
  archive that one thread unpacks, shards too few for the threads, a driver that commits.

Decision, 2026-11: shares of time, no model of queues. Drawback: it says what took the threads'
time, not what the run would be bound by once that is quicker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

FETCHING, DECODING, WRITING, WAITING = "fetching", "decoding", "writing", "waiting"
STAGES = {
    "fetch": FETCHING,
    "hash": DECODING,
    "decode": DECODING,
    "rows": WRITING,
    "write": WRITING,
}
# So much of the threads' time is work where they do not lack it.
BUSY = 0.5
MEANING = {
    FETCHING: "bytes: the network or disk that sources come from",
    DECODING: "CPU: decoding",
    WRITING: "writing: the store that parts go to",
    WAITING: "nothing that a stage holds: threads wait for work (archives read in one pass, few "
    "shards, commits)",
}


def bound(stages: Mapping[str, float], threads: float) -> str | None:
    """Return what bounds a run: fetching, decoding, writing, waiting, or an analyzer's name.

    Args:
        stages: seconds by stage, summed over threads.
        threads: seconds that the decoding threads had; 0 where that is not known.

    Returns:
        None as long as nothing is known.
    """
    groups = grouped(stages)
    if not any(groups.values()):
        return None
    writing = groups.pop(WRITING, 0.0)
    busy, most = sum(groups.values()), max(groups.values(), default=0.0)
    if busy >= BUSY * threads and most:
        return max(groups, key=lambda name: groups[name])
    return WRITING if writing > most else WAITING


def grouped(stages: Mapping[str, float]) -> dict[str, float]:
    """Return seconds by what a run may be bound by; an analyzer's stage has its own name."""
    found: dict[str, float] = {}
    for name, seconds in stages.items():
        group = STAGES.get(name, name)
        found[group] = found.get(group, 0.0) + seconds
    return found


def on_gpu(stages: Mapping[str, float], gpu: Mapping[str, float]) -> list[str]:
    """Return the analyzers that spent most of their time on GPUs: not every worker may have one.

    Args:
        stages: seconds by stage.
        gpu: those of them that were spent where an analyzer computes on a GPU.
    """
    return sorted(name for name, seconds in gpu.items() if seconds > stages[name] / 2)


def meaning(verdict: str, gpu: Collection[str] = ()) -> str:
    """Return a verdict in words.

    Args:
        verdict: as `bound` says it.
        gpu: the analyzers that compute on a GPU.
    """
    chip = "GPU" if verdict in gpu else "CPU"
    return MEANING.get(verdict, f"{chip}: analyzer {verdict}")
