"""Who may do what on Google Cloud, by the roles and conditions that Terraform makes.

    rights = Rights(google("gcp"), root)
    rights.may([("worker", "storage.objects.get", "b/objects/control/lease.json"), ...])

The real Terraform tells what the module makes, with a stand-in of Google's provider; conditions are
evaluated by a real implementation of the Common Expression Language. Google's own `extract` is done
by hand here, and what its roles hold stands below, as Google's reference has it.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.infra.conftest import InFolder

Question = tuple[str, str, str]
BUCKET = "imgbatch-lab-pictures-123456-europe-west4"
# Of each, what is asked about here.
ROLES = {
    "roles/storage.objectViewer": ["storage.objects.get", "storage.objects.list"],
    "roles/storage.legacyBucketReader": ["storage.buckets.get", "storage.objects.list"],
    "roles/storage.objectCreator": ["storage.objects.create"],
    "roles/iam.serviceAccountUser": ["iam.serviceAccounts.actAs"],
    "roles/artifactregistry.reader": ["artifactregistry.repositories.downloadArtifacts"],
    "roles/secretmanager.secretAccessor": ["secretmanager.versions.access"],
    "roles/secretmanager.secretVersionManager": [
        "secretmanager.versions.add",
        "secretmanager.versions.destroy",
        "secretmanager.versions.list",
    ],
}
TEST = """
mock_provider "google" {}
%s
run "made" {
  module {
    source = "../modules/gcp/iam"
  }
  variables {
    project    = "pictures-123456"
    region     = "europe-west4"
    prefix     = "imgbatch-lab"
    mark       = "imgbatch-deployment=lab"
    roles      = "ib-lab"
    bucket     = "%s"
    repository = "imgbatch-lab"
    token      = "imgbatch-lab-ray-token"
    access = {
      read = [
        { bucket = "open-pictures", prefix = "2026" },
        { bucket = "our-results", prefix = "x" },
      ]
      write = [{ bucket = "our-results", prefix = "x" }]
    }
  }
}
"""
PERSON = """
override_resource {
  target = google_service_account.%s
  values = { member = "%s", name = "%s", email = "%s" }
}
"""
ROLE = """
override_resource {
  target = google_project_iam_custom_role.%s
  values = { id = "%s" }
}
"""
EVALUATE = """
import json, sys
import cel

def extract(text, template):
    before, _, rest = template.partition("{")
    after = rest.partition("}")[2]
    found = text.partition(before)[2]
    return found.partition(after)[0] if after in found else ""

answers = []
for condition, name in json.load(sys.stdin):
    context = cel.Context()
    context.add_variable("resource", {"name": name})
    context.add_function("extract", extract)
    answers.append(bool(cel.evaluate(condition, context)))
json.dump(answers, sys.stdout)
"""


class Rights:
    """What was granted, as Terraform would make it."""

    def __init__(self, gcp: InFolder, root: Path) -> None:
        self._root = root
        people = [PERSON % (who, who, who, who) for who in ("head", "worker", "timer")]
        roles = [ROLE % (name, name) for name in ("sizes", "looks", "deadlines", "objects")]
        only = gcp.folder / "tests" / "rights.tftest.hcl"
        only.write_text(TEST % ("".join([*people, *roles]), BUCKET), "utf-8")
        gcp("init", "-input=false", "-backend=false")
        said = gcp("test", "-json", "-verbose", f"-filter={only.relative_to(gcp.folder)}").stdout
        lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        (state,) = [one["test_state"] for one in lines if one["type"] == "test_state"]
        made = state["root_module"]["resources"]
        own = {
            one["values"]["id"]: one["values"]["permissions"]
            for one in made
            if one["type"] == "google_project_iam_custom_role"
        }
        self._held = {**ROLES, **own}
        self._grants = [one for one in made if one["type"].endswith("_iam_member")]

    def may(self, questions: Sequence[Question]) -> list[bool]:
        """Return for each of who, permission and resource whether it is granted."""
        asked = [list(self._conditions(*question)) for question in questions]
        pairs = [
            (condition, question[2])
            for question, conditions in zip(questions, asked, strict=True)
            for condition in conditions
        ]
        answers = iter(self._evaluate(pairs))
        return [max([next(answers) for _ in conditions], default=False) for conditions in asked]

    def _conditions(self, who: str, permission: str, resource: str) -> Iterator[str]:
        for one in self._grants:
            values = one["values"]
            granted = values["member"] == who and permission in self._held[values["role"]]
            if granted and _on(one["type"], values) in resource:
                found = values.get("condition") or [{"expression": "true"}]
                yield found[0]["expression"]

    def _evaluate(self, pairs: list[tuple[str, str]]) -> list[bool]:
        tool = [str(self._root / "scripts" / "tools"), "common-expression-language"]
        done = subprocess.run(
            [*tool, "-c", EVALUATE],
            input=json.dumps(pairs),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [bool(one) for one in json.loads(done.stdout)]


def _on(kind: str, values: dict[str, Any]) -> str:
    """Return a part of the name of each resource that a grant is for."""
    if kind == "google_project_iam_member":
        return ""
    told = ("bucket", "secret_id", "repository", "service_account_id")
    return next(f"/{values[name]}" for name in told if name in values)
