"""The commands that look and note, and change nothing in a cloud: doctor, connect."""

from __future__ import annotations

import json as encoder
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from imgbatch.cli.cloud.given import CloudName, Json, RegionOption
from imgbatch.terminal import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.cloud import Check, Left
    from imgbatch.cloud.deployment import Deployment

State = Literal["ok", "failed", "unknown"]
SHOWN = {"ok": "ok", "failed": "FAILED", "unknown": "?"}
STATE, NAME = 7, 28


def doctor(cloud: CloudName, *, region: RegionOption = None, json: Json = False) -> None:
    """Look whether machines could be rented; each line is ok, or says what to do."""
    worst = 0
    failed = 0
    for code, check in _checks(cloud, region or ""):
        if json:
            record = {"event": "check", **asdict(check)}
            sys.stdout.write(encoder.dumps(record) + "\n")
        else:
            sys.stdout.write(f"  {SHOWN[check.state]:{STATE}}{check.name:{NAME}} {check.said}\n")
            if check.fix:
                sys.stdout.write(f"  {'':{STATE + NAME}} to do: {check.fix}\n")
        sys.stdout.flush()
        if check.state == "failed":
            failed += 1
            worst = worst or code
    lines = [f"{failed} to mend (exit code {worst})" if failed else "all is well"]
    say(json, "examined", {"failed": failed, "exit_code": worst}, lines)
    raise typer.Exit(worst)


def _checks(cloud: str, region: str) -> Iterator[tuple[int, Check]]:
    """Yield each line with the exit code that it has where it failed; what matters most first."""
    from imgbatch.cloud import Check, open_cloud
    from imgbatch.errors import CredentialsError, RunError

    try:
        account = open_cloud(cloud, region).account
        yield from ((27, check) for check in account.checks(region))
        orphans = list(_orphans(account.left()))
    except RunError as error:
        # Else it is what was asked for: no such cloud, no region.
        title = "credentials" if isinstance(error, CredentialsError) else "cloud"
        yield error.exit_code, Check(title, "failed", str(error), error.remedy)
        orphans = []
    yield from _terraform()
    yield from _deployments(cloud)
    yield from orphans


def _terraform() -> Iterator[tuple[int, Check]]:
    from imgbatch.cloud import Check, terraform
    from imgbatch.errors import TerraformError

    try:
        program = terraform.find()
        yield 29, Check("terraform", "ok", f"{terraform.version(program)}, {program}")
    except TerraformError as error:
        yield error.exit_code, Check("terraform", "failed", str(error), error.remedy)


def _deployments(cloud: str) -> Iterator[tuple[int, Check]]:
    from imgbatch.cloud import Check, known
    from imgbatch.errors import RunError

    for name in known.names():
        title = f"deployment {name}"
        try:
            if known.place(name)[1].cloud != cloud:
                continue
            found = known.find(name)
            pools = ", ".join(found.pools)
            yield 28, Check(title, "ok", f"{found.region}, {found.bucket}; pools {pools}")
            yield 28, _alarm(found)
        except RunError as error:
            yield error.exit_code, Check(title, "failed", str(error), error.remedy)


def _alarm(found: Deployment) -> Check:
    """Return whether somebody hears when a month of the account gets dear."""
    from imgbatch.cloud import Check

    title = f"budget alarm {found.name}"
    if found.alarm:
        return Check(title, "ok", f"letters at 50, 80 and 100% of {found.alarm:g} a month")
    fix = (
        f"Give `email` in {found.name}.tfvars.json (and `monthly_budget`, of the whole account), "
        f"then `scripts/cloud up {found.cloud} --name {found.name}`."
    )
    if found.alarm is None:
        fix = f"`scripts/cloud up {found.cloud} --name {found.name}` tells."
        return Check(title, "unknown", "its Terraform is of a version that does not tell", fix)
    return Check(title, "unknown", "none: nobody hears when a month gets dear", fix)


def _orphans(left: Iterator[Left]) -> Iterator[tuple[int, Check]]:
    from imgbatch.cloud import Check, known
    from imgbatch.errors import RunError

    names, strangers = known.names(), 0
    try:
        for one in left:
            if one.deployment in names:
                if one.kind == "machine":
                    yield 30, _alive(one)
                continue
            strangers += 1
            said = f"in {one.region}, of a deployment {one.deployment!r} that this laptop knows not"
            state: State = "failed" if one.costs else "unknown"
            yield 30, Check(f"{one.kind} {one.name}", state, said, one.remove)
    except RunError as error:
        # What was found in other regions is told all the same.
        said = f"not all regions could be looked at: {error}"
        yield error.exit_code, Check("orphans", "failed", said, error.remedy)
        return
    if not strangers:
        said = "nothing of ours in any region but of the deployments above"
        yield 30, Check("orphans", "ok", said)


def _alive(one: Left) -> Check:
    from imgbatch.cloud import Check

    said = f"in {one.region}, costs by the hour, of the deployment {one.deployment!r}"
    fix = (
        f"Where `imgbatch cloud status --deployment {one.deployment}` has nothing at work: "
        f"`imgbatch cloud stop --force --deployment {one.deployment}` ends it."
    )
    return Check(f"machine {one.name}", "unknown", said, fix)


def connect(
    control: Annotated[
        str, typer.Argument(metavar="CONTROL_URL", help="As `cloud up` printed it.")
    ],
    *,
    json: Json = False,
) -> None:
    """Note a deployment that was made from another laptop."""
    from imgbatch.cloud import known
    from imgbatch.errors import DeploymentError

    try:
        found = known.at(control)
    except FileNotFoundError as error:
        raise DeploymentError(
            f"there is no deployment at {control}",
            "Give the URL that `scripts/cloud up` printed, such as s3://BUCKET/control.",
        ) from error
    note = known.remember(found, control)
    line = f"{found.name} in {found.region} is known now ({note})"
    say(json, "connected", {"deployment": found.model_dump(), "note": str(note)}, [line])
