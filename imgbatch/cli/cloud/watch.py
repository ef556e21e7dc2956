"""The commands that look at rented machines from any laptop, and end what they do."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from imgbatch.cli.cloud.given import DeploymentOption
from imgbatch.errors import DeploymentError, RunError, SettingsError
from imgbatch.outputs import heard
from imgbatch.terminal import INTERRUPTED, Json, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.cli.cloud.opened import Opened
    from imgbatch.storage import Store

LOG = "head.log"
LOG_SECONDS = 2.0
RunName = Annotated[
    str | None,
    typer.Argument(metavar="[RUN]", help="A run's id or its beginning; that at work by default."),
]


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until the run ends.")] = False,
    deployment: DeploymentOption = None,
    json: Json = False,
) -> None:
    """Show what is at work, what it cost so far, when it dies; what waits, and what ended."""
    from imgbatch.cli.cloud import lines
    from imgbatch.cli.cloud.follow import headless, to_its_end
    from imgbatch.cli.cloud.opened import opened
    from imgbatch.cloud.standing import standing

    found = opened(deployment)
    now = standing(found.deployment.name, found.control, time.time())
    going = now.at_work.run if now.at_work else next((o.run for o in now.queue), None)
    if watch and going:
        raise typer.Exit(to_its_end(going, found, as_json=json))
    say(json, "status", now.record(), lines.standing(now))
    # Without a lease nobody leads; a run may still wait that no head will come for.
    if going and now.lease is None and (told := headless(going, found)):
        _tell(f"{told}\n{told.remedy}")


def logs(
    run: RunName = None,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")
    ] = False,
    deployment: DeploymentOption = None,
) -> None:
    """Show what a run's head says; what its workers say is in the dataset: `imgbatch tail`."""
    from imgbatch.cli.cloud.opened import opened

    found = opened(deployment)
    name = _of_all(found, run)
    said = False
    try:
        for text in _said(found, name, follow=follow):
            said = True
            sys.stdout.write(text)
            sys.stdout.flush()
            if not heard():
                return
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
    from imgbatch.cli.cloud import lines
    from imgbatch.cli.cloud.opened import opened
    from imgbatch.cloud.halt import halt, meant
    from imgbatch.cloud.zero import empty

    found = opened(deployment)

    try:
        name = meant(found.control, run)
    except RunError as error:
        if not force or run is not None:
            raise
        # Nothing is known to run, or nobody can read what does; and somebody wants to be sure.
        _tell(str(error))
        left = empty(found.place, say=_tell)
        say(json, "stopped", {"run": None, "machines": left}, ["no run; no machine is left"])
        return
    halted = halt(name, found.place, force=force, say=_tell)
    record = asdict(halted) | {"state": halted.state and halted.state.model_dump()}
    say(json, "stopped", record, lines.halted(halted))


def _tell(text: str) -> None:
    from imgbatch.storage.secrets import scrub

    sys.stderr.write(f"{scrub(text)}\n")
    sys.stderr.flush()
