"""A deployment that is to go down enters; the runs that are at work on it leave, and are ended."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from imgbatch.cli.cloud.given import agree
from imgbatch.errors import DeploymentError, RunError, SettingsError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgbatch.cloud.deployment import Deployment
    from imgbatch.cloud.launch import Place
    from imgbatch.cloud.root import Root
    from imgbatch.cloud.zero import Clock

T = TypeVar("T")
# A head hears at its next renewal that the lease is gone, and writes no more.
LAST_SECONDS = 30.0


def tell(text: str) -> None:
    """Say what goes on."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def busy(there: Deployment) -> list[str]:
    """Return the runs that are at work or wait, whether or not their orders can be read."""
    from imgbatch.cloud.control import Control

    control = Control(there.control)
    runs = control.waiting()
    try:
        lease = control.lease()
    except (DeploymentError, SettingsError) as error:
        tell(f"the lease cannot be read: {error}")
        return runs
    return [*runs, lease.run] if lease and lease.run not in runs else runs


def told(ask: Callable[[], T], unknown: T, *, force: bool) -> T:
    """Return what a bucket tells; with --force one that tells nothing keeps no machine alive.

    Raises:
        StorageError: it tells nothing, and whether somebody is at work is to be known.
    """
    try:
        return ask()
    except StorageError as error:
        if not force:
            raise
        tell(f"the bucket cannot be asked: {error}")
        return unknown


def refuse(root: Root, runs: list[str], *, yes: bool) -> None:
    """Have no run be ended by mistake."""
    if yes or not sys.stdin.isatty():
        raise DeploymentError(
            f"runs are at work on {root.name!r}, or wait: {', '.join(runs)}",
            "`imgbatch cloud stop RUN` ends one; --force ends all of them. Finished shards stay.",
        )
    agree(f"This ends {', '.join(runs)}. Finished shards stay. Go on?", yes=False)


def also(
    root: Root, runs: list[str], busy: Callable[[], list[str]], *, yes: bool, force: bool
) -> list[str]:
    """Return the runs that are to end, with those that were ordered while somebody decided.

    Raises:
        DeploymentError: one was, and nobody is there to be asked whether it may end.
    """
    while new := [run for run in told(busy, list[str](), force=force) if run not in runs]:
        if not force:
            refuse(root, new, yes=yes)
        runs = [*runs, *new]
    return runs


def place_of(there: Deployment) -> Place:
    """Return where its machines and its orders are."""
    from imgbatch.cli.cloud.opened import Opened
    from imgbatch.cloud.control import Control

    return Opened(there, Control(there.control)).place


def end_runs(
    there: Deployment,
    runs: list[str],
    clock: Clock | None = None,
    opened: Callable[[Deployment], Place] = place_of,
) -> None:
    """Take runs off the queue: else they would begin again when an `up` finds this bucket.

    Their machines end here and not with their groups, which know when each did: so the ledgers in
    that bucket are whole. What cannot be done of it keeps Terraform from nothing: the ledgers
    say then what nobody saw.
    """
    from imgbatch.cloud.zero import Clock, to_zero

    clock = clock or Clock()
    try:
        to_zero(opened(there), runs, tell, clock)
    except RunError as error:
        tell(f"the machines are left to Terraform: {error}")
        _close(there, runs, clock)


def _close(there: Deployment, runs: list[str], clock: Clock) -> None:
    """Say that runs were stopped, and take them off the queue, without their cloud.

    They are marked first: who is interrupted finds them in the queue again, and so does an `up`.
    """
    from imgbatch.cloud.control import Control
    from imgbatch.cloud.stopped import mark, tell_left

    control = Control(there.control)
    for run in runs:
        told(partial(mark, run, control, clock.now()), None, force=True)
    told(control.release, None, force=True)
    clock.sleep(LAST_SECONDS)
    for run in runs:
        told(partial(tell_left, run, control, there, clock.now(), tell), None, force=True)
