"""The commands that lead to a machine that has no open port: ssh, jupyter, dashboard."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch.cli.cloud.given import DeploymentOption
from imgbatch.errors import CloudError, DeploymentError

if TYPE_CHECKING:
    from imgbatch.cli.cloud.opened import Opened
    from imgbatch.cloud.deployment import Deployment

RAY = 8265
# Of a script on a machine; each wait for it is of up to 100 s.
UNDER_WAY, WAITS = ("Pending", "InProgress", "Delayed"), 4
Machine = Annotated[
    str | None, typer.Argument(metavar="[MACHINE]", help="Its name; the head by default.")
]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Of this laptop.")]
Show = Annotated[bool, typer.Option("--show", help="Only print the commands that would be run.")]


def ssh(
    machine: Machine = None, *, deployment: DeploymentOption = None, show: Show = False
) -> None:
    """Open a shell on a machine, through the cloud's own door: no port of it is open."""
    door = _door(deployment, show=show)
    door.go(door.ways.shell(door.deployment, machine or door.head()))


def dashboard(
    *, port: Port = 8265, deployment: DeploymentOption = None, show: Show = False
) -> None:
    """Bring Ray's dashboard on the head to a port of this laptop."""
    door = _door(deployment, show=show)
    told = shlex.join(door.ways.secret(door.deployment))
    forward = door.ways.forward(door.deployment, door.head(), remote=RAY, local=port)
    _tell(
        f"http://127.0.0.1:{port} until Ctrl-C. It asks for a token, which this prints:\n  {told}"
    )
    door.go(forward)


def jupyter(*, port: Port = 8888, deployment: DeploymentOption = None, show: Show = False) -> None:
    """Start JupyterLab on the head, and bring it to a port of this laptop."""
    from imgbatch.cloud import notebook

    door = _door(deployment, show=show)
    machine = door.head()
    job = ["python", "-P", "-m", "jobs.notebook", door.deployment.control, notebook.packed()]
    door.do(machine, door.ways.inside(job))
    forward = door.ways.forward(door.deployment, machine, remote=notebook.PORT, local=port)
    if not show:
        token = notebook.token_of(door.found.cloud.secrets.get(door.deployment.token))
        _tell(f"http://127.0.0.1:{port}/lab?token={token} until Ctrl-C; it ends with its machine")
    door.go(forward)


@dataclass
class _Door:
    """The programs of a cloud that lead to its machines.

    Attributes:
        ways: a cloud's module of commands.
        show: they are printed and not run.
    """

    found: Opened
    ways: Any
    show: bool

    @property
    def deployment(self) -> Deployment:
        return self.found.deployment

    def head(self) -> str:
        """Return the head's name for the cloud.

        Raises:
            DeploymentError: there is none.
        """
        lease = self.found.control.lease()
        if lease and lease.head_machine:
            return lease.head_machine
        members = self.found.cloud.groups.members(self.deployment.head.group)
        running = [member.machine for member in members if member.state == "running"]
        if not running:
            raise DeploymentError(
                f"no head is up in {self.deployment.name}",
                "One comes up with `imgbatch cloud run`, and goes when nothing is to be done.",
            )
        return running[0]

    def do(self, machine: str, script: str) -> None:
        """Have a machine run a script, and wait for it.

        Raises:
            CloudError: it failed; says what it printed.
        """
        sent = self.ways.send(self.deployment, machine, script)
        if self.show:
            sys.stdout.write(shlex.join(sent) + "\n")
            return
        _tell("starting it on the head; the first time packages are installed there")
        command = _answer(sent)
        if self.ways.SEND_WAITS:
            return
        # It says no more than that a script failed; what it printed comes with the next.
        wait = self.ways.wait(self.deployment, machine, command)
        told = self.ways.said(self.deployment, machine, command)
        ended = "Pending"
        for _ in range(WAITS):
            subprocess.run(wait, capture_output=True, check=False)  # noqa: S603 - as below
            ended, said, complained = json.loads(_answer(told))
            if ended not in UNDER_WAY:
                break
        if ended != "Success":
            raise CloudError(
                f"the head could not do it ({ended}): {(complained or said).strip()[-600:]}",
                "`imgbatch cloud ssh` opens a shell there; `sudo docker logs imgbatch` tells more.",
            )

    def go(self, words: list[str]) -> None:
        """Hand the terminal to a program, and end with its exit code."""
        if self.show:
            sys.stdout.write(shlex.join(words) + "\n")
            return
        child = subprocess.Popen(words)  # noqa: S603 - the cloud's own program, no shell
        while True:
            try:
                raise typer.Exit(child.wait())
            except KeyboardInterrupt:
                # The terminal sent it to the program too, which closes the door and ends.
                continue


def _door(deployment: str | None, *, show: bool) -> _Door:
    from imgbatch.cli.cloud.opened import opened

    found = opened(deployment)
    ways = import_module(f"imgbatch.cloud.{found.deployment.cloud}.doors")
    if not show:
        ways.refuse_missing(session=True)
    return _Door(found, ways, show)


def _answer(words: list[str]) -> str:
    """Return what a program of the cloud prints.

    Raises:
        CloudError: it fails.
    """
    done = subprocess.run(  # noqa: S603 - as above
        words, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise CloudError(f"`{shlex.join(words[:3])}` failed: {done.stderr.strip()}")
    return done.stdout.strip()


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
