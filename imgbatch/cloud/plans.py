"""A plan as `terraform show -json` tells it enters; what a person asks of it leaves."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Types whose id for an import follows from their arguments: those, joined by `:`.
NAMED = {
    "aws_autoscaling_group": ("name",),
    "aws_budgets_budget": ("account_id", "name"),
    "aws_ecr_lifecycle_policy": ("repository",),
    "aws_ecr_repository": ("name",),
    "aws_iam_instance_profile": ("name",),
    "aws_iam_role": ("name",),
    "aws_iam_role_policy": ("role", "name"),
    "aws_kms_alias": ("name",),
    "aws_route_table_association": ("subnet_id", "route_table_id"),
    "aws_s3_bucket": ("bucket",),
    "aws_ssm_parameter": ("name",),
    # The rest of Google's is looked for by name: gcp/found.py.
    "google_storage_bucket": ("name",),
}
BUCKETS = ("aws_s3_bucket", "google_storage_bucket")
JOINED = {"aws_route_table_association": "/"}
# To replace one of these ends machines at work.
GROUPS = ("aws_autoscaling_group", "google_compute_region_instance_group_manager")
_INDEX = re.compile(r"\[[^\]]*\]")


@dataclass(frozen=True, slots=True)
class Plan:
    """What Terraform would do.

    Attributes:
        make, change, replace, destroy: addresses.
        told: the output `deployment` as far as it is known before it is made.
        variables: of the root, with their defaults.
        made: type and arguments of what is to be made, as far as they are known, by address.
    """

    make: tuple[str, ...]
    change: tuple[str, ...]
    replace: tuple[str, ...]
    destroy: tuple[str, ...]
    told: dict[str, Any]
    variables: dict[str, Any]
    made: dict[str, tuple[str, dict[str, Any]]]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do but, at most, to tell."""
        return not (self.make or self.change or self.replace or self.destroy)

    @property
    def ends_machines(self) -> list[str]:
        """The groups whose machines it would end."""
        ended = (*self.replace, *self.destroy)
        return [address for address in ended if type_of(address) in GROUPS]


def read(text: str) -> Plan:
    """Read what `terraform show -json` printed of a plan."""
    raw = json.loads(text)
    by_action: dict[str, list[str]] = {"make": [], "change": [], "replace": [], "destroy": []}
    made = {}
    for one in raw.get("resource_changes", []):
        action = _action(one["change"]["actions"])
        if one["mode"] == "managed" and action:
            by_action[action].append(one["address"])
        if one["mode"] == "managed" and action == "make":
            made[one["address"]] = (one["type"], one["change"].get("after") or {})
    told = raw.get("output_changes", {}).get("deployment", {}).get("after")
    variables = {name: one.get("value") for name, one in raw.get("variables", {}).items()}
    return Plan(
        **{name: tuple(found) for name, found in by_action.items()},
        told=told if isinstance(told, dict) else {},
        variables=variables,
        made=made,
    )


def lines(plan: Plan) -> Iterator[str]:
    """Yield a plan in short: counts, and by name all that is not merely made."""
    if plan.empty:
        yield "nothing to do: all is as it should be"
        return
    counts = {
        "to make": plan.make,
        "to change": plan.change,
        "to replace": plan.replace,
        "to destroy": plan.destroy,
    }
    yield ", ".join(f"{len(found)} {word}" for word, found in counts.items() if found)
    for word, found in counts.items():
        if word != "to make" and plan.make != found:
            yield from (f"  {word}: {address}" for address in found)


def machines(plan: Plan) -> Iterator[str]:
    """Yield the most machines that the groups could ever have at once."""
    for name, pool in sorted(plan.told.get("pools", {}).items()):
        kinds = ", ".join(pool.get("gpus") or ["no GPU"])
        spare = "spot" if pool.get("spot") else "on-demand"
        yield f"  pool {name}: 0 to {pool.get('most')} {spare} machines ({kinds})"


def standing(plan: Plan) -> Iterator[str]:
    """Yield what a month costs with nothing running."""
    costs = plan.told.get("standing")
    if not isinstance(costs, dict):
        return
    yield f"with nothing running this costs about {sum(costs.values()):.2f} dollars a month"
    yield from (f"  {what}: {dollars:.2f}" for what, dollars in sorted(costs.items()) if dollars)


def _action(actions: list[str]) -> str:
    if actions == ["create"]:
        return "make"
    if actions == ["update"]:
        return "change"
    if actions == ["delete"]:
        return "destroy"
    return "replace" if set(actions) == {"create", "delete"} else ""


def type_of(address: str) -> str:
    """Return the type of a resource by its address, such as `module.pool["gpu"].TYPE.name[0]`."""
    return _INDEX.sub("", address).split(".")[-2]


def id_of(kind: str, arguments: Mapping[str, Any]) -> str:
    """Return the id for an import that follows from a resource's arguments; "": none does."""
    names = NAMED.get(kind, ())
    values = [arguments.get(name) for name in names]
    return JOINED.get(kind, ":").join(map(str, values)) if all(values) else ""
