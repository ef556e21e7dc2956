"""The seam to a cloud: what the rest of imgbatch asks of one, in the words of no vendor.

    deployment  what Terraform made: groups, a bucket, an image         (deployment.py)
    control     orders, lease, state and ledger: objects in that bucket  (control.py)
    sizing, estimate, ledger: decisions and sums; pure functions
    aws/, gcp/  one folder per cloud; each answers the protocols below

Nothing here makes a machine: groups of fixed largest size belong to Terraform, and all that is ever
asked of a cloud is to move how many members a group should have, or to remove one by its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol

from imgbatch.errors import SettingsError
from imgbatch.settings import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imgbatch.cloud.deployment import Deployment

CLOUDS = ("aws", "gcp")

Kind = Literal["launched", "ended", "preempted", "stock-out", "quota", "denied", "failed", "other"]


@dataclass(frozen=True, slots=True)
class Member:
    """A machine of a group.

    Attributes:
        machine: its name for the cloud (an instance id).
        state: as the cloud sees it; `leaving` costs no more, or will not for long.
        type: of machine, such as `g6.xlarge`.
        address: inside the network; "" where it has none yet.
        since: when it was launched, seconds since 1970 by the cloud's clock.
    """

    machine: str
    state: Literal["pending", "running", "leaving"]
    type: str
    zone: str
    address: str
    since: float
    spot: bool


@dataclass(frozen=True, slots=True)
class Size:
    """How many members a group is to have now, and how many it may have at most."""

    wanted: int
    most: int


@dataclass(frozen=True, slots=True)
class Event:
    """What the cloud says happened to a group.

    Attributes:
        at: seconds since 1970 by the cloud's clock.
        kind: `stock-out`: no such machine to be had now; `quota`: the account may have no more;
            `denied`: somebody lacks a permission; `preempted`: a spot machine was taken back.
        message: the cloud's own words.
    """

    at: float
    kind: Kind
    message: str
    machine: str = ""


class Groups(Protocol):
    """The groups of machines of one deployment, by the names that Terraform gave them.

    All raise CloudError where the cloud refuses or does not answer: CredentialsError where there
    are no usable credentials, PermissionsError where these may not do it.
    """

    def size(self, group: str) -> Size:
        """Return how large a group is to be."""

    def members(self, group: str) -> list[Member]:
        """Return the machines of a group that exist, oldest first."""

    def want(self, group: str, count: int) -> None:
        """Have a group be of so many members, or end all with 0.

        Machines that were asked for and never came can be taken back in this way; those that exist
        cannot, but all at once.

        Raises:
            ValueError: fewer than there are machines, and not 0: the cloud would choose which one
                to end.
            CloudError: more than the group may have, too.
        """

    def remove(self, group: str, machine: str) -> None:
        """End one machine and make the group smaller by one; no error where it is gone."""

    def events(self, group: str, since: float) -> list[Event]:
        """Return what happened after a moment, oldest first."""

    def arm(self, group: str, at: float) -> None:
        """Have the cloud itself end all machines of a group at a moment, whatever becomes of us.

        One moment per group: the last that was given holds.
        """

    def disarm(self, group: str) -> None:
        """Take that back; no error where there is none."""

    def armed(self, group: str) -> float | None:
        """Return when the cloud itself will end a group's machines."""


class Secrets(Protocol):
    """Short secrets that machines of a deployment share, by the names that Terraform gave them."""

    def put(self, name: str, value: str) -> None:
        """Set a secret."""

    def get(self, name: str) -> str:
        """Return a secret."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A type of machine.

    Attributes:
        gpu: its kind in small letters, such as `l4`, `a10g`, `t4`; "" without.
        gpus: how many.
        memory_gib, gpu_memory_gib: of the whole machine.
    """

    type: str
    cores: int
    memory_gib: float
    gpu: str = ""
    gpus: int = 0
    gpu_memory_gib: float = 0.0


