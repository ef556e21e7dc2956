"""The objects by which a terminal, the head and the workers of a deployment go.

    control/
      deployment.json           what Terraform made (deployment.py)
      orders/<run>.json         runs that wait, and the one at work; the name sorts by time
      lease.json                until when machines may live, and where the head is
      schedules/<name>.json     what to order when the cloud wakes the head
      runs/<run>/order.json     the order as it was taken
      runs/<run>/stop.json      it is to end: its head reads it, and whoever comes next (stopped.py)
      runs/<run>/state.json     how it stands: the head writes it every few seconds
      runs/<run>/ledger.jsonl   each machine's hours and their price
      runs/<run>/boots/<machine>.json   a machine that did not come up, and why
      runs/<run>/head.log       what the head said
      boots/<machine>.json      a head that did not come up when no run waited for one, and why

Whoever starts finds everything here: a machine that comes up, and a terminal on another laptop.

Decision, 2026-11: the lease lies in the deployment's bucket and not in the dataset. A machine that
boots knows its deployment and nothing else; a dataset may be in a bucket that it cannot even read.
Drawback: who deletes the control objects ends the run (which is what an unreadable lease means).
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from typing import TYPE_CHECKING, Literal, TypeVar

from pydantic import Field

from imgbatch.cloud.ledger import Tariff, Traffic
from imgbatch.cloud.versions import decoded, encoded
from imgbatch.errors import DeploymentError, SettingsError
from imgbatch.settings import Settings, check
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgbatch.storage import Store

LEASE, DEPLOYMENT = "lease.json", "deployment.json"
T = TypeVar("T", bound=Settings)
ORDERS, RUNS, SCHEDULES, BOOTS = "orders", "runs", "schedules", "boots"
# Of a machine's report that was cut off.
UNSAID = "it did not say why"
Phase = Literal["waiting", "working", "draining", "done", "failed", "stopped", "budget", "deadline"]


class Order(Settings):
    """A run that somebody wants.

    Attributes:
        run: its id; sorts by time.
        words: of `python -m jobs.analyze`, without INPUT, DATASET and recipe.
        recipe: its text.
        environment: `IMGBATCH_` variables of whoever ordered it.
        pool: name of the pool that works on it.
        most: machines of that pool at once.
        budget: dollars in all, the head and traffic included; no machine is added beyond 90% of
            it, and at all of it the run ends.
        deadline: seconds since 1970; no machine of the run lives longer. 0: `hours` after it is
            taken.
        hours: of a scheduled run.
        heads_until: seconds since 1970; until then heads come for it though none has taken it yet.
            0: until its deadline.
        by: who ordered it: `user@host`, or `schedule NAME`.
        expected: what the plan said, for the ledger: seconds and dollars, p50 and p90, and of the
            dollars those of traffic.
        tariff: what its traffic costs; it counts towards the budget.
    """

    run: str
    input: str
    dataset: str
    words: list[str] = Field(default_factory=list)
    recipe: str
    environment: dict[str, str] = Field(default_factory=dict)
    pool: str
    most: int = Field(ge=1)
    budget: float = Field(gt=0, allow_inf_nan=False)
    deadline: float = Field(ge=0, allow_inf_nan=False)
    hours: float = Field(default=0, ge=0, allow_inf_nan=False)
    heads_until: float = Field(default=0, ge=0, allow_inf_nan=False)
    by: str = ""
    expected: dict[str, float] = Field(default_factory=dict)
    tariff: Tariff = Tariff()


class Lease(Settings):
    """What every machine of a deployment reads when it boots, and every minute.

    One key per line in the object, so that a shell reads it without a parser. A machine leaves when
    there is no lease, when it cannot be read for ten minutes (the head does not), when `beat` has
    not changed for ten minutes by the machine's own count, and when `deadline` has passed.

    Attributes:
        run: that it is for.
        deadline: whole seconds since 1970.
        beat: grows by one with each renewal; no clock is compared.
        left: whole seconds to the deadline by the head's clock, at that beat.
        head: HOST:PORT of Ray's control server; "" until it is up.
        head_machine: its name for the cloud.
        pool: whose machines it is for, besides the head; "" none.
        until: whole seconds since 1970: the latest deadline of this run and of those that wait.
    """

    run: str
    deadline: int
    beat: int
    left: int
    head: str
    head_machine: str
    pool: str
    until: int = 0


class State(Settings):
    """How a run stands, as its head last wrote it.

    Attributes:
        phase: waiting (for machines), working, draining, done, failed, stopped, budget, deadline.
        code: exit code of the run once it has ended.
        at: when this was written, seconds since 1970 by the head's clock.
        looked: when the cloud was last seen, where it did not answer at `at`; 0: it did.
        reason: why it waits or ended: in words, with what to do.
        shards, shards_done, sources, sources_done: as the dataset's run tells them.
        workers: machines of the pool that work; booting: that were launched and do not work yet.
        preemptions: machines that the cloud took back.
        spent, per_hour: dollars so far, and as it stands, traffic among both.
        traffic: what crossed.
        eta: seconds until the end as it goes; None where nothing tells yet.
        steps: seconds since the order of each step: ordered, head, taken, ray, first-worker,
            first-shard-begun, first-shard, last-shard, scaled-in, ended.
    """

    run: str
    phase: Phase
    at: float
    looked: float = 0.0
    deadline: float
    budget: float
    reason: str = ""
    code: int | None = None
    shards: int = 0
    shards_done: int = 0
    sources: int = 0
    sources_done: int = 0
    workers: int = 0
    booting: int = 0
    preemptions: int = 0
    spent: float = 0.0
    per_hour: float = 0.0
    traffic: Traffic = Traffic()
    eta: float | None = None
    steps: dict[str, float] = Field(default_factory=dict)

    @property
    def seen(self) -> float:
        """When a head last saw its machines; seconds since 1970."""
        return self.looked or self.at

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.phase not in ("waiting", "working", "draining")


def new_run() -> str:
    """Return an id for a run: it sorts by time."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"


