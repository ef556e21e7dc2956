"""A dataset enters; whether a run is at work on it leaves, from its objects alone.

Three of them tell: `runs/<run>.json` how a run ended, `lock.json` whether its driver lives, and
`runs/<run>/progress.json` how far it is. A run that only lists its input has no lock yet: then the
age of its progress is all there is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imgbatch.dataset import groups, lock, tombstones
from imgbatch.errors import DamageError, SettingsError
from imgbatch.observe import recorder

if TYPE_CHECKING:
    from imgbatch.dataset import Dataset
    from imgbatch.dataset.lock import Holder
    from imgbatch.storage import Store

ENDED = ("finished", "failed", "interrupted", "cancelled")
DIED, SILENT = "died", "silent"
# A progress object that was not written for so long: by number of times, and seconds.
MISSED, SLACK = 4, 15.0
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Life:
    """A run as its objects tell of it.

    Attributes:
        state: listing, planned, running, committing; finished, failed, interrupted, cancelled;
            died, silent.
        why: of died and silent.
        progress: `progress.json`; None where there is none.
        record: `runs/<run>.json`; None where there is none yet.
    """

    run: str
    state: str
    why: str = ""
    progress: dict[str, Any] | None = None
    record: dict[str, Any] | None = None

    @property
    def alive(self) -> bool:
        """Whether somebody is at work."""
        return self.state not in (*ENDED, DIED, SILENT)

    def told(self) -> dict[str, Any]:
        """Return it as `--json` says it."""
        return {"run": self.run, "state": self.state, "why": self.why, "progress": self.progress}


def runs(dataset: Dataset) -> list[str]:
    """Return the ids of all runs that left anything below `runs/`, oldest first by their ids."""
    try:
        names = [entry.name for entry in dataset.store.list("runs")]
    except FileNotFoundError:
        return []
    # A grouping leaves nothing else, and computes no shard.
    ours = [name.split("/")[1] for name in names if not name.endswith(f"/{groups.RECORD}")]
    return sorted({name.removesuffix(".json") for name in ours})


def named(dataset: Dataset, text: str) -> str:
    """Return a run's id by its beginning.

    Raises:
        SettingsError: no run is meant, or more than one.
    """
    known = runs(dataset)
    holder = lock.holder(dataset.store)
    if holder and holder.run not in known:
        known.append(holder.run)
    found = [run for run in known if run.startswith(text)]
    if text in found:
        return text
    if len(found) == 1:
        return found[0]
    said = f"{len(found)} runs begin with {text!r}" if found else f"no run is {text!r}"
    raise SettingsError(
        f"{said}; the last ones here: {', '.join(known[-SHOWN:]) or 'none'}",
        "Give a run's id or its beginning, as `imgbatch history DATASET` shows it.",
    )


def last(dataset: Dataset) -> Life | None:
    """Return the run that is at work, else the one that began last; None where there was none."""
    holder = lock.holder(dataset.store)
    known = runs(dataset)
    # One that has just begun may have left no other word yet. Others take the lock as well.
    if holder and (holder.run in known or not _is_other(dataset.store, holder.run)):
        return life(dataset, holder.run, holder)
    return life(dataset, known[-1], holder) if known else None


def life(dataset: Dataset, run: str, holder: Holder | None = None) -> Life:
    """Return what is known of one run.

    Args:
        dataset: which it is of.
        run: its id.
        holder: of the lock, where that was looked up already.
    """
    # In this order: a run that ends meanwhile writes its record before it gives the lock back.
    holder = holder or lock.holder(dataset.store)
    progress = _read(dataset.store, recorder.name(run))
    record = _read(dataset.store, f"runs/{run}.json")
    state, why = _state(run, holder, progress, record)
    return Life(run, state, why, progress, record)


def _state(
    run: str,
    holder: Holder | None,
    progress: dict[str, Any] | None,
    record: dict[str, Any] | None,
) -> tuple[str, str]:
    for told in (record and record.get("status"), progress and progress["state"]):
        if told in ENDED:
            return str(told), ""
    said = progress["state"] if progress else "running"
    if holder is None:
        return _unlocked(said, progress)
    if holder.run != run:
        return DIED, f"run {holder.run} took over"
    at = datetime.fromtimestamp(holder.at, UTC).isoformat(timespec="seconds")
    if holder.gone:
        return DIED, f"process {holder.pid} on {holder.host} is gone; last sign of life {at}"
    if holder.silent:
        limit = f"a run that is silent for {holder.expires:g} s counts as dead"
        return SILENT, f"last sign of life {at} from {holder.host}; {limit}"
    return said, ""


def _unlocked(said: str, progress: dict[str, Any] | None) -> tuple[str, str]:
    if progress is None:
        return DIED, "it holds no lock, and left no word"
    if lock.is_gone(progress["machine"], progress["pid"]):
        return DIED, f"process {progress['pid']} on {progress['host']} is gone"
    age = age_of(progress)
    if age > max(SLACK, MISSED * progress["every"]):
        return DIED, f"it holds no lock, and wrote {age:,.0f} s ago for the last time"
    return said, ""


def age_of(progress: dict[str, Any]) -> float:
    """Return how many seconds ago a run wrote its progress, by our clock."""
    written = datetime.fromisoformat(progress["written"])
    return max(0.0, (datetime.now(UTC) - written).total_seconds())


def _is_other(store: Store, run: str) -> bool:
    names = (f"{tombstones.FOLDER}/{run}.json", groups.record_name(run))
    return any(_read(store, name) is not None for name in names)


def _read(store: Store, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(store.get(name))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise DamageError(f"{name} is not readable: {error}") from error
    return found