@dataclass(frozen=True, slots=True)
class Price:
    """What an hour of a machine costs.

    Attributes:
        zone: "" for all of a region, as with on-demand prices.
        dollars: US dollars an hour, of the machine alone.
        day: when this price held, as YYYY-MM-DD.
        source: asked just now, kept from a day ago at most, or of the table that imgbatch ships.
    """

    type: str
    region: str
    zone: str
    spot: bool
    dollars: float
    day: str
    source: Literal["live", "cache", "table"]


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of something an account may have in a region.

    Attributes:
        name: the cloud's own words.
        gpu: the kind of GPU it bounds; "" for machines without.
        spot: bounds spot machines, else on-demand ones.
        unit: what is counted.
        limit, used: in those units; used is None where the cloud does not say.
        fix: the command or the page that asks for more.
    """

    name: str
    region: str
    gpu: str
    spot: bool
    unit: Literal["cores", "gpus"]
    limit: float
    used: float | None
    fix: str


class Market(Protocol):
    """What machines there are, what they cost and how many an account may have."""

    def machines(self, gpus: Sequence[str] = ()) -> list[Machine]:
        """Return the types that imgbatch knows: with these kinds of GPU, or all."""

    def prices(self, types: Sequence[str], region: str) -> list[Price]:
        """Return spot prices by zone and on-demand prices, the newest that can be had.

        Never silently stale: each says its day and source.
        """

    def lacks(self, types: Sequence[str], region: str) -> list[str]:
        """Return those of some types that the cloud itself said a region does not have.

        No machine of these comes, so nobody has to know its price. Silence is no such word.
        """

    def besides(self, disk_gib: int, region: str) -> float:
        """Return dollars an hour of what a machine has besides itself: its disk, its address."""

    def quotas(self, region: str) -> list[Quota]:
        """Return what bounds the machines that imgbatch knows, a line per kind of GPU.

        Lines of one name and market are one quota: several kinds may share it (AWS's G family).
        """


@dataclass(frozen=True, slots=True)
class Check:
    """A line of `cloud doctor`: well, or what to do about it."""

    name: str
    state: Literal["ok", "failed", "unknown"]
    said: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """Something of ours that exists in an account, and costs or may cost money.

    Attributes:
        kind: machine, disk, address, group, bucket, template, image, ...
        deployment: by its tag.
        costs: whether it costs money as it stands.
        remove: the command that removes it.
    """

    kind: str
    name: str
    region: str
    deployment: str
    costs: bool
    remove: str


class Account(Protocol):
    """An account as a whole, for `cloud doctor` and the proof after `cloud down`."""

    def checks(self, region: str) -> Iterator[Check]:
        """Yield a line for credentials, permissions, image names, quotas."""

    def left(self, deployment: str = "") -> Iterator[Left]:
        """Yield what there is with our tag in all regions: of one deployment, or of all."""


class Cloud(Protocol):
    """One cloud, as one set of credentials sees it."""

    groups: Groups
    secrets: Secrets
    market: Market
    account: Account


def open_cloud(
    name: str, region: str, account: str = "", *, most: Mapping[str, int] | None = None
) -> Cloud:
    """Return a cloud. Nothing is asked of it yet.

    Args:
        name: of the cloud.
        region: "": as its own settings say.
        account: whose machines are meant, where credentials may see several; "": as they say.
        most: machines that each group may have, for a cloud that does not keep that itself; there a
            group that is not named has none.

    Raises:
        SettingsError: no cloud of that name.
        CredentialsError: there are none.
    """
    if name not in CLOUDS:
        raise SettingsError(f"no cloud {name!r}{nearest(name, list(CLOUDS))}", "Give aws or gcp.")
    # A cloud's SDK is loaded when that cloud is asked for.
    cloud: Cloud = import_module(f"imgbatch.cloud.{name}").connect(region, account, most=most or {})
    return cloud


def cloud_of(deployment: Deployment) -> Cloud:
    """Return the cloud that a deployment is in."""
    return open_cloud(deployment.cloud, deployment.region, deployment.account, most=deployment.most)
