"""The way to a machine that has no open port: commands of the `aws` program, through SSM.

A deployment and a machine enter, command lines leave; nothing is run here. Words of the commands as
of the AWS CLI's reference: `ssm start-session` with the documents AWS-StartPortForwardingSession
and none (a shell), `ssm send-command` with AWS-RunShellScript, `ssm wait command-executed`.
"""

from __future__ import annotations

import json
import shlex
import shutil
from typing import TYPE_CHECKING

from imgbatch.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.cloud.deployment import Deployment

CLI = "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"
PLUGIN = (
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/"
    "session-manager-working-with-install-plugin.html"
)
# The container of imgbatch on each machine, as infra/boot/boot.sh names it.
CONTAINER = "imgbatch"
# `send` hands a script over; how it ended is waited and asked for.
SEND_WAITS = False


def refuse_missing(*, session: bool) -> None:
    """Refuse where a program is not installed.

    Args:
        session: whether a session is to be opened, which takes a program besides.

    Raises:
        CloudError: with where it is had.
    """
    if shutil.which("aws") is None:
        raise CloudError("the program `aws` is not installed", f"See {CLI}")
    if session and shutil.which("session-manager-plugin") is None:
        raise CloudError(
            "`aws` cannot open a session: its program session-manager-plugin is not installed",
            f"See {PLUGIN}",
        )


def shell(deployment: Deployment, machine: str) -> list[str]:
    """Return the command that opens a shell."""
    return [*_ssm(deployment, "start-session"), "--target", machine]


def forward(deployment: Deployment, machine: str, *, remote: int, local: int) -> list[str]:
    """Return the command that brings a port of a machine's own loopback to this laptop's."""
    ports = {"portNumber": [str(remote)], "localPortNumber": [str(local)]}
    return [
        *_ssm(deployment, "start-session", "--target", machine),
        *("--document-name", "AWS-StartPortForwardingSession", "--parameters", json.dumps(ports)),
    ]


def send(deployment: Deployment, machine: str, script: str) -> list[str]:
    """Return the command that has a machine run a script; it prints the id of that."""
    return [
        *_ssm(deployment, "send-command", "--instance-ids", machine),
        *("--document-name", "AWS-RunShellScript"),
        *("--parameters", json.dumps({"commands": [script]})),
        *("--query", "Command.CommandId", "--output", "text"),
    ]


def wait(deployment: Deployment, machine: str, command: str) -> list[str]:
    """Return the command that waits until a script has ended: up to 100 seconds."""
    return [*_ssm(deployment, "wait", "command-executed"), *_invocation(machine, command)]


def said(deployment: Deployment, machine: str, command: str) -> list[str]:
    """Return the command that tells how a script ended, as JSON."""
    told = ("--query", "[Status, StandardOutputContent, StandardErrorContent]", "--output", "json")
    return [*_ssm(deployment, "get-command-invocation"), *_invocation(machine, command), *told]


def inside(words: Sequence[str]) -> str:
    """Return the script that runs a command in a machine's container."""
    return shlex.join(["docker", "exec", CONTAINER, *words])


def secret(deployment: Deployment) -> list[str]:
    """Return the command that prints the token of a deployment's Ray."""
    return [
        *_ssm(deployment, "get-parameter", "--name", deployment.token, "--with-decryption"),
        *("--query", "Parameter.Value", "--output", "text"),
    ]


def _ssm(deployment: Deployment, *words: str) -> list[str]:
    return ["aws", "ssm", *words, "--region", deployment.region]


def _invocation(machine: str, command: str) -> list[str]:
    return ["--command-id", command, "--instance-id", machine]