class Control:
    """The control objects of one deployment.

    All raise what `storage` raises (StorageError and its kinds), and DeploymentError where an
    object is not what it should be.
    """

    def __init__(self, url: str) -> None:
        self.store: Store = open_store(url)

    def deployment(self) -> bytes:
        """Return what Terraform told; for `deployment.read`."""
        return self.store.get(DEPLOYMENT)

    def order(self, order: Order) -> None:
        """Put a run into the queue.

        Raises:
            FileExistsError: one of that id is there.
        """
        self.store.put_once(f"{ORDERS}/{order.run}.json", encoded(order))

    def withdraw(self, run: str) -> None:
        """Take a run off the queue that never was in it, as far as anybody is told."""
        self.store.delete(f"{ORDERS}/{run}.json")

    def orders(self, unread: Callable[[str], None] | None = None) -> list[Order]:
        """Return the runs that wait or are at work, oldest first.

        Args:
            unread: told of one that is damaged, or of another version, and holds no other up;
                without, that is an error.
        """
        found = []
        for name in self.names(ORDERS):
            try:
                found.append(self._read(Order, name))
            except (DeploymentError, SettingsError) as error:
                said = f"an order cannot be read: {error}"
                if unread is None:
                    run = name.rpartition("/")[2].removesuffix(".json")
                    remedy = f"`imgbatch cloud stop {run}` takes it off the queue."
                    raise DeploymentError(said, remedy) from error
                unread(said)
        return [order for order in found if order]

    def waiting(self) -> list[str]:
        """Return the ids of the runs in the queue, oldest first; no order is read for it."""
        return [name.rpartition("/")[2].removesuffix(".json") for name in self.names(ORDERS)]

    def close(self, run: str) -> None:
        """Take a run off the queue; its record stays in `runs/`, damaged or not."""
        name = f"{ORDERS}/{run}.json"
        with contextlib.suppress(FileNotFoundError):
            self.store.put(f"{RUNS}/{run}/order.json", self.store.get(name))
        self.store.delete(name)

    def taken(self, run: str) -> Order | None:
        """Return the order of a run as it was taken off the queue; None: it was not."""
        return self._read(Order, f"{RUNS}/{run}/order.json")

    def lease(self) -> Lease | None:
        """Return the lease; None: machines are to leave."""
        return self._read(Lease, LEASE)

    def hold(self, lease: Lease) -> None:
        """Give or renew the lease."""
        self.store.put(LEASE, encoded(lease))

    def release(self) -> None:
        """Take the lease away: every machine leaves by itself."""
        self.store.delete(LEASE)

    def state(self, run: str) -> State | None:
        """Return how a run stands; None: no head has said anything yet."""
        return self._read(State, f"{RUNS}/{run}/state.json")

    def tell(self, state: State) -> None:
        """Say how a run stands."""
        self.store.put(f"{RUNS}/{state.run}/state.json", encoded(state))

    def runs(self) -> Sequence[str]:
        """Return the ids of all runs that a head has taken, oldest first."""
        try:
            return sorted(self.store.folders(RUNS))
        except FileNotFoundError:  # of a folder; a bucket knows none that is empty
            return []

    def names(self, folder: str) -> list[str]:
        """Return the names of the objects below one of the control's folders, sorted."""
        try:
            return sorted(entry.name for entry in self.store.list(folder))
        except FileNotFoundError:  # as above
            return []

    def put(self, run: str, name: str, data: bytes) -> None:
        """Write one of a run's own objects, such as `ledger.jsonl`."""
        self.store.put(f"{RUNS}/{run}/{name}", data)

    def get(self, run: str, name: str) -> bytes | None:
        """Return one of a run's own objects; None: it is not there."""
        try:
            return self.store.get(f"{RUNS}/{run}/{name}")
        except FileNotFoundError:
            return None

    def _read(self, kind: type[T], name: str) -> T | None:
        try:
            raw = self.store.get(name)
        except FileNotFoundError:
            return None
        try:
            return check(kind, decoded(json.loads(raw)), where=name)
        except ValueError as error:
            raise DeploymentError(f"{self.store.address(name)} is no JSON: {error}") from error


def told(raw: bytes) -> dict[str, object]:
    """Return what an object says; what is no JSON says nothing, and is there all the same."""
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
