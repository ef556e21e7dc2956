"""What Terraform made, as it tells it: the output `deployment` of a root in `infra/` enters.

That output is the only contract between `infra/` and this library. Terraform also puts it into the
deployment's own bucket as `control/deployment.json`, where its machines read it.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field

from imgbatch.errors import DeploymentError
from imgbatch.settings import Settings, check

FORMAT = 1


class Head(Settings):
    """The group of the one machine that leads a run.

    Attributes:
        group: the cloud's name of it.
        machines: types, the preferred first.
    """

    group: str
    machines: list[str]
    disk_gib: int


class Pool(Settings):
    """A group of workers.

    Attributes:
        group: the cloud's name of it.
        machines: types, the preferred first; the cloud chooses among them.
        gpus: kinds of GPU among those; none: a pool without.
        most: machines that the group can have.
        spot: whether they are spare machines that the cloud may take back.
        zones: where they may be.
    """

    group: str
    machines: list[str]
    gpus: list[str] = Field(default_factory=list)
    most: int = Field(ge=0)
    spot: bool
    zones: list[str]
    disk_gib: int


class Schedule(Settings):
    """When Terraform has the cloud wake the head and, later, end everything.

    Attributes:
        cron: five fields; kill: the same for the end.
        hours: between the two.
    """

    cron: str
    kill: str
    timezone: str
    hours: int = Field(ge=1)


class Deployment(Settings):
    """One deployment: a name in one account and region.

    Attributes:
        bucket: URL of its bucket, such as `s3://imgbatch-lab-1234`; data may lie there too.
        control: URL of the objects that its machines go by, below the bucket.
        image: the container image, with registry, of head and workers.
        token: name of the secret that holds the token of its Ray cluster.
        readable, writable: URLs of other buckets that its machines may read, and may write.
        standing: dollars a month with nothing running, by what costs it.
        alarm: what a month of the account may cost before somebody gets a letter; 0: nobody does;
            None: Terraform has not told it yet.
        max_hours: no run may let machines live longer, and Google Cloud ends one that has; None: of
            a deployment of before, which told no bound.
    """

    format: Literal[1]
    name: str
    cloud: Literal["aws", "gcp"]
    region: str
    account: str
    bucket: str
    control: str
    image: str
    token: str
    head: Head
    pools: dict[str, Pool]
    schedules: dict[str, Schedule] = Field(default_factory=dict)
    readable: list[str] = Field(default_factory=list)
    writable: list[str] = Field(default_factory=list)
    standing: dict[str, float] = Field(default_factory=dict)
    alarm: float | None = None
    max_hours: float | None = None

    @property
    def groups(self) -> list[str]:
        """Every group, the head's first."""
        return [self.head.group, *(pool.group for pool in self.pools.values())]

    @property
    def most(self) -> dict[str, int]:
        """How many machines each group may have."""
        return {self.head.group: 1} | {pool.group: pool.most for pool in self.pools.values()}


def read(text: str | bytes) -> Deployment:
    """Read a deployment as Terraform tells it.

    Raises:
        DeploymentError: it is not one, or one of another format.
    """
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise DeploymentError(
            f"what Terraform told of the deployment is no JSON: {error}"
        ) from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        told = raw.get("format") if isinstance(raw, dict) else None
        raise DeploymentError(
            f"the deployment is of format {told}, and this imgbatch reads {FORMAT}"
        )
    return check(Deployment, raw, where="deployment")
