"""What the accounts of a deployment on Google Cloud may do, and what they may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.infra.google_rights import BUCKET, Rights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.infra.conftest import InFolder

    Terraform = Callable[[str], InFolder]

HERE = f"projects/_/buckets/{BUCKET}"
OBJECTS = f"{HERE}/objects"
ELSEWHERE = "projects/_/buckets"
PROJECT = "projects/pictures-123456"
TOKEN = f"{PROJECT}/secrets/imgbatch-lab-ray-token"
GROUP = f"{PROJECT}/regions/europe-west4/instanceGroupManagers/imgbatch-lab-gpu"
JOB = f"{PROJECT}/locations/europe-west4/jobs/imgbatch-lab-gpu-deadline"
GET, CREATE = "storage.objects.get", "storage.objects.create"
DELETE, LIST = "storage.objects.delete", "storage.objects.list"

MAY = [
    ("worker", GET, f"{OBJECTS}/control/lease.json"),
    ("worker", GET, f"{OBJECTS}/control/deployment.json"),
    ("worker", GET, f"{OBJECTS}/control/runs/r1/state.json"),
    ("worker", GET, f"{OBJECTS}/orders/cats.jpg"),
    ("worker", CREATE, f"{OBJECTS}/control/runs/r1/boots/1.json"),
    ("worker", CREATE, f"{OBJECTS}/datasets/cats/parts/0.parquet"),
    ("worker", DELETE, f"{OBJECTS}/datasets/cats/lock.json"),
    ("worker", CREATE, f"{OBJECTS}/controls/x"),
    ("worker", LIST, HERE),
    ("worker", GET, f"{ELSEWHERE}/open-pictures/objects/2026/a.jpg"),
    ("worker", LIST, f"{ELSEWHERE}/open-pictures"),
    ("worker", CREATE, f"{ELSEWHERE}/our-results/objects/x/part"),
    ("worker", "compute.instanceGroupManagers.update", GROUP),
    ("worker", "secretmanager.versions.access", TOKEN),
    (
        "worker",
        "artifactregistry.repositories.downloadArtifacts",
        f"{PROJECT}/locations/europe-west4/repositories/imgbatch-lab",
    ),
    ("head", CREATE, f"{OBJECTS}/control/lease.json"),
    ("head", DELETE, f"{OBJECTS}/control/lease.json"),
    ("head", GET, f"{OBJECTS}/control/orders/r1.json"),
    ("head", DELETE, f"{OBJECTS}/control/orders/r1.json"),
    ("head", CREATE, f"{OBJECTS}/control/runs/r1/state.json"),
    ("head", GET, f"{OBJECTS}/control/deployment.json"),
    ("head", CREATE, f"{OBJECTS}/datasets/cats/parts/0.parquet"),
    ("head", "compute.instanceGroupManagers.update", GROUP),
    ("head", "compute.globalOperations.list", PROJECT),
    ("head", "cloudscheduler.jobs.update", JOB),
    ("head", "cloudscheduler.jobs.enable", JOB),
    ("head", "iam.serviceAccounts.actAs", f"{PROJECT}/serviceAccounts/timer"),
    ("head", "secretmanager.versions.add", TOKEN),
    ("head", "secretmanager.versions.destroy", TOKEN),
    ("timer", "compute.instanceGroupManagers.update", GROUP),
]
MAY_NOT = [
    ("worker", CREATE, f"{OBJECTS}/control/lease.json"),
    ("worker", DELETE, f"{OBJECTS}/control/lease.json"),
    ("worker", CREATE, f"{OBJECTS}/control/deployment.json"),
    ("worker", CREATE, f"{OBJECTS}/control/orders/r1.json"),
    ("worker", GET, f"{OBJECTS}/control/orders/r1.json"),
    ("worker", GET, f"{OBJECTS}/control/schedules/weekly.json"),
    ("worker", GET, f"{OBJECTS}/control/runs/r1/order.json"),
    ("worker", CREATE, f"{OBJECTS}/control/runs/r1/state.json"),
    ("worker", CREATE, f"{OBJECTS}/control/runs/r1/ledger.jsonl"),
    ("worker", CREATE, f"{OBJECTS}/control/boots/1.json"),
    ("worker", DELETE, f"{OBJECTS}/control/runs/r1/boots/1.json"),
    ("worker", CREATE, f"{ELSEWHERE}/open-pictures/objects/2026/a.jpg"),
    ("worker", GET, f"{ELSEWHERE}/open-pictures/objects/2025/a.jpg"),
    ("worker", GET, f"{ELSEWHERE}/open-pictures/objects/20266/a.jpg"),
    ("worker", GET, f"{ELSEWHERE}/open-pictures-2/objects/2026/a.jpg"),
    ("worker", CREATE, f"{ELSEWHERE}/our-results/objects/y"),
    ("worker", GET, f"{ELSEWHERE}/somebody-elses/objects/a"),
    ("worker", LIST, f"{ELSEWHERE}/somebody-elses"),
    ("worker", "cloudscheduler.jobs.pause", JOB),
    ("worker", "cloudscheduler.jobs.update", JOB),
    ("worker", "secretmanager.versions.add", TOKEN),
    ("worker", "secretmanager.versions.access", TOKEN.replace("lab", "other")),
    ("worker", "iam.serviceAccounts.actAs", f"{PROJECT}/serviceAccounts/timer"),
    ("head", CREATE, f"{OBJECTS}/control/deployment.json"),
    ("head", DELETE, f"{OBJECTS}/control/deployment.json"),
    ("head", "iam.serviceAccounts.actAs", f"{PROJECT}/serviceAccounts/worker"),
    ("head", "secretmanager.versions.access", TOKEN.replace("lab", "other")),
    ("timer", GET, f"{OBJECTS}/control/lease.json"),
    ("timer", LIST, HERE),
    ("timer", "cloudscheduler.jobs.update", JOB),
    *[
        (who, permission, PROJECT)
        for who in ("head", "worker", "timer")
        for permission in (
            "compute.instances.create",
            "compute.instanceTemplates.create",
            "compute.instanceTemplates.useReadOnly",
            "compute.subnetworks.expandIpCidrRange",
            "cloudscheduler.jobs.create",
            "resourcemanager.projects.setIamPolicy",
            "storage.buckets.update",
        )
    ],
]


@pytest.mark.slow
def test_accounts_may_what_they_do_and_no_more(google: Terraform, root: Path) -> None:
    rights = Rights(google("gcp"), root)
    may = rights.may(MAY)
    assert [question for question, yes in zip(MAY, may, strict=True) if not yes] == []
    may_not = rights.may(MAY_NOT)
    assert [question for question, yes in zip(MAY_NOT, may_not, strict=True) if yes] == []
