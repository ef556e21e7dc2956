"""The user data of a machine, filled in by the real `terraform console`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

BOOT = Path(__file__).parents[2] / "infra" / "boot"
WORKER = {
    "cloud": "aws",
    "name": "lab",
    "region": "eu-central-1",
    "control": "s3://imgbatch-lab-123456789012/control",
    "image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/imgbatch-lab:1",
    "registry": "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    "role": "worker",
    "pool": "gpu",
    "group": "imgbatch-lab-gpu",
    "gpu": True,
    "token": "/imgbatch/lab/ray-token",
}
_LEADS = {"role": "head", "pool": "", "group": "imgbatch-lab-head", "gpu": False}
HEAD = {**WORKER, **_LEADS}
GOOGLE_WORKER = {
    **WORKER,
    "cloud": "gcp",
    "region": "europe-west4",
    "control": "gs://imgbatch-lab-pictures-123456-europe-west4/control",
    "image": "europe-west4-docker.pkg.dev/pictures-123456/imgbatch-lab/imgbatch:1",
    "registry": "europe-west4-docker.pkg.dev",
    "token": "imgbatch-lab-ray-token",
}
GOOGLE_HEAD = {**GOOGLE_WORKER, **_LEADS}


def need(program: str, where: str) -> str:
    """Return the path of a program; without it, skip the test, or fail it in CI."""
    own = str(Path(sys.executable).parent)
    found = shutil.which(program, path=f"{own}{os.pathsep}{os.environ['PATH']}")
    if found:
        return found
    said = f"this test needs {program}: {where}"
    if os.environ.get("CI") == "true":
        pytest.fail(said)
    pytest.skip(said)


def render(variables: dict[str, object], **texts: str) -> str:
    """Return user data. `texts` replace what would be read of infra/boot."""
    terraform = need("terraform", "https://developer.hashicorp.com/terraform/install")
    whole = {
        "functions": (BOOT / f"{variables['cloud']}.sh").read_text("utf-8"),
        "watch": (BOOT / "watch.sh").read_text("utf-8"),
        "boot": (BOOT / "boot.sh").read_text("utf-8"),
        **variables,
        **texts,
    }
    with tempfile.TemporaryDirectory() as folder:
        values = Path(folder) / "values.json"
        values.write_text(json.dumps(whole), "utf-8")
        call = f'templatefile("{BOOT}/boot.sh.tftpl", jsondecode(file("{values}")))'
        done = subprocess.run(
            [terraform, "console"],
            input=f"jsonencode({call})",
            cwd=folder,
            env={**os.environ, "TF_CLI_CONFIG_FILE": os.devnull},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    # The console prints a string as a literal of its language, of which JSON's are a part.
    return str(json.loads(json.loads(done.stdout)))
