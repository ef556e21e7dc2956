"""A root of `infra/` for one deployment enters; it is planned, made, taken over and destroyed."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgbatch.cloud import CLOUDS, deployment, known, plans, terraform
from imgbatch.cloud.backend import Backend
from imgbatch.cloud.state import State, read_json
from imgbatch.errors import DeploymentError, SettingsError, TerraformError
from imgbatch.settings import nearest
from imgbatch.storage.buckets import open_bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgbatch.cloud.deployment import Deployment
    from imgbatch.cloud.plans import Plan

NAME = re.compile(r"[a-z][a-z0-9-]{0,18}[a-z0-9]")
# What holds data of the user, and what it is encrypted with.
KEPT = (*plans.BUCKETS, "aws_kms_")
# Variables that are for one command, and never of what a deployment is.
FOR_ONCE = ("destroy_data",)
ROUNDS = 5


def infra(cloud: str) -> Path:
    """Return the folder of a cloud's root.

    Raises:
        SettingsError: no cloud of that name.
        DeploymentError: this imgbatch was not installed from a clone, or has no such root yet.
    """
    if cloud not in CLOUDS:
        raise SettingsError(f"no cloud {cloud!r}{nearest(cloud, list(CLOUDS))}", "Give aws or gcp.")
    folder = Path(__file__).parents[2] / "infra"
    if not folder.is_dir():
        raise DeploymentError(
            f"there is no {folder}: this imgbatch comes without `infra/`",
            "`scripts/cloud` belongs to a clone of imgbatch: clone it and run it there. Where a "
            "deployment is up already, `imgbatch cloud connect CONTROL_URL` is enough.",
        )
    if not (folder / cloud).is_dir():
        raise DeploymentError(f"infra/ has nothing for {cloud} yet", "Give aws.")
    return folder / cloud


def chosen(cloud: str, name: str) -> str:
    """Return the region of a deployment, as this laptop or its variables say; "": neither does."""
    if name in known.names():
        return known.place(name)[1].region
    variables = infra(cloud) / f"{name}.tfvars.json"
    if not variables.exists():
        return ""
    return str(read_json(variables).get("region", ""))


class Root:
    """A root for one deployment.

    Args:
        cloud, name, region: of the deployment.
        say: is told each step.

    Raises:
        SettingsError: the name will not do.
        DeploymentError: there is no `infra/`.
        TerraformError: there is no Terraform that will do.
        CredentialsError: the cloud does not know who asks.
    """

    def __init__(self, cloud: str, name: str, region: str, *, say: Callable[[str], None]) -> None:
        if not NAME.fullmatch(name):
            raise SettingsError(
                f"{name!r} will not do as the name of a deployment",
                "Small letters, digits and hyphens, 2 to 20, the first a letter: `--name lab`.",
            )
        self.cloud, self.name = cloud, name
        self.folder = infra(cloud)
        program = terraform.find()
        self.account, self.region = import_module(f"imgbatch.cloud.{cloud}.who").who(region)
        file = self.folder / f"{name}.tfvars.json"
        self.backend = Backend(cloud, self.account, self.region, name)
        self.state = State(self.backend, file=file, say=say)
        data = self.folder / ".terraform" / name
        self.terraform = terraform.Terraform(program, self.folder, data, say)
        self.say = say
        self._given: dict[str, str] = {}
        self._taken: dict[str, str] = {}

    def open(self, *, make: bool) -> None:
        """Have a place for the state, the variables here, and the provider.

        Raises:
            DeploymentError: there is no state, and none is to be made.
            StorageError: its bucket cannot be made, hardened or read.
            TerraformError: `terraform init` failed.
        """
        backend = self.state.open(make=make)
        self.say("terraform init")
        self.terraform.run("init", "-reconfigure", *backend)

    def variable(self, name: str) -> Any:
        """Return a variable of the deployment as its file says; None: it says nothing."""
        return self.state.read().get(name)

    def change(self, name: str, value: Any) -> None:
        """Set a variable of the deployment in its file; the next plan shows what that changes."""
        self.state.write({**self.state.read(), name: value})

    # --- Plans

    def plan(self, *, destroy: bool = False) -> Plan:
        """Plan what would make the deployment as its variables say, or end it.

        The variables file is completed with the defaults that were used: they are there to edit.

        Raises:
            LockedError: somebody else is at work on it.
            TerraformError: the plan failed.
        """
        words = ["-destroy"] if destroy else []
        self.say("terraform plan")
        try:
            self._write_taken()
            self.terraform.stream("plan", *words, *self._words(), f"-out={self._planned}")
        finally:
            # It is part of the plan now, and no part of another deployment's.
            self._taken_file.unlink(missing_ok=True)
        found = plans.read(self.terraform.run("show", "-json", str(self._planned)))
        if not destroy:
            kept = {key: value for key, value in found.variables.items() if key not in FOR_ONCE}
            self.state.write({**kept, **self.state.read()})
        return found

    def apply(self) -> None:
        """Do what was planned last.

        Raises:
            ExistsError: something is there that the state does not know.
            TerraformError: it failed; what was made is noted in the state.
        """
        try:
            self.terraform.stream("apply", str(self._planned))
        finally:
            self._planned.unlink(missing_ok=True)
            self._taken.clear()

    def make(self, plan: Plan, *, adopt: bool) -> Deployment:
        """Do what was planned, and return the deployment as it then is.

        Args:
            plan: the last one.
            adopt: take over what is there by its name and the state does not know.

        Raises:
            ExistsError: there is such, and it is not to be taken over.
            TerraformError: it failed.
        """
        for left in reversed(range(ROUNDS)):
            try:
                self.apply()
                break
            except terraform.ExistsError as error:
                if not adopt or not left:
                    raise
                self.take_over(plan, error.addresses)
                plan = self.plan()
        return self.made()

    def made(self) -> Deployment:
        """Return the deployment as it is now, and keep its variables beside the state.

        Raises:
            DeploymentError: the state knows of none.
        """
        told = self.told()
        self.state.keep()
        return told

    def find(self, plan: Plan, *, adopt: bool) -> list[str]:
        """Return what the plan would make although it is there and ours: addresses.

        What holds data is ours where it has our name: `down` leaves it, and the next `up` goes on
        with it. The rest is told by our tag.

        Raises:
            ExistsError: there is such, and it is not to be taken over: a second network would be
                made, which collides with nothing and is nobody's.
        """
        there = self._there(plan) if plan.made else {}
        kept = [one for one in there if plans.type_of(one).startswith(KEPT)]
        strange = {one: known for one, known in there.items() if one not in kept}
        if strange and not adopt:
            known = ", ".join(f"{address} ({one})" for address, one in strange.items())
            raise terraform.ExistsError(f"there already: {known}", list(strange))
        if any(plans.type_of(one) == "aws_kms_key" for one in kept):
            kept += [one for one in plan.made if plans.type_of(one) == "aws_kms_alias"]
        return [*kept, *self._buckets(plan), *strange]

    def _buckets(self, plan: Plan) -> list[str]:
        names = {
            address: plans.id_of(kind, arguments)
            for address, (kind, arguments) in plan.made.items()
            if kind in plans.BUCKETS
        }
        options = self.backend.options
        urls = {one: self.backend.url(name) + options for one, name in names.items()}
        return [one for one, url in urls.items() if open_bucket(url).exists()]

    def take_over(self, plan: Plan, addresses: Sequence[str]) -> None:
        """Have the next plan bring what is there under the state, instead of making it.

        Raises:
            TerraformError: there is something whose id cannot be told.
        """
        there = self._there(plan)
        for address in addresses:
            known = there.get(address) or plans.id_of(*plan.made.get(address, ("", {})))
            if not known:
                raise TerraformError(
                    f"{address} is there already, and nothing tells its id",
                    "Find it in the console and delete it, then run the same command again.",
                )
            self.say(f"taking over {address}: {known}")
            self._taken[address] = known

    def _there(self, plan: Plan) -> dict[str, str]:
        found = import_module(f"imgbatch.cloud.{self.cloud}.found")
        ids: dict[str, str] = found.ids(self.region, self.name, plan.made)
        state = json.loads(self.terraform.run("state", "pull") or "{}")
        known = {
            instance["attributes"].get("id")
            for resource in state.get("resources", [])
            for instance in resource["instances"]
        }
        return {address: one for address, one in ids.items() if one not in known}

    def _write_taken(self) -> None:
        # By blocks and not by `terraform import`: that wants every for_each known beforehand.
        blocks = [
            f"import {{\n  to = {address}\n  id = {json.dumps(known)}\n}}\n"
            for address, known in self._taken.items()
        ]
        if blocks:
            self._taken_file.write_text("".join(blocks), "utf-8")

    def told(self) -> Deployment:
        """Return the deployment as Terraform tells it.

        Raises:
            DeploymentError: the state knows of none, or it is not what it should be.
        """
        outputs = json.loads(self.terraform.run("output", "-json"))
        if "deployment" not in outputs:
            raise DeploymentError(
                f"the state in {self.state.url} knows of no deployment",
                "Nothing was made yet, or all was destroyed. If machines of it are there "
                f"(`scripts/cloud doctor {self.cloud}`), the state was lost: bring a former "
                f"version of {self.state.url}/{self.backend.file} back (it keeps them for 30 days),"
                " or run `scripts/cloud up` with --adopt.",
            )
        return deployment.read(json.dumps(outputs["deployment"]["value"]))

    def deployment(self) -> Deployment | None:
        """Return the deployment; None: it is not made whole, or not any more."""
        outputs = json.loads(self.terraform.run("output", "-json"))
        return self.told() if "deployment" in outputs else None

    def unlock(self, lock: str) -> None:
        """Take away the lock of a Terraform that was killed.

        Raises:
            TerraformError: it is not held under that id.
        """
        self.terraform.run("force-unlock", "-force", lock)

    # --- Data

    def allow_data_loss(self) -> None:
        """Have the bucket be one that a destroy may empty.

        Raises:
            TerraformError: it failed.
        """
        self.give("destroy_data", "true")
        listed = self.terraform.run("state", "list").split()
        buckets = [one for one in listed if plans.type_of(one) in plans.BUCKETS]
        if buckets:
            targets = [f"-target={one}" for one in buckets]
            self.terraform.stream("apply", "-auto-approve", *self._words(), *targets)

    def let_go(self) -> list[str]:
        """Have the state forget what holds data, so that a destroy leaves it; return addresses."""
        listed = self.terraform.run("state", "list").split()
        # Who may use a bucket of Google's ends with the accounts and roles that it names.
        ours = [one for one in listed if not plans.type_of(one).endswith("_iam_member")]
        kept = [one for one in ours if plans.type_of(one).startswith(KEPT)]
        if kept:
            self.terraform.run("state", "rm", *kept)
        return kept

    def give(self, name: str, value: str) -> None:
        """Set a variable for this time only: it is not kept in the file."""
        self._given[name] = value

    def _words(self) -> list[str]:
        given = [f"-var={name}={value}" for name, value in self._given.items()]
        return ["-input=false", f"-var-file={self.state.file.name}", *given]

    @property
    def _taken_file(self) -> Path:
        return self.folder / "taken-over.tf"

    @property
    def _planned(self) -> Path:
        return self.terraform.data / "planned"
