"""`cloud up` and `down` on Google Cloud: real Terraform, its real backend `gcs`, a real lock.

The root here makes nothing of Google's: its provider is not to be had everywhere. What the real one
makes is looked at in test_modules.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.storage import open_store
from tests.cloud.fake import deployment
from tests.cloud.gcp_fake import PROJECT, REGION, google_cloud
from tests.conftest import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT = """
terraform {
  backend "gcs" {}
}
variable "name" { type = string }
variable "project" { type = string }
variable "region" { type = string }
variable "most" {
  type    = number
  default = 8
}
variable "destroy_data" { default = false }
resource "terraform_data" "group" { input = var.most }
output "deployment" { value = merge(%s, { name = var.name, account = var.project }) }
"""
STATE = f"imgbatch-state-{PROJECT}-{REGION}"


class Laptop:
    """A clone with that root, whose Google is on loopback."""

    def __init__(self, folder: Path, root: Path, bucket: str, environment: dict[str, str]) -> None:
        self.folder = folder
        self._environment = {**environment, "XDG_CONFIG_HOME": str(folder / "config")}
        shutil.copytree(root / "imgbatch", folder / "imgbatch")
        (folder / "infra" / "gcp").mkdir(parents=True)
        told = {
            **deployment().model_dump(),
            "cloud": "gcp",
            "region": REGION,
            "bucket": f"gs://{bucket}",
            "control": f"gs://{bucket}/control",
        }
        told = {key: value for key, value in told.items() if key not in ("name", "account")}
        (folder / "infra" / "gcp" / "main.tf").write_text(ROOT % json.dumps(told))

    def cloud(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "imgbatch", "cloud", *words],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def put(self, name: str, text: str) -> None:
        open_store(f"gs://{STATE}").put(name, text.encode())

    @property
    def variables(self) -> dict[str, Any]:
        raw: dict[str, Any] = json.loads(
            (self.folder / "infra" / "gcp" / "lab.tfvars.json").read_text()
        )
        return raw


@pytest.fixture
def laptop(
    tmp_path: Path,
    root: Path,
    gs_server: str,
    terraform_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Laptop]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gs_server)
    bucket = f"imgbatch-{tmp_path.name[-20:].strip('_').replace('_', '-')}"
    with google_cloud(tmp_path):
        ask(f"{gs_server}/storage/v1/b", {"name": bucket})
        yield Laptop(tmp_path / "clone", root, bucket, {**terraform_environment, **os.environ})


@pytest.mark.slow
def test_up_and_down_keep_a_state_that_google_locks(laptop: Laptop) -> None:
    words = ("gcp", "--name", "lab", "--region", REGION, "--yes")
    said = laptop.cloud("up", *words)
    assert f"making gs://{STATE}" in said
    assert "lab is up in us-central1" in said
    assert laptop.variables == {"name": "lab", "project": PROJECT, "region": REGION, "most": 8}
    assert "nothing to do" in laptop.cloud("up", *words)
    said = laptop.cloud("down", *words)
    assert f"gs://{STATE}/lab keeps the variables" in said
    # The variables outlive it, and a lock that a killed Terraform left is told and taken away.
    lock = {"ID": "1795273209", "Operation": "OperationTypePlan", "Who": "ada@desk"}
    laptop.put("lab/default.tflock", json.dumps({**lock, "Created": "2026-11-21T08:00:00Z"}))
    said = laptop.cloud("up", *words, code=29)
    assert "held by ada@desk" in said
    (held,) = re.findall(r"--unlock (\d+)", said)
    assert "lab is up in us-central1" in laptop.cloud("up", *words, "--unlock", held)
