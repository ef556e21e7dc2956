"""The name of a deployment enters; what commands need of it leaves, opened once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imgbatch.cloud import Cloud
    from imgbatch.cloud.control import Control
    from imgbatch.cloud.deployment import Deployment
    from imgbatch.cloud.launch import Place


@dataclass
class Opened:
    """A deployment, and how it is reached."""

    deployment: Deployment
    control: Control

    @cached_property
    def cloud(self) -> Cloud:
        """Its cloud; most of `status` goes without."""
        from imgbatch.cloud import cloud_of

        return cloud_of(self.deployment)

    @property
    def place(self) -> Place:
        """Where orders go."""
        from imgbatch.cloud.launch import Place

        return Place(self.deployment, self.control, self.cloud.groups, self.cloud.market)


def opened(name: str | None) -> Opened:
    """Return a deployment that this laptop knows; None: the only one.

    Raises:
        DeploymentError: there is none, or several; or it is not there any more.
    """
    from imgbatch.cloud import known
    from imgbatch.cloud.control import Control

    deployment = known.find(name)
    return Opened(deployment, Control(deployment.control))
