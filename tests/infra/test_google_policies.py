"""What `infra/` promises of Google Cloud; each rule is shown to see what breaks it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.infra.policies import broken

GCP = "modules/gcp"
# file, what stands there (a pattern), what a mistake would make of it, what is then said
MISTAKES = {
    "ssh from anywhere": (
        f"{GCP}/network/main.tf",
        r'\["35.235.240.0/20"\]',
        '["0.0.0.0/0"]',
        "from outside of its own machines",
    ),
    "the dashboard through the proxy": (
        f"{GCP}/network/main.tf",
        r'ports    = \["22"\]',
        'ports = ["22", "8265"]',
        "from outside of its own machines",
    ),
    "a rule for machines of others": (
        f"{GCP}/network/main.tf",
        r"target_service_accounts = var.machines\n\n  allow \{\n    protocol = \"tcp\"\n    ports",
        'allow {\n    protocol = "tcp"\n    ports',
        "for all machines of a network",
    ),
    "addresses without end": (
        f"{GCP}/network/main.tf",
        r"ip_cidr_range +=.*",
        'ip_cidr_range = "10.0.0.0/8"',
        "addresses for more machines",
    ),
    "an address of outside": (
        f"{GCP}/pool/main.tf",
        r"subnetwork = var.subnet",
        "subnetwork = var.subnet\n    access_config {}",
        "an address of outside",
    ),
    "a pool that starts with machines": (
        f"{GCP}/pool/main.tf",
        r"target_size +=.*",
        "target_size = 1",
        "is not empty at first",
    ),
    "an apply sets sizes": (
        f"{GCP}/pool/main.tf",
        r"ignore_changes = \[target_size\]",
        "ignore_changes = []",
        "set its size while a run is at work",
    ),
    "redistribution": (
        f"{GCP}/pool/main.tf",
        r'instance_redistribution_type = "NONE"',
        'instance_redistribution_type = "PROACTIVE"',
        "redistribution ends",
    ),
    "machines that an apply replaces": (
        f"{GCP}/head/main.tf",
        r'"OPPORTUNISTIC"',
        '"PROACTIVE"',
        "replace machines at work",
    ),
    "a deadline that grows": (
        f"{GCP}/pool/main.tf",
        r"resize}\?size=0",
        "resize}?size=8",
        "has no deadline",
    ),
    "a deadline that strikes at new year": (
        f"{GCP}/pool/main.tf",
        r"paused +=.*",
        "paused = false",
        "before a run arms it",
    ),
    "a wake without its kill": (
        f"{GCP}/schedule/main.tf",
        r"concat\(\[var.head_group\], var.pool_groups\)",
        "[var.head_group]",
        "nothing ends all groups",
    ),
    "machines that live for ever": (
        f"{GCP}/pool/main.tf",
        r"seconds = .*",
        "",
        "live for ever",
    ),
    "machines that are stopped": (
        f"{GCP}/pool/main.tf",
        r'instance_termination_action = "DELETE"',
        'instance_termination_action = "STOP"',
        "goes on costing",
    ),
    "a machine without a watch": (
        f"{GCP}/head/main.tf",
        r"startup-script +=.*",
        "",
        "without the script",
    ),
    "disks that stay": (
        f"{GCP}/pool/main.tf",
        r"auto_delete +=.*",
        "auto_delete = false",
        "a disk stays",
    ),
    "disks that nobody finds": (
        f"{GCP}/pool/main.tf",
        r"labels +=.*(\n  \}\n\n  network_interface)",
        r"\1",
        "not labelled",
    ),
    "keys of the project": (
        f"{GCP}/pool/main.tf",
        r"block-project-ssh-keys.*",
        "",
        "keys of the project",
    ),
    "an account of everybody's": (
        f"{GCP}/pool/main.tf",
        r"email  = var.account",
        "",
        "not its own",
    ),
    "a head that makes machines": (
        f"{GCP}/iam/main.tf",
        r'"compute.instances.get"',
        '"compute.instances.create"',
        "allows compute.instances.create",
    ),
    "a worker that changes templates": (
        f"{GCP}/iam/main.tf",
        r'permissions = \["compute.instanceGroupManagers.update"\]',
        'permissions = ["compute.instanceTemplates.useReadOnly"]',
        "allows compute.instanceTemplates.useReadOnly",
    ),
    "a role that nobody finds": (
        f"{GCP}/iam/main.tf",
        r"; \$\{var.mark\}\"\n  permissions",
        '"\n  permissions',
        "of whom it is",
    ),
    "an editor": (
        f"{GCP}/iam/main.tf",
        r'"roles/artifactregistry.reader"',
        '"roles/editor"',
        "gives roles/editor",
    ),
    "images of all the project": (
        f"{GCP}/iam/main.tf",
        r'resource "google_artifact_registry_repository_iam_member" "pull"',
        'resource "google_project_iam_member" "pull"',
        "on more than it is for",
    ),
    "rights that are taken from others": (
        f"{GCP}/iam/main.tf",
        r"google_secret_manager_secret_iam_member\" \"set\"",
        'google_secret_manager_secret_iam_binding" "set"',
        "away from others",
    ),
    "a gateway that costs all month": (
        f"{GCP}/network/main.tf",
        r"\Z",
        '\nresource "google_compute_router_nat" "out" {\n  name = "out"\n}\n',
        "costs money with nothing running",
    ),
    "a bucket for everybody": (
        f"{GCP}/storage/main.tf",
        r'"enforced"',
        '"inherited"',
        "made public",
    ),
    "a bucket that forgets": (
        f"{GCP}/storage/main.tf",
        r"versioning \{\n    enabled = true",
        "versioning {\n    enabled = false",
        "no former version",
    ),
    "nothing is labelled": ("gcp/versions.tf", r"default_labels.*", "", "tags nothing"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_seen(root: Path, tmp_path: Path, mistake: str) -> None:
    name, pattern, instead, said = MISTAKES[mistake]
    # One module is enough, and quicker.
    copy = shutil.copytree((root / "infra" / name).parent, tmp_path / "spoilt")
    file = copy / Path(name).name
    text, count = re.subn(pattern, instead, file.read_text("utf-8"), count=1)
    assert count == 1, "the file does not hold what the mistake is made in"
    file.write_text(text, "utf-8")
    lines = broken(copy)
    assert any(said in line for line in lines), lines
