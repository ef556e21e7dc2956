"""What `infra/` promises of Google Cloud: its resources enter, what breaks a promise leaves.

As `policies` does, of what is written and not of what is applied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.infra.policies import Block

PROXY = ["35.235.240.0/20"]
# Each lets its holder make machines, take more rights, or undo what protects data.
FORBIDDEN = (
    "cloudscheduler.jobs.create",
    "compute.disks.create",
    "compute.instanceGroupManagers.create",
    "compute.instanceTemplates.",
    "compute.instances.create",
    "compute.instances.set",
    "compute.instances.start",
    "compute.subnetworks.",
    "iam.",
    "resourcemanager.",
    "serviceusage.",
    "storage.buckets.",
    "storage.objects.setIamPolicy",
)
# Roles of Google's own that may be given, and on what.
GIVEN = {
    "roles/artifactregistry.reader": "google_artifact_registry_repository_iam_member",
    "roles/iam.serviceAccountUser": "google_service_account_iam_member",
    "roles/secretmanager.secretAccessor": "google_secret_manager_secret_iam_member",
    "roles/secretmanager.secretVersionManager": "google_secret_manager_secret_iam_member",
    "roles/storage.legacyBucketReader": "google_storage_bucket_iam_member",
    "roles/storage.objectCreator": "google_storage_bucket_iam_member",
    "roles/storage.objectViewer": "google_storage_bucket_iam_member",
}
# They cost money with nothing running, or are machines outside of any group.
NOT_HERE = (
    "google_compute_address",
    "google_compute_autoscaler",
    "google_compute_disk",
    "google_compute_forwarding_rule",
    "google_compute_global_address",
    "google_compute_instance",
    "google_compute_region_autoscaler",
    "google_compute_reservation",
    "google_compute_router_nat",
    "google_container_cluster",
    "google_kms_key_ring",
    "google_service_account_key",
)
GROUP = "google_compute_region_instance_group_manager"
TEMPLATE = "google_compute_region_instance_template"
JOB = "google_cloud_scheduler_job"


def _of(blocks: list[Block], *kinds: str) -> list[Block]:
    return [one for one in blocks if one.mode == "resource" and one.type in kinds]


def _first(body: dict[str, Any], name: str) -> dict[str, Any]:
    return dict((body.get(name) or [{}])[0])


def _ingress(blocks: list[Block]) -> Iterator[str]:
    """Machines take connections from each other, and sessions from Google's proxy: 8265 none."""
    for one in _of(blocks, "google_compute_firewall"):
        if one.body.get("direction", "INGRESS") != "INGRESS":
            continue
        own = one.body.get("source_service_accounts")
        among = own and own == one.body.get("target_service_accounts")
        opened = [port for rule in one.body.get("allow", []) for port in rule.get("ports", ["all"])]
        session = one.body.get("source_ranges") == PROXY and opened == ["22"]
        if "source_tags" in one.body or not (
            session or (among and "source_ranges" not in one.body)
        ):
            yield f"{one}: takes connections from outside of its own machines"
        if not one.body.get("target_service_accounts"):
            yield f"{one}: is for all machines of a network"
    for one in _of(blocks, TEMPLATE):
        if "access_config" in _first(one.body, "network_interface"):
            yield f"{one}: has an address of outside, wanted or not"


def _sizes(blocks: list[Block]) -> Iterator[str]:
    """Every group is empty at first, and nothing but a run and its end sets its size."""
    for one in _of(blocks, GROUP):
        if one.body.get("target_size") != 0:
            yield f"{one}: is not empty at first"
        ignored = [
            name
            for each in one.body.get("lifecycle", [])
            for name in each.get("ignore_changes", [])
        ]
        if "target_size" not in ignored:
            yield f"{one}: an apply would set its size while a run is at work"
        policy = _first(one.body, "update_policy")
        if policy.get("instance_redistribution_type") != "NONE":
            yield f"{one}: redistribution ends machines at work"
        if policy.get("type") != "OPPORTUNISTIC":
            yield f"{one}: an apply would replace machines at work"
    for one in _of(blocks, "google_compute_subnetwork"):
        if one.body.get("ip_cidr_range") != "${each.value}":
            yield f"{one}: has addresses for more machines than its group may have"


