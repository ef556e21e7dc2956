"""The commands that make a deployment and end it: up, down."""

from __future__ import annotations

import shlex
import time
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch.cli.cloud.at_work import also, busy, end_runs, refuse, tell, told
from imgbatch.cli.cloud.given import CloudName, Json, NameOption, RegionOption, Yes, agree
from imgbatch.errors import LeftoverError
from imgbatch.terminal import say

if TYPE_CHECKING:
    from imgbatch.cloud import Left
    from imgbatch.cloud.deployment import Deployment
    from imgbatch.cloud.plans import Plan
    from imgbatch.cloud.root import Root

# What `down` leaves where there are data in it, and says so.
HOLDS_DATA = ("bucket", "key")
# A machine takes a minute or two to end.
LOOKS, SECONDS_TO_LOOK = 20, 15
# Of a bucket that cannot be listed: it may hold data.
UNKNOWN = -1
Unlock = Annotated[
    str | None,
    typer.Option(metavar="ID", help="First take away the lock of a Terraform that was killed."),
]


def up(
    cloud: CloudName,
    *,
    name: NameOption = None,
    region: RegionOption = None,
    yes: Yes = False,
    adopt: Annotated[
        bool,
        typer.Option("--adopt", help="Take over what is there by its name and no state knows."),
    ] = False,
    unlock: Unlock = None,
    json: Json = False,
) -> None:
    """Make a deployment with Terraform, or bring it up to date: shows what and asks. It is empty:
    no machine runs before `imgbatch cloud run`.
    """  # noqa: D205 - the help of a command is one paragraph
    from imgbatch.cloud import known, plans

    root = _root(cloud, name, region)
    root.open(make=True)
    if unlock:
        root.unlock(unlock)
    # Who was killed may have made what the state was never told of.
    adopt = adopt or bool(unlock)
    plan = _take_over(root, root.plan(), adopt=adopt)
    lines = [*plans.lines(plan), *plans.machines(plan), *plans.standing(plan)]
    say(json, "planned", _record(root, plan), lines)
    if not plan.empty:
        if plan.ends_machines:
            tell(f"this ends the machines of {', '.join(plan.ends_machines)}")
        agree("Make it so?", yes=yes)
    made = root.made() if plan.empty else root.make(plan, adopt=adopt)
    note = known.remember(made)
    say(json, "up", {"deployment": made.model_dump(), "note": str(note)}, _up_lines(root, made))


def down(
    cloud: CloudName,
    *,
    name: NameOption = None,
    region: RegionOption = None,
    yes: Yes = False,
    force: Annotated[bool, typer.Option("--force", help="End a run that is at work.")] = False,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Delete the bucket with the data in it too.")
    ] = False,
    unlock: Unlock = None,
    json: Json = False,
) -> None:
    """Destroy a deployment, then look whether anything of it is left in any region."""
    from imgbatch.cloud import known, plans

    root = _root(cloud, name, region)
    root.open(make=False)
    if unlock:
        root.unlock(unlock)
    there = root.deployment()
    bucket = told(partial(_bucket, root, there), there.bucket if there else "", force=force)
    runs: list[str] = []
    data = 0
    if there and bucket:
        runs = told(partial(busy, there), runs, force=force)
    if runs and not force:
        refuse(root, runs, yes=yes)
    if there and bucket and not delete_data:
        data = told(partial(_data, there), UNKNOWN, force=force)
    plan = root.plan(destroy=True)
    lines = list(plans.lines(plan))
    if data:
        holds = "whatever is" if data == UNKNOWN else f"the {data:,} objects"
        lines.append(f"{bucket} stays, with {holds} in it")
    say(json, "planned", _record(root, plan), lines)
    if not plan.empty:
        agree("Destroy it?", yes=yes)
        if there and bucket:
            runs = also(root, runs, partial(busy, there), yes=yes, force=force)
        if there and runs:
            end_runs(there, runs)
        # Whether there are data in what was made by halves, nobody has told.
        _destroy(root, keep=not delete_data and bool(data or not there))
    left, kept = _left(root, delete_data=delete_data)
    known.forget(root.name)
    _end(root, left, kept, json=json)


