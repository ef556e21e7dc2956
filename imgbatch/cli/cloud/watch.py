"""The commands that look at rented machines from any laptop, and end what they do."""

from __future__ import annotations

import json as as_json
import shlex
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch.cli.cloud.given import DeploymentOption
from imgbatch.errors import CloudError, DeploymentError, SettingsError
from imgbatch.terminal import INTERRUPTED, Json, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.cli.cloud.opened import Opened
    from imgbatch.cloud.deployment import Deployment
    from imgbatch.storage import Store

LOG = "head.log"
LOG_SECONDS = 2.0
RAY = 8265
RunName = Annotated[
    str | None,
    typer.Argument(metavar="[RUN]", help="A run's id or its beginning; that at work by default."),
]
Machine = Annotated[
    str | None, typer.Argument(metavar="[MACHINE]", help="Its name; the head by default.")
]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Of this laptop.")]
Show = Annotated[bool, typer.Option("--show", help="Only print the commands that would be run.")]


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until the run ends.")] = False,
    deployment: DeploymentOption = None,
    json: Json = False,
) -> None:
    """Show what is at work, what it cost so far, when it dies; what waits, and what ended."""
    from imgbatch.cli.cloud import lines  # noqa: PLC0415 - keeps `--help` quick
    from imgbatch.cli.cloud.opened import opened  # noqa: PLC0415
    from imgbatch.cli.cloud.run import follow_run  # noqa: PLC0415
    from imgbatch.cloud.standing import standing  # noqa: PLC0415

    found = opened(deployment)
    now = standing(found.deployment.name, found.control, time.time())
    going = now.at_work.run if now.at_work else next((o.run for o in now.queue), None)
    if watch and going:
        raise typer.Exit(follow_run(going, found, as_json=json))
    say(json, "status", now.record(), lines.standing(now))


def logs(
    run: RunName = None,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")
    ] = False,
    deployment: DeploymentOption = None,
) -> None:
    """Show what a run's head says; what its workers say is in the dataset: `imgbatch tail`."""
    from imgbatch.cli.cloud.opened import opened  # noqa: PLC0415 - keeps `--help` quick

    found = opened(deployment)
    name = _of_all(found, run)
    said = False
    try:
        for text in _said(found, name, follow=follow):
            said = True
            sys.stdout.write(text)
            sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115,PTH123 - Python flushes it at its end
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    if not said:
        sys.stderr.write(f"the head has said nothing of run {name} yet\n")
    sys.stderr.write("what workers say: `imgbatch tail -f DATASET`\n")


def _said(found: Opened, run: str, *, follow: bool) -> Iterator[str]:
    """Yield what a head's log has, and what comes."""
    store, name, at = found.control.store, f"runs/{run}/{LOG}", 0
    while True:
        state = found.control.state(run)
        fresh = _from(store, name, at)
        if fresh:
            at += len(fresh)
            yield fresh.decode("utf-8", "replace")
        if not follow or (state and state.over and not fresh):
            return
        if not fresh:
            time.sleep(LOG_SECONDS)


def _from(store: Store, name: str, at: int) -> bytes:
    try:
        size = store.head(name).size
        return store.get_range(name, at, size - at) if size > at else b""
    except FileNotFoundError:
        return b""


def _of_all(found: Opened, run: str | None) -> str:
    """Return the run that is meant, ended ones among them; without a word the newest."""
    control = found.control
    known = sorted({*control.runs(), *(order.run for order in control.orders())})
    if run is None:
        lease = control.lease()
        if lease:
            return lease.run
        if not known:
            raise DeploymentError(
                f"no run was ever ordered from {found.deployment.name}",
                "`imgbatch cloud run INPUT DATASET` orders one.",
            )
        return known[-1]
    fitting = [name for name in known if name.startswith(run)]
    if len(fitting) != 1:
        said = f"{len(fitting)} runs begin with {run!r}" if fitting else f"no run is {run!r}"
        raise SettingsError(
            f"{said}; the last ones: {', '.join(known[-5:]) or 'none'}",
            "See `imgbatch cloud status`.",
        )
    return fitting[0]


def stop(
    run: RunName = None,
    *,
    force: Annotated[
        bool,
        typer.Option("--force", help="End all machines of the deployment now, whatever they do."),
    ] = False,
    deployment: DeploymentOption = None,
    json: Json = False,
) -> None:
    """End a run: what is finished is committed, then its machines go. With --force all go now."""
    from imgbatch.cli.cloud import lines  # noqa: PLC0415 - keeps `--help` quick
    from imgbatch.cli.cloud.opened import opened  # noqa: PLC0415
    from imgbatch.cloud.halt import empty, halt, meant  # noqa: PLC0415

    found = opened(deployment)

    try:
        name = meant(found.control, run)
    except DeploymentError:
        if not force:
            raise
        # Nothing is known to run, and somebody wants to be sure.
        left = empty(found.place, say=_tell)
        say(json, "stopped", {"run": None, "machines": left}, ["no run; no machine is left"])
        return
    halted = halt(name, found.place, force=force, say=_tell)
    record = asdict(halted) | {"state": halted.state and halted.state.model_dump()}
    say(json, "stopped", record, lines.halted(halted))


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
    from imgbatch.cloud import notebook  # noqa: PLC0415 - keeps `--help` quick

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
        if self.ways.WAITS:
            return
        # It says no more than that a script failed; what it printed comes with the next.
        wait = self.ways.wait(self.deployment, machine, command)
        subprocess.run(wait, capture_output=True, check=False)  # noqa: S603 - as below
        ended, said, complained = as_json.loads(
            _answer(self.ways.said(self.deployment, machine, command))
        )
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
    from imgbatch.cli.cloud.opened import opened  # noqa: PLC0415 - keeps `--help` quick

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
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - as above
    if done.returncode:
        raise CloudError(f"`{shlex.join(words[:3])}` failed: {done.stderr.strip()}")
    return done.stdout.strip()


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