def _kills(blocks: list[Block]) -> Iterator[str]:
    """Each group has its deadline, each wake its end, each machine its hours and its watch."""
    jobs = _of(blocks, JOB)
    ends = [
        one for one in jobs if _first(one.body, "http_target").get("uri", "").endswith("?size=0")
    ]
    for one in _of(blocks, GROUP):
        own = [job for job in ends if job.file == one.file and job.name == "deadline"]
        if not own:
            yield f"{one}: has no deadline"
        elif own[0].body.get("paused") is not True:
            yield f"{own[0]}: strikes before a run arms it"
    for one in jobs:
        beside = [job for job in ends if job.file == one.file]
        groups = " ".join(str(job.body.get("for_each", "")) for job in beside)
        if one not in ends and not ("head_group" in groups and "pool_groups" in groups):
            yield f"{one}: wakes machines, and nothing ends all groups"
    for one in _of(blocks, TEMPLATE):
        schedule = _first(one.body, "scheduling")
        if "seconds" not in _first(schedule, "max_run_duration"):
            yield f"{one}: a machine may live for ever"
        if schedule.get("instance_termination_action") != "DELETE":
            yield f"{one}: a machine that is stopped goes on costing"
        if one.body.get("metadata", {}).get("startup-script") != "${var.script}":
            yield f"{one}: boots without the script that brings the watch"


def _templates(blocks: list[Block]) -> Iterator[str]:
    """Machines lose their disks, carry our labels, and let nobody in by a key of the project."""
    for one in _of(blocks, TEMPLATE):
        if not all(disk.get("auto_delete") is True for disk in one.body.get("disk", [{}])):
            yield f"{one}: a disk stays when its machine has gone"
        disks = all("var.labels" in str(disk.get("labels")) for disk in one.body.get("disk", [{}]))
        if not (disks and "var.labels" in str(one.body.get("labels"))):
            yield f"{one}: a machine or its disk is not labelled"
        metadata = one.body.get("metadata", {})
        if metadata.get("block-project-ssh-keys") != "TRUE":
            yield f"{one}: keys of the project open it"
        if _first(one.body, "service_account").get("email") != "${var.account}":
            yield f"{one}: acts as an account that is not its own"


def _marks(blocks: list[Block]) -> Iterator[str]:
    """What takes no label tells by its description of whom it is: the sweep finds it."""
    kinds = (
        GROUP,
        JOB,
        "google_compute_firewall",
        "google_compute_network",
        "google_compute_subnetwork",
        "google_project_iam_custom_role",
        "google_service_account",
    )
    for one in _of(blocks, *kinds):
        if ".mark" not in str(one.body.get("description")):
            yield f"{one}: nobody can tell of whom it is"


def _rights(blocks: list[Block]) -> Iterator[str]:
    """No account may make machines or give rights; Google's own roles are given on one thing."""
    for one in _of(blocks, "google_project_iam_custom_role"):
        for permission in one.body["permissions"]:
            hit = [each for each in FORBIDDEN if permission.startswith(each)]
            if hit:
                yield f"{one}: allows {permission}"
    for one in blocks:
        google = one.mode == "resource" and one.type.startswith("google_")
        if google and "_iam_" in one.type and not one.type.endswith("_role"):
            if not one.type.endswith("_iam_member"):
                yield f"{one}: takes rights away from others"
            yield from (f"{one}: {said}" for said in _given(one))


def _given(one: Block) -> Iterator[str]:
    text = str(one.body)
    for role in sorted({word for word in text.replace('"', "'").split("'") if "roles/" in word}):
        named = [each for each in GIVEN if each in role]
        conditional = one.type == "google_project_iam_member" and "condition" in one.body
        if not named:
            yield f"gives {role}"
        elif GIVEN[named[0]] != one.type and not conditional:
            yield f"gives {role} on more than it is for"


def _standing(blocks: list[Block]) -> Iterator[str]:
    """Nothing is made that costs money while nothing runs, nor a machine outside of a group."""
    for one in _of(blocks, *NOT_HERE):
        yield f"{one}: costs money with nothing running, or is no group's"


def _bucket(blocks: list[Block]) -> Iterator[str]:
    """The bucket is private and keeps former versions."""
    for one in _of(blocks, "google_storage_bucket"):
        if one.body.get("public_access_prevention") != "enforced":
            yield f"{one}: may be made public"
        if _first(one.body, "versioning").get("enabled") is not True:
            yield f"{one}: keeps no former version"


RULES = (_ingress, _sizes, _kills, _templates, _marks, _rights, _standing, _bucket)
