"""A clone of imgbatch in a folder of a test's own, on an account of AWS that is not one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cloud.moto_server import REGION, Moto

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME = "lab"
PATIENCE = 120


@dataclass(frozen=True)
class Clone:
    """Where `imgbatch cloud` runs as a user's: settings, variables and state are its own."""

    folder: Path
    aws: Moto
    environment: Mapping[str, str]

    @property
    def terraform_folder(self) -> Path:
        return self.folder / "infra" / "aws"

    @property
    def state_bucket(self) -> str:
        return f"imgbatch-state-123456789012-{REGION}"

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command of `imgbatch cloud`; nobody sits at its terminal."""
        return subprocess.Popen(
            [sys.executable, "-m", "imgbatch", "cloud", *words],
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def cloud(self, *words: str, code: int = 0) -> str:
        """Run a command of `imgbatch cloud`; return what it printed."""
        process = self.start(*words)
        printed, _ = process.communicate()
        assert process.returncode == code, printed
        return printed

    def terraform(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Terraform itself on the state of the deployment."""
        return subprocess.run(
            ["terraform", *words],
            cwd=self.terraform_folder,
            env={**self.environment, "TF_DATA_DIR": f".terraform/{NAME}"},
            capture_output=True,
            text=True,
            check=False,
        )

    def actions(self) -> list[dict[str, Any]]:
        """Return what the cloud is to do with groups by itself."""
        said = self.aws.client("autoscaling").describe_scheduled_actions()
        return list(said["ScheduledUpdateGroupActions"])

    def read(self, key: str) -> Any:
        """Return JSON of the state's bucket; None: it is not there."""
        s3 = self.aws.client("s3")
        try:
            return json.loads(s3.get_object(Bucket=self.state_bucket, Key=key)["Body"].read())
        except s3.exceptions.NoSuchKey:
            return None


@contextlib.contextmanager
def clone(
    folder: Path, root: Path, aws: Moto, terraform_environment: Mapping[str, str]
) -> Iterator[Clone]:
    """Copy what a clone has to make machines with, and point it to a server."""
    for part in ("imgbatch", "infra"):
        left_out = shutil.ignore_patterns("__pycache__", ".terraform*", "*.tfvars.json")
        shutil.copytree(root / part, folder / part, ignore=left_out)
    environment = {
        **terraform_environment,
        **aws.environment(),
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CONFIG_HOME": str(folder / "settings"),
    }
    environment.pop("AWS_PROFILE", None)
    yield Clone(folder, aws, environment)


def children(pid: int) -> list[int]:
    """Return the processes that a process started."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(what: Any) -> None:
    """Wait until something is so; fail where it never is."""
    end = time.monotonic() + PATIENCE
    while not what():
        if time.monotonic() > end:
            pytest.fail("that never came")
        time.sleep(0.2)


def kill(pid: int) -> None:
    """End a process as a power cut does."""
    os.kill(pid, 9)
