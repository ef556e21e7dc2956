"""Whether DATASET can be written so that nothing is lost: tried with one object, deleted after."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from imgbatch.dataset import Dataset
from imgbatch.dataset.delta import Table
from imgbatch.dataset.lock import refuse_busy
from imgbatch.doctor import folders
from imgbatch.doctor.tries import Place, WrongError, brief, tried
from imgbatch.errors import BusyError, RunError
from imgbatch.storage import ChangedError
from imgbatch.storage.buckets import PROBE, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Different bytes each: on S3 the same bytes are the same version.
FIRST, AGAIN, SECOND, THIRD = (b"imgbatch doctor %d" % n for n in range(4))
LOCKLESS = (
    "A run could not keep its lock here. Use Amazon S3, Google Cloud Storage or a server that "
    "takes an etag in If-Match as it gives it out, or a folder."
)
DANGEROUS = (
    "Two runs could destroy each other's work here. Use a server that knows conditional writes "
    "(Amazon S3, Google Cloud Storage, Ceph, MinIO in their present versions), or a folder."
)


def look(place: Place) -> Iterator[Finding]:
    """Yield what is there, and whether each verb of a run works."""
    if place.url.startswith("memory://"):
        text = "Delta Lake keeps no tables in a process's memory"
        yield Finding("format", "failed", text, "Give a folder or a bucket.")
        return
    yield from _state(place)
    with folders.restored(place.store):
        yield from _written(place)
    if place.bucket:
        yield from place.bucket.may(("list", "get", "put", "delete"))
        yield from place.bucket.keeps()
    yield from folders.room(place.store)


def _state(place: Place) -> Iterator[Finding]:
    """Yield whether a dataset is there, in a format of ours, and whether a run is at work."""
    try:
        dataset = Dataset.find(place.url)
    except RunError as error:
        yield Finding("format", "failed", brief(error), error.remedy)
        return
    except OSError:
        return  # what is not permitted is told by the tries that follow
    if dataset is None:
        yield Finding("format", "ok", "nothing is there yet: the first run makes the dataset")
        return
    yield Finding("format", "ok", f"a dataset that imgbatch {dataset.made_by} made")
    try:
        refuse_busy(dataset.store)
    except BusyError as error:
        yield Finding("lock", "warning", brief(error), error.remedy)
    except (RunError, OSError) as error:
        remedy = error.remedy if isinstance(error, RunError) else "Mend this, then look again."
        yield Finding("lock", "warning", brief(error), remedy)
    else:
        yield Finding("lock", "ok", "no run is at work on it")


def _written(place: Place) -> Iterator[Finding]:
    probe = _Probe(place, PROBE + uuid.uuid4().hex)
    try:
        first = tried(place, "put", "put", probe.put)
        yield first
        if first.state != "ok":
            return
        for check, verb, call in probe.steps():
            yield tried(place, check, verb, call)
        if place.bucket:
            yield from place.bucket.guards(probe.name)
    finally:
        gone = tried(place, "delete", "delete", probe.delete)
    if first.state == "ok":
        yield gone


class _Probe:
    """One object, written in each of the ways in which a run writes."""

    def __init__(self, place: Place, name: str) -> None:
        self._place = place
        self._store = place.store
        self.name = name

    def steps(self) -> list[tuple[str, str, Callable[[], str]]]:
        """Return the checks after the first put: name, what must be permitted, how it is done."""
        return [
            ("get back", "get", self.get),
            ("list", "list", self.list),
            ("conditional put", "put", self.put_once),
            ("replace", "put", self.replace),
            ("delta", "get", self.delta),
        ]

    def put(self) -> str:
        self._store.put(self.name, FIRST)
        return f"wrote {self.name}"

    def get(self) -> str:
        if self._store.get(self.name) != FIRST:
            raise WrongError("what was written comes back otherwise", "Mistrust this server.")
        return "what was written comes back"

    def list(self) -> str:
        if self.name not in {entry.name for entry in self._store.list("doctor")}:
            late = "what was just written is not listed"
            raise WrongError(late, "Mistrust this server: a run would not see its own work.")
        return "what was written is listed at once"

    def put_once(self) -> str:
        try:
            self._store.put_once(self.name, AGAIN)
        except FileExistsError:
            return "a second one is refused"
        raise WrongError("DANGEROUS: an object was written twice that may only be once", DANGEROUS)

    def replace(self) -> str:
        former = self._store.head(self.name).version
        try:
            self._store.replace(self.name, SECOND, former)
        except ChangedError:
            # Else a request that was repeated after an answer was lost, and met itself.
            if self._store.get(self.name) != SECOND:
                refused = "one over the version that is there is refused"
                raise WrongError(refused, LOCKLESS) from None
        try:
            self._store.replace(self.name, THIRD, former)
        except ChangedError:
            return "one over a former version is refused"
        raise WrongError("DANGEROUS: a version that is gone was written over", DANGEROUS)

    def delta(self) -> str:
        Table(self._store, f"{self.name}-table")
        return "Delta Lake reaches it with the same settings"

    def delete(self) -> str:
        try:
            self._store.delete(self.name)
        except PermissionError as error:
            raise PermissionError(f"{error}; {self.name} is left there") from error
        return f"deleted {self.name}"
