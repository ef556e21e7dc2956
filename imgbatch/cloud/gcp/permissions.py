"""A project enters; a line per use leaves: what these credentials may not do in it.

Google answers for permissions without anything being tried (`testIamPermissions`), as the policy of
the project has them: what is granted on a single bucket or secret alone is not seen here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.cloud import Check
from imgbatch.cloud.gcp.errors import told
from imgbatch.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.cloud.gcp.rest import Google

# What `imgbatch cloud` itself asks for, by what it is asked about.
USER = {
    "compute": (
        "instanceGroupManagers.get",
        "instanceGroupManagers.list",
        "instanceGroupManagers.update",
        "instances.get",
        "instances.list",
        "projects.get",
        "regions.get",
        "regions.list",
        "zoneOperations.list",
    ),
    "cloudscheduler": ("jobs.get", "jobs.update", "jobs.enable", "jobs.pause"),
    "secretmanager": ("versions.access",),
    "storage": ("objects.list", "objects.get", "objects.create", "objects.delete"),
}
# What Terraform needs besides, to make a deployment and to destroy it.
DEPLOYER = {
    "artifactregistry": ("repositories.create", "repositories.delete", "repositories.get"),
    "cloudscheduler": ("jobs.create", "jobs.delete"),
    "compute": (
        "disks.create",
        "firewalls.create",
        "firewalls.delete",
        "instanceGroupManagers.create",
        "instanceGroupManagers.delete",
        "instanceTemplates.create",
        "instanceTemplates.delete",
        "instances.create",
        "networks.create",
        "networks.delete",
        "subnetworks.create",
        "subnetworks.delete",
    ),
    "iam": (
        "roles.create",
        "roles.delete",
        "serviceAccounts.actAs",
        "serviceAccounts.create",
        "serviceAccounts.delete",
    ),
    "resourcemanager": ("projects.setIamPolicy",),
    "secretmanager": ("secrets.create", "secrets.delete", "secrets.setIamPolicy"),
    "storage": ("buckets.create", "buckets.delete", "buckets.update", "buckets.setIamPolicy"),
}


def permissions(google: Google) -> Iterator[Check]:
    """Yield a line per service for using a deployment, and for making one."""
    for use, services in (("to run", USER), ("to make", DEPLOYER)):
        for service, verbs in services.items():
            yield _tested(google, f"may, {use}: {service}", service, verbs)


def _tested(google: Google, title: str, service: str, verbs: tuple[str, ...]) -> Check:
    wanted = [f"{service}.{verb}" for verb in verbs]
    path = f"v1/projects/{google.project}:testIamPermissions"
    try:
        with told(f"asking what may be done with {service}"):
            found = google.post("cloudresourcemanager", path, {"permissions": wanted})
    except CloudError as error:
        return Check(title, "unknown", str(error), error.remedy)
    lacking = sorted(set(wanted) - set(found.get("permissions", [])))
    if not lacking:
        return Check(title, "ok", f"{len(wanted)} permissions")
    fix = "Have these granted in the project; infra/README.md lists all."
    return Check(title, "failed", f"not granted: {', '.join(lacking)}", fix)
