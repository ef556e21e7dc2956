"""A cloud in memory, with a clock that tests move: groups that fill and empty as real ones do.

    cloud = FakeCloud(deployment(), seed=1, control=control)
    cloud.groups.want("imgbatch-lab-gpu", 4)
    cloud.advance(300)                   # machines are launched, boot, look at the lease, leave
    cloud.joined("imgbatch-lab-gpu")     # those that are up

It does what a group does on its own: it launches until it has as many as wanted, again after a
preemption, and not where stock, quota or permissions lack; it ends all at an armed deadline. Each
machine keeps the rule of `imgbatch.cloud.leaving`, by its own clock. What a machine really cost is
`bill`, which no ledger of ours has seen.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgbatch.cloud import Event, Machine, Member, Price, Quota, Size
from imgbatch.cloud.control import Lease
from imgbatch.cloud.deployment import Deployment
from imgbatch.cloud.leaving import HEIR, UNREADABLE, Watcher
from imgbatch.errors import CloudError, DeploymentError, ImgbatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from imgbatch.cloud import Check, Kind, Left
    from imgbatch.cloud.control import Control

NOON = 1_800_000_000.0
STEP_SECONDS = 5.0
LOOK_SECONDS = 60.0
# AWS lists a machine with GPUs as shutting down for a minute and more.
LEAVING_SECONDS = 90.0
TRY_SECONDS = 30.0
HOUR = 3600.0
REGION = "xx-north-1"
ZONES = ("xx-north-1a", "xx-north-1b", "xx-north-1c")
# On-demand dollars an hour.
ON_DEMAND = {"m.head": 0.10, "g.small": 0.60, "g.large": 1.10, "c.small": 0.15}
MACHINES = {
    "m.head": Machine("m.head", 2, 8),
    "g.small": Machine("g.small", 4, 16, "l4", 1, 24),
    "g.large": Machine("g.large", 8, 32, "a10g", 1, 24),
    "c.small": Machine("c.small", 4, 8),
}


def deployment(*, most: int = 20, control: str = "memory:///control") -> Deployment:
    """Return a deployment with a head and two pools: `gpu` (spot) and `cpu` (on demand)."""
    pool = {"zones": list(ZONES), "most": most, "disk_gib": 100}
    kinds = {"machines": ["g.small", "g.large"], "gpus": ["l4", "a10g"], "spot": True}
    return Deployment.model_validate(
        {
            "format": 1,
            "name": "lab",
            "cloud": "aws",
            "region": REGION,
            "account": "123456789012",
            "bucket": "s3://imgbatch-lab",
            "control": control,
            "image": "registry/imgbatch:1",
            "token": "/imgbatch/lab/ray-token",
            "head": {"group": "imgbatch-lab-head", "machines": ["m.head"], "disk_gib": 50},
            "pools": {
                "gpu": {"group": "imgbatch-lab-gpu", **pool, **kinds},
                "cpu": {
                    "group": "imgbatch-lab-cpu",
                    **pool,
                    "machines": ["c.small"],
                    "spot": False,
                },
            },
        }
    )


@dataclass
class Rented:
    """A machine that was launched.

    Attributes:
        up_at: when it has booted; infinity where it never does.
        skew: seconds that its clock is ahead.
        broken: why it does not come up; "" where it does.
    """

    machine: str
    group: str
    type: str
    zone: str
    spot: bool
    since: float
    up_at: float
    skew: float = 0.0
    broken: str = ""
    ended: float | None = None
    watcher: Watcher | None = None
    looked: float = 0.0

    def member(self, now: float) -> Member:
        state = (
            "leaving"
            if self.ended is not None
            else "running"
            if now > self.since + 20
            else "pending"
        )
        return Member(self.machine, state, self.type, self.zone, "10.0.0.1", self.since, self.spot)


@dataclass
class Group:
    """A group, as the cloud keeps it."""

    most: int
    types: Sequence[str]
    spot: bool
    pool: str
    wanted: int = 0
    armed: float | None = None
    tried: float = -1e9
    events: list[Event] = field(default_factory=list)


class FakeCloud:
    """A cloud in memory; answers `imgbatch.cloud.Cloud`.

    Args:
        deployment: whose groups it has.
        seed: of all that is drawn.
        now: seconds since 1970 by the cloud's clock; `advance` moves it.
        control: where machines look for the lease; None: they do not look.
        boot: seconds from launch to a node in Ray.
        preemptions: per hour and spot machine.
        stock: whether there is a machine of a type in a zone at a moment.
        quota: machines of a group that the account may have; None: no bound.
        denied: whether the account lacks a permission to launch.
        broken: why a machine does not come up, "" where it does.
        skew: seconds that a machine's clock is ahead.
        unreadable: whether a machine cannot read the lease at a moment.
        down: whether the cloud's API does not answer at a moment.
        fires: whether armed deadlines end machines.
        watching: whether machines leave by themselves.
    """

    def __init__(  # noqa: PLR0913 - one knob each
        self,
        deployment: Deployment,
        *,
        seed: int = 0,
        now: float = NOON,
        control: Control | None = None,
        boot: Callable[[random.Random], float] = lambda draw: draw.uniform(90, 240),
        preemptions: float = 0.0,
        stock: Callable[[float, str, str], bool] = lambda *_: True,
        quota: int | None = None,
        denied: bool = False,
        broken: Callable[[random.Random], str] = lambda _: "",
        skew: Callable[[random.Random], float] = lambda _: 0.0,
        unreadable: Callable[[float, str], bool] = lambda *_: False,
        down: Callable[[float], bool] = lambda _: False,
        fires: bool = True,
        watching: bool = True,
    ) -> None:
        self.deployment = deployment
        self.now = now
        self.control = control
        self.boot, self.preemptions, self.stock = boot, preemptions, stock
        self.quota, self.denied, self.broken, self.skew = quota, denied, broken, skew
        self.unreadable, self.down = unreadable, down
        self.fires, self.watching = fires, watching
        self._seed = seed
        self._draw = random.Random(seed)
        self._number = 0
        self.rented: list[Rented] = []
        head = deployment.head
        self.state = {head.group: Group(1, head.machines, spot=False, pool="")} | {
            pool.group: Group(pool.most, pool.machines, pool.spot, name)
            for name, pool in deployment.pools.items()
        }
        self.groups = FakeGroups(self)
        self.secrets = FakeSecrets(deployment.token)
        self.market = FakeMarket(self)
        self.account = FakeAccount(self)

    # -- what time does ----------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            step = min(STEP_SECONDS, end - self.now)
            self.now += step
            for name, group in self.state.items():
                self._fire(name, group)
                self._fill(name, group)
            for rented in self.alive():
                self._live(rented, step)

    def alive(self, group: str | None = None) -> list[Rented]:
        """Return the machines that are not ended."""
        return [r for r in self.rented if r.ended is None and group in (None, r.group)]

    def joined(self, group: str) -> frozenset[str]:
        """Return the machines of a group that have a node in Ray."""
        return frozenset(
            r.machine for r in self.alive(group) if r.up_at <= self.now and not r.broken
        )

    def failed_boots(self, group: str) -> dict[str, str]:
        """Return the machines of a group that came to their boot's end and failed, and why."""
        return {
            r.machine: r.broken
            for r in self.rented
            if r.group == group and r.broken and r.up_at <= self.now
        }

    def preempt(self, machine: str) -> None:
        """Take a spot machine back."""
        for rented in self.alive():
            if rented.machine == machine:
                self._end(rented, "preempted", "Instance is being taken back")

    def bill(self) -> float:
        """Return dollars of all machines so far, exact to the step of prices."""
        return sum(self._cost(rented) for rented in self.rented)

    def spot(self, type_: str, zone: str, at: float) -> float:
        """Return the spot price at a moment; it changes by the hour."""
        draw = random.Random(f"{self._seed} {type_} {zone} {at // HOUR}")
        return round(ON_DEMAND[type_] * draw.uniform(0.3, 0.5), 4)

    def _cost(self, rented: Rented) -> float:
        end = self.now if rented.ended is None else rented.ended
        at, sum_ = rented.since, 0.0
        head = rented.group == self.deployment.head.group
        disk = self.deployment.head.disk_gib if head else 100
        while at < end:
            until = min(end, (at // HOUR + 1) * HOUR)
            dollars = (
                self.spot(rented.type, rented.zone, at) if rented.spot else ON_DEMAND[rented.type]
            )
            sum_ += (until - at) / HOUR * (dollars + self.market.besides(disk, REGION))
            at = until
        return sum_

    def _fire(self, name: str, group: Group) -> None:
        if group.armed is not None and self.now >= group.armed and self.fires:
            group.armed, group.wanted = None, 0
            for rented in self.alive(name):
                self._end(rented, "ended", "by a scheduled action")

    def _fill(self, name: str, group: Group) -> None:
        lacking = min(group.wanted, group.most) - len(self.alive(name))
        if lacking <= 0 or self.now - group.tried < TRY_SECONDS:
            return
        group.tried = self.now
        for _ in range(lacking):
            if not self._launch(name, group):
                return

    def _launch(self, name: str, group: Group) -> bool:
        said: tuple[Kind, str] | None = None
        places = [(t, z) for t in group.types for z in ZONES if self.stock(self.now, t, z)]
        if self.denied and group.pool:
            said = "denied", "You are not authorized to perform: ec2:RunInstances"
        elif self.quota is not None and group.pool and len(self.alive(name)) >= self.quota:
            said = "quota", "Max spot instance count exceeded"
        elif not places and group.pool:
            said = "stock-out", "There is no Spot capacity available that matches your request"
        if said:
            group.events.append(Event(self.now, *said))
            return False
        type_, zone = self._draw.choice(places or [(group.types[0], ZONES[0])])
        self._number += 1
        rented = Rented(
            machine=f"i-{self._number:04d}",
            group=name,
            type=type_,
            zone=zone,
            spot=group.spot,
            since=self.now,
            up_at=self.now + self.boot(self._draw),
            skew=self.skew(self._draw),
            broken=self.broken(self._draw) if group.pool else "",
        )
        rented.watcher = Watcher(rented.machine, group.pool)
        self.rented.append(rented)
        group.events.append(Event(self.now, "launched", "Launching", rented.machine))
        return True

    def _live(self, rented: Rented, step: float) -> None:
        if rented.spot and self._draw.random() < self.preemptions * step / HOUR:
            self._end(rented, "preempted", "Instance is being taken back")
            return
        if rented.broken and rented.up_at <= self.now:
            self._report(rented)
            self._leave(rented, rented.broken)
        # The watch begins with the boot: at its end a machine has a watch whatever came of it.
        elif self.watching and self.control and self.now - rented.looked >= LOOK_SECONDS:
            rented.looked = self.now
            why = (
                rented.watcher.look(self._lease(rented), self.now, clock=self.now + rented.skew)
                if rented.watcher
                else None
            )
            heir = why and any(said in why for said in ("was not renewed", "not be read", HEIR))
            if why and heir and not self.state[rented.group].pool:
                self._end(rented, "ended", why)  # and its group makes another
            elif why:
                self._leave(rented, why)

    def _report(self, rented: Rented) -> None:
        lease = self._lease(rented)
        if self.control and isinstance(lease, Lease):
            told = json.dumps({"machine": rented.machine, "reason": rented.broken})
            self.control.put(lease.run, f"boots/{rented.machine}.json", told.encode())

    def _lease(self, rented: Rented) -> Lease | str | None:
        if self.control is None or self.unreadable(self.now, rented.machine):
            return UNREADABLE
        try:
            return self.control.lease()
        except ImgbatchError:
            return UNREADABLE

    def _leave(self, rented: Rented, why: str) -> None:
        group = self.state[rented.group]
        group.wanted = max(0, group.wanted - 1)
        self._end(rented, "ended", f"it left: {why}")

    def _end(self, rented: Rented, kind: Kind, message: str) -> None:
        rented.ended = self.now
        self.state[rented.group].events.append(Event(self.now, kind, message, rented.machine))


class FakeGroups:
    """The groups of a FakeCloud."""

    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud = cloud

    def _group(self, group: str) -> Group:
        if self._cloud.down(self._cloud.now):
            raise CloudError("the cloud does not answer")
        if group not in self._cloud.state:
            raise DeploymentError(f"no group {group!r}")
        return self._cloud.state[group]

    def size(self, group: str) -> Size:
        found = self._group(group)
        return Size(found.wanted, found.most)

    def members(self, group: str) -> list[Member]:
        self._group(group)
        now = self._cloud.now
        return [
            r.member(now)
            for r in self._cloud.rented
            if r.group == group and (r.ended is None or now - r.ended < LEAVING_SECONDS)
        ]

    def want(self, group: str, count: int) -> None:
        found = self._group(group)
        alive = self._cloud.alive(group)
        if count < 0 or 0 < count < len(alive):
            raise ValueError(f"{group} has {len(alive)} machines: {count} would end some of them")
        if count > found.most:
            raise CloudError(f"{group} may have {found.most} machines, not {count}")
        found.wanted = count
        for rented in alive if count == 0 else ():
            self._cloud._end(rented, "ended", "the group was made smaller")

    def remove(self, group: str, machine: str) -> None:
        self._group(group)
        for rented in self._cloud.alive(group):
            if rented.machine == machine:
                self._cloud._leave(rented, "removed by name")

    def events(self, group: str, since: float) -> list[Event]:
        return [event for event in self._group(group).events if event.at > since]

    def arm(self, group: str, at: float) -> None:
        if at <= self._cloud.now:
            self.want(group, 0)
        else:
            self._group(group).armed = at

    def disarm(self, group: str) -> None:
        self._group(group).armed = None

    def armed(self, group: str) -> float | None:
        return self._group(group).armed


class FakeSecrets:
    """Secrets in memory: those that Terraform made."""

    def __init__(self, *names: str) -> None:
        self._values = dict.fromkeys(names, "unset")

    def put(self, name: str, value: str) -> None:
        self.get(name)
        self._values[name] = value

    def get(self, name: str) -> str:
        if name not in self._values:
            raise DeploymentError(f"no secret {name!r}")
        return self._values[name]


class FakeMarket:
    """Prices and quotas of a FakeCloud."""

    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud = cloud

    def machines(self, gpus: Sequence[str] = ()) -> list[Machine]:
        return [machine for machine in MACHINES.values() if not gpus or machine.gpu in gpus]

    def prices(self, types: Sequence[str], region: str) -> list[Price]:
        cloud = self._cloud
        found = [
            Price(t, region, "", spot=False, dollars=ON_DEMAND[t], day="2027-01-15", source="live")
            for t in types
        ]
        return found + [
            Price(
                t,
                region,
                zone,
                spot=True,
                dollars=cloud.spot(t, zone, cloud.now),
                day="2027-01-15",
                source="live",
            )
            for t in types
            for zone in ZONES
        ]

    def lacks(self, types: Sequence[str], region: str) -> list[str]:  # noqa: ARG002 - the protocol's
        return []

    def besides(self, disk_gib: int, region: str) -> float:  # noqa: ARG002 - the protocol's
        return disk_gib * 0.08 / 730 + 0.005

    def quotas(self, region: str) -> list[Quota]:
        limit = 1000 if self._cloud.quota is None else self._cloud.quota
        fix = "aws service-quotas request-service-quota-increase ..."
        return [
            Quota(f"All {gpu or 'standard'} machines", region, gpu, spot, "cores", limit, None, fix)
            for gpu in ("", "l4", "a10g")
            for spot in (True, False)
        ]


class FakeAccount:
    """What a FakeCloud's account has."""

    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud = cloud

    def checks(self, region: str) -> Iterator[Check]:  # noqa: ARG002 - the protocol's
        yield from ()

    def left(self, deployment: str = "") -> Iterator[Left]:  # noqa: ARG002 - the protocol's
        yield from ()
