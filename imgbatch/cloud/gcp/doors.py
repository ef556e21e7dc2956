"""The way to a machine that has no open port: commands of `gcloud`, through Identity-Aware Proxy.

A deployment and a machine enter, command lines leave; nothing is run here, but Google is asked for
the name and zone of a machine, which `gcloud` wants. Words of the commands as of its reference:
`compute ssh --tunnel-through-iap`, `--command`, and what follows `--` goes to ssh.

Decision, 2026-11: ports are forwarded by ssh, not by `start-iap-tunnel`: that ends at the machine's
address in its network, and what is shown here listens on the machine's own loopback alone.
"""

from __future__ import annotations

import shlex
import shutil
from typing import TYPE_CHECKING, Any

from imgbatch.cloud.gcp.errors import told
from imgbatch.cloud.gcp.rest import Google, last
from imgbatch.errors import CloudError, DeploymentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.cloud.deployment import Deployment

CLI = "https://cloud.google.com/sdk/docs/install"
# The container of imgbatch on each machine, as infra/boot/boot.sh names it.
CONTAINER = "imgbatch"
# `send` ends when the script has, with its exit code: nobody has to wait and ask for it.
SEND_WAITS = True


def refuse_missing(*, session: bool) -> None:
    """Refuse where a program is not installed.

    Args:
        session: whether a session is to be opened, which takes ssh besides.

    Raises:
        CloudError: with where it is had.
    """
    if shutil.which("gcloud") is None:
        raise CloudError("the program `gcloud` is not installed", f"See {CLI}")
    if session and shutil.which("ssh") is None:
        raise CloudError("`gcloud` opens sessions by ssh, which is not installed", "Install it.")


def shell(deployment: Deployment, machine: str) -> list[str]:
    """Return the command that opens a shell."""
    return _ssh(deployment, machine)


def forward(deployment: Deployment, machine: str, *, remote: int, local: int) -> list[str]:
    """Return the command that brings a port of a machine's own loopback to this laptop's."""
    ports = f"127.0.0.1:{local}:127.0.0.1:{remote}"
    return [*_ssh(deployment, machine), "--", "-N", "-o", "ExitOnForwardFailure=yes", "-L", ports]


def send(deployment: Deployment, machine: str, script: str) -> list[str]:
    """Return the command that has a machine run a script, and waits for it."""
    return [*_ssh(deployment, machine), "--command", script]


def inside(words: Sequence[str]) -> str:
    """Return the script that runs a command in a machine's container."""
    return shlex.join(["sudo", "docker", "exec", CONTAINER, *words])


def secret(deployment: Deployment) -> list[str]:
    """Return the command that prints the token of a deployment's Ray."""
    return [
        *("gcloud", "secrets", "versions", "access", "latest", "--secret", deployment.token),
        *("--project", deployment.account),
    ]


def _ssh(deployment: Deployment, machine: str) -> list[str]:
    name, zone = _place(deployment, machine)
    project = ("--project", deployment.account)
    return ["gcloud", "compute", "ssh", name, "--zone", zone, *project, "--tunnel-through-iap"]


def _place(deployment: Deployment, machine: str) -> tuple[str, str]:
    """Return name and zone of a machine.

    Raises:
        DeploymentError: there is none.
    """
    google = Google(deployment.region, deployment.account)
    path = f"projects/{deployment.account}/aggregated/instances"
    # A number is a machine's own; a name is taken as well, as `gcloud` and the console show it.
    asked = f"id = {machine}" if machine.isdigit() else f'name = "{machine}"'
    with told(f"looking for machine {machine}"):
        found: list[Any] = list(google.pages("compute", path, "items", filter=asked))
    if not found:
        raise DeploymentError(
            f"there is no machine {machine} in project {deployment.account}",
            "`imgbatch cloud status` tells what is at work.",
        )
    return str(found[0]["name"]), last(found[0]["zone"])