def _root(cloud: str, name: str | None, region: str | None) -> Root:
    """Open a root by what was said, else by what this laptop knows."""
    from imgbatch.cloud import known
    from imgbatch.cloud.root import Root, chosen

    name = name or known.only(cloud) or "main"
    return Root(cloud, name, region or chosen(cloud, name), say=tell)


def _take_over(root: Root, plan: Plan, *, adopt: bool) -> Plan:
    """Take over what a former `down` left with the data in it, and all else of ours if asked."""
    there = root.find(plan, adopt=adopt)
    if not there:
        return plan
    root.take_over(plan, there)
    return root.plan()


def _bucket(root: Root, there: Deployment | None) -> str:
    """Return the URL of the deployment's bucket; "": it is gone, or was never made."""
    from imgbatch.storage.buckets import open_bucket

    if there is None or not open_bucket(there.bucket + root.backend.options).exists():
        return ""
    return there.bucket


def _data(there: Deployment) -> int:
    """Count what lies in the bucket besides the control objects."""
    from imgbatch.storage import open_store

    control = there.control.removeprefix(there.bucket).strip("/") + "/"
    return sum(not entry.name.startswith(control) for entry in open_store(there.bucket).list())


def _destroy(root: Root, *, keep: bool) -> None:
    if keep:
        root.let_go()
    else:
        root.allow_data_loss()
    root.plan(destroy=True)
    root.apply()


def _left(root: Root, *, delete_data: bool) -> tuple[list[Left], list[Left]]:
    """Return what should not be there any more, and what was kept for its data."""
    from imgbatch.cloud import open_cloud

    tell("looking in all regions for what is left")
    account = open_cloud(root.cloud, root.region, root.account).account
    found = list(account.left(root.name))
    for _ in range(LOOKS):
        if not any(one.kind == "machine" for one in found):
            break
        tell("machines are still on their way out; looking again")
        time.sleep(SECONDS_TO_LOOK)
        found = list(account.left(root.name))
    kept = [one for one in found if one.kind in HOLDS_DATA and not delete_data]
    return [one for one in found if one not in kept], kept


def _end(root: Root, left: list[Left], kept: list[Left], *, json: bool) -> None:
    lines = [f"{root.name} is down: no machine, disk, address or group of it is left"]
    if left:
        lines = [f"  {one.kind} {one.name} in {one.region}: {one.remove}" for one in left]
    lines += [f"kept with its data: {one.kind} {one.name} in {one.region}" for one in kept]
    lines.append(f"{root.state.url} keeps the variables, for a next `up`")
    record: dict[str, Any] = {
        "name": root.name,
        "kept": [asdict(one) for one in kept],
        "left": [asdict(one) for one in left],
    }
    say(json, "down", record, lines)
    if left:
        raise LeftoverError(
            f"{len(left)} things of {root.name!r} are left",
            "Remove what is listed with the commands beside it, then run this command again. Is it "
            f"all of it, the state was lost: `scripts/cloud up {root.cloud} --name {root.name} "
            "--adopt`, then this command again.",
        )


def _record(root: Root, plan: Plan) -> dict[str, Any]:
    return {
        "name": root.name,
        "region": root.region,
        "state": root.state.url,
        "make": list(plan.make),
        "change": list(plan.change),
        "replace": list(plan.replace),
        "destroy": list(plan.destroy),
        "standing": plan.told.get("standing", {}),
    }


def _up_lines(root: Root, made: Deployment) -> list[str]:
    control = f"{made.control}{root.backend.options}"
    month = f"about {sum(made.standing.values()):.2f} dollars a month with nothing running"
    alarm = (
        f"budget alarm: letters at 50, 80 and 100% of {made.alarm:g} a month of the whole account"
        if made.alarm
        else f"no budget alarm: nobody hears when a month gets dear; give `email` in "
        f"{root.state.file} (and `monthly_budget`), then the same command again"
    )
    return [
        f"{made.name} is up in {made.region}: {made.bucket}; {month}",
        alarm,
        f"what it is to be stands in {root.state.file}: edit it, then run the same command again",
        f"from another laptop: imgbatch cloud connect {shlex.quote(control)}",
        f"next: scripts/image {made.name}; then imgbatch cloud plan INPUT DATASET --recipe RECIPE",
    ]
