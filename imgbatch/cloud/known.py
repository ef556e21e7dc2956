"""The deployments that this laptop knows: a name goes in, what Terraform made comes out.

    ~/.config/imgbatch/deployments/<name>.json    {cloud, region, control}

A note only, of where the deployment's own words lie (`control/deployment.json` in its bucket):
nothing here can be out of date but the place itself.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from imgbatch.cloud import deployment as told
from imgbatch.cloud.control import Control
from imgbatch.errors import DeploymentError
from imgbatch.settings import Settings, check, nearest, variables

if TYPE_CHECKING:
    from imgbatch.cloud.deployment import Deployment


class Known(Settings):
    """Where a deployment lies.

    Attributes:
        control: URL of the objects that its machines go by, with the options by which this laptop
            reaches that bucket.
    """

    cloud: Literal["aws", "gcp"]
    region: str
    control: str


def remember(deployment: Deployment, control: str | None = None) -> Path:
    """Note where a deployment lies; return the note.

    Args:
        deployment: whose place it is.
        control: URL of its control objects with the options by which it is reached; by default
            with its region alone, where the cloud wants that.
    """
    region = f"?region={deployment.region}" if deployment.cloud == "aws" else ""
    note = _note(deployment.name)
    note.parent.mkdir(parents=True, exist_ok=True)
    known = Known(
        cloud=deployment.cloud,
        region=deployment.region,
        control=control or f"{deployment.control}{region}",
    )
    unfinished = note.with_suffix(".partial")
    unfinished.write_text(known.model_dump_json(indent=2) + "\n", "utf-8")
    unfinished.replace(note)
    return note


def forget(name: str) -> None:
    """Take a note away; no error where there is none."""
    _note(name).unlink(missing_ok=True)


def names() -> list[str]:
    """Return the names of the deployments that this laptop knows."""
    return sorted(note.stem for note in _folder().glob("*.json"))


def only(cloud: str) -> str | None:
    """Return the name of the only deployment in a cloud that this laptop knows."""
    found = [name for name in names() if _read(_note(name)).cloud == cloud]
    return found[0] if len(found) == 1 else None


def place(name: str | None) -> tuple[str, Known]:
    """Return a deployment's name and where it lies; None: the only one.

    Raises:
        DeploymentError: none is known, not this one, or several; or the note is damaged.
    """
    known = names()
    if not known:
        raise DeploymentError(
            "this laptop knows no deployment",
            "`scripts/cloud up aws` makes one; `imgbatch cloud connect CONTROL_URL` notes one that "
            "was made elsewhere.",
        )
    if name is None and len(known) > 1:
        raise DeploymentError(
            f"this laptop knows {len(known)} deployments: {', '.join(known)}",
            "Say which with --deployment NAME.",
        )
    chosen = name or known[0]
    if chosen not in known:
        raise DeploymentError(f"no deployment {chosen!r}{nearest(chosen, known)}")
    return chosen, _read(_note(chosen))


def find(name: str | None) -> Deployment:
    """Return a deployment in its own words; None: the only one that this laptop knows.

    Raises:
        DeploymentError: as `place`; or it is not there any more.
        StorageError: its bucket cannot be read.
    """
    chosen, known = place(name)
    try:
        return at(known.control)
    except FileNotFoundError as error:
        raise DeploymentError(
            f"deployment {chosen!r} is not at {known.control} any more",
            "Was it destroyed from another laptop? "
            f"`rm {shlex.quote(str(_note(chosen)))}` forgets it; "
            f"`scripts/cloud up {known.cloud} --name {chosen}` makes it anew.",
        ) from error


def at(control: str) -> Deployment:
    """Return the deployment whose control objects are at a URL.

    Raises:
        FileNotFoundError: there is none.
        StorageError: the bucket cannot be read.
        DeploymentError: it is of a format that this imgbatch does not know.
    """
    return told.read(Control(control).deployment())


def _folder() -> Path:
    found = variables("XDG_CONFIG_HOME").get("XDG_CONFIG_HOME")
    return Path(found or "~/.config").expanduser() / "imgbatch" / "deployments"


def _note(name: str) -> Path:
    return _folder() / f"{name}.json"


def _read(note: Path) -> Known:
    try:
        return check(Known, json.loads(note.read_text("utf-8")), where=str(note))
    except ValueError as error:
        raise DeploymentError(
            f"{note} is no JSON: {error}",
            f"`rm {shlex.quote(str(note))}`, then `imgbatch cloud connect CONTROL_URL`.",
        ) from error
