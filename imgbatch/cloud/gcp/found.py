"""What Terraform is to make enters; the ids of what is there already, by its name, leave.

For a state that was lost, or not written to its end. Nothing of Google's has an id but its name:
each is asked for, and what answers is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.cloud.gcp.errors import Refusal, told
from imgbatch.cloud.gcp.rest import Google

if TYPE_CHECKING:
    from collections.abc import Mapping

# By type of Terraform: the service, the path to ask and what an import is told where that differs.
# Names in braces are arguments; {project} and {region} are the deployment's.
_SCHEDULER = "projects/{project}/locations/{region}/jobs/{name}"
_GROUP = "projects/{project}/regions/{region}/instanceGroupManagers/{name}"
_SUBNET = "projects/{project}/regions/{region}/subnetworks/{name}"
_ROLE = "projects/{project}/roles/{role_id}"
_SECRET = "projects/{project}/secrets/{secret_id}"  # noqa: S105 - a path
_IMAGES = "projects/{project}/locations/{region}/repositories/{repository_id}"
_PERSON = "projects/{project}/serviceAccounts/{account_id}@{project}.iam.gserviceaccount.com"
TYPES = {
    "google_artifact_registry_repository": ("artifactregistry", f"v1/{_IMAGES}", _IMAGES),
    "google_cloud_scheduler_job": ("cloudscheduler", f"v1/{_SCHEDULER}", _SCHEDULER),
    "google_compute_firewall": (
        "compute",
        "projects/{project}/global/firewalls/{name}",
        "projects/{project}/global/firewalls/{name}",
    ),
    "google_compute_network": (
        "compute",
        "projects/{project}/global/networks/{name}",
        "projects/{project}/global/networks/{name}",
    ),
    "google_compute_region_instance_group_manager": ("compute", _GROUP, _GROUP),
    "google_compute_subnetwork": ("compute", _SUBNET, _SUBNET),
    "google_project_iam_custom_role": ("iam", f"v1/{_ROLE}", _ROLE),
    "google_secret_manager_secret": ("secretmanager", f"v1/{_SECRET}", _SECRET),
    "google_service_account": ("iam", f"v1/{_PERSON}", _PERSON),
}


def ids(
    region: str, deployment: str, wanted: Mapping[str, tuple[str, Mapping[str, Any]]]
) -> dict[str, str]:
    """Return the id of what is there already, by address.

    Args:
        region: of the deployment.
        deployment: its name; each name that is asked for has it in it.
        wanted: type and arguments of what is to be made, by address.

    Raises:
        CloudError: Google does not say.
    """
    google = Google(region)
    place = {"project": google.project, "region": region}
    found = {}
    with told(f"looking what of {deployment} is there"):
        for address, (kind, arguments) in wanted.items():
            if kind not in TYPES:
                continue
            service, path, known = TYPES[kind]
            words = {key: value for key, value in arguments.items() if isinstance(value, str)}
            try:
                google.get(service, path.format(**{**words, **place}))
            except (KeyError, Refusal) as error:
                # What has no name yet cannot be there.
                if isinstance(error, Refusal) and not error.missing:
                    raise
            else:
                found[address] = known.format(**{**words, **place})
    return found
