"""A run that is about to change a dataset enters; it leaves as the holder of `lock.json`, or not.

The lock spares a second run its work and tells it why. Safety never rests on it, nor on a clock:
whoever believes wrongly to hold it is refused by the number that each commit carries
(`imgbatch.dataset.commit`, FencedError).

The holder writes the object again every few seconds. A lock whose holder is dead is taken over by
a write that compares the version, so that of several one gets it: at once when its process is gone
from this machine, else when it is silent for longer than it said it would be. A silent one is
watched for two beats first: a clock that is wrong, here or there, ends no living run.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from imgbatch.errors import BusyError, DatasetError, FencedError, StorageError
from imgbatch.storage import ChangedError

if TYPE_CHECKING:
    from imgbatch.storage import Store

NAME = "lock.json"
# A holder that misses five beats of six still holds.
BEATS = 6
WATCHED_BEATS = 2


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a dataset's lock, as `lock.json` says it.

    Attributes:
        machine: tells whether `pid` is one that we can see: boot and process id namespace.
        token: drawn anew by each taker.
        since: when it was taken, UTC.
        beat: grows with each sign of life.
        at: time of the last one, seconds since 1970 by the holder's clock.
        expires: seconds of silence after which the holder counts as dead.
    """

    run: str
    host: str
    machine: str
    pid: int
    token: str
    since: str
    beat: int
    at: float
    expires: float

    @classmethod
    def me(cls, run: str, *, expires: float) -> Holder:
        """Return what this process writes into a lock that it takes."""
        now = datetime.now(UTC)
        return cls(
            run=run,
            host=socket.gethostname(),
            machine=this_machine(),
            pid=os.getpid(),
            token=uuid.uuid4().hex,
            since=now.isoformat(timespec="seconds"),
            beat=0,
            at=now.timestamp(),
            expires=expires,
        )

    def next_beat(self) -> Holder:
        """Return the next sign of life."""
        return replace(self, beat=self.beat + 1, at=time.time())

    def encoded(self) -> bytes:
        """Return the bytes of `lock.json`."""
        return json.dumps(asdict(self), indent=1).encode()

    @property
    def gone(self) -> bool:
        """Whether its process was on this machine and is no more."""
        return is_gone(self.machine, self.pid)

    @property
    def silent(self) -> bool:
        """Whether its last sign of life is too far from now, by our clock.

        One from the future says no more than an old one does: one of the two clocks is wrong.
        """
        return abs(time.time() - self.at) >= self.expires

    def busy(self) -> BusyError:
        """Return the error for whoever meets this holder alive."""
        said = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="seconds")
        return BusyError(
            f"run {self.run} is at work on this dataset: process {self.pid} on {self.host}, "
            f"since {self.since}, last sign of life {said}",
            "Wait until it ends, then run again. If it is dead, the next run takes over by itself "
            f"once it was silent for {self.expires:g} s.",
        )


def holder(store: Store) -> Holder | None:
    """Return who holds the lock of the dataset at this root, dead or alive.

    Raises:
        DatasetError: `lock.json` is none of ours.
    """
    found = _read(store)
    return found[0] if found else None


def refuse_busy(store: Store) -> None:
    """Refuse when a living run holds the dataset at this root; takes nothing.

    Raises:
        BusyError: with who holds it.
    """
    found = _read(store)
    if found and not (found[0].gone or found[0].silent):
        raise found[0].busy()


class RunLock:
    """The lock of one run, kept by a thread until it is released."""

    def __init__(self, store: Store, holder: Holder) -> None:
        self._store = store
        self._holder = holder
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="run lock", daemon=True)

    @classmethod
    def take(cls, store: Store, run: str, *, expires: float) -> RunLock:
        """Take the lock of the dataset at this root.

        Raises:
            BusyError: a living run holds it.
            DatasetError: `lock.json` is none of ours.
        """
        holder = Holder.me(run, expires=expires)
        _take(store, holder)
        lock = cls(store, holder)
        lock._thread.start()
        return lock

    def check(self) -> None:
        """Refuse when another run took the lock over.

        Raises:
            FencedError: it did, as far as the last beat saw.
        """
        if self._lost.is_set():
            raise FencedError(f"another run took over from run {self._holder.run}, silent too long")

    def release(self) -> None:
        """Give the lock back, if it is still ours."""
        self._stop.set()
        self._thread.join()
        # What cannot be deleted expires: no reason to fail a run that has done its work.
        with contextlib.suppress(StorageError, PermissionError, DatasetError):
            found = _read(self._store)
            # Looking and deleting are two steps. Who stops for so long between them that it is
            # taken over deletes the other's lock; that one ends like one that was taken over.
            if found and found[0].token == self._holder.token:
                self._store.delete(NAME)

    def _keep(self) -> None:
        while not self._stop.wait(self._holder.expires / BEATS):
            # A store that fails for a while: the next beat may get through. If none does, others
            # take over, and that is seen by the first that does.
            with contextlib.suppress(StorageError, PermissionError):
                if not self._beat():
                    self._lost.set()
                    return

    def _beat(self) -> bool:
        try:
            found = _read(self._store)
            if found is None or found[0].token != self._holder.token:
                return False
            self._store.replace(NAME, found[0].next_beat().encoded(), found[1])
        except ChangedError:
            return self._is_mine()
        except (FileNotFoundError, DatasetError):
            return False
        return True

    def _is_mine(self) -> bool:
        """Return whether the lock is ours after a beat of ours was refused.

        A store's client repeats a request that failed. Where the first one was carried out all
        the same, the second finds the version that it made itself.
        """
        try:
            found = _read(self._store)
        except DatasetError:
            return False
        return found is not None and found[0].token == self._holder.token


def _take(store: Store, mine: Holder) -> None:
    seen: dict[str, int] = {}
    while True:
        found = _read(store)
        try:
            if found is None:
                store.put_once(NAME, mine.encoded())
                return
            holder, version = found
            if holder.token == mine.token:
                return  # refused to a repetition of the request that had taken it: see `_is_mine`
            beats = seen.setdefault(holder.token, holder.beat) != holder.beat
            if beats or not (holder.gone or holder.silent):
                raise holder.busy()
            if not holder.gone:
                time.sleep(holder.expires / BEATS * WATCHED_BEATS)
            store.replace(NAME, mine.next_beat().encoded(), version)
        except (FileExistsError, FileNotFoundError):
            continue  # somebody was quicker: look who
        return


def _read(store: Store) -> tuple[Holder, str] | None:
    """Return who holds the lock, and the version that can be replaced."""
    try:
        # In this order: what is read is what that version holds, or newer, and then not replaced.
        version = store.head(NAME).version
        data = store.get(NAME)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return Holder(**json.loads(data)), version
    except (ValueError, TypeError) as error:
        raise DatasetError(
            f"{NAME} is not readable: {error}",
            f"Delete {NAME} in the dataset if no run is at work on it.",
        ) from error


def is_gone(machine: str, pid: int) -> bool:
    """Return whether a process was on this machine and is no more."""
    return machine == this_machine() and not _runs(pid)


def this_machine() -> str:
    """Return what is the same for all processes whose ids mean the same to each other."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return f"{socket.gethostname()} {uuid.getnode():x}"


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        told = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # not Linux
        return True
    # A dead process keeps its number until its parent asks for it; in a container nobody may.
    return told.rpartition(b")")[2].split()[0] not in (b"Z", b"X")
