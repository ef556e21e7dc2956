"""The real Terraform on a copy of `infra/`, with the providers that this machine has."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Where an administrator of a machine without a network puts providers.
MIRRORS = (
    "/opt/*",
    "/usr/share/terraform/*",
    "/usr/local/share/terraform/*",
    str(Path.home() / ".terraform.d" / "plugins"),
)
ADDRESS = "registry.terraform.io/hashicorp"


@pytest.fixture(scope="session")
def terraform_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables with which the real Terraform finds the providers that this machine has.

    Without any, `terraform init` downloads them. Where Terraform itself is missing, the test is
    skipped; in CI it fails.
    """
    if not shutil.which("terraform"):
        _lack("Terraform 1.11 or newer: https://developer.hashicorp.com/terraform/install")
    settings = tmp_path_factory.mktemp("terraform") / "settings.tfrc"
    settings.write_text("disable_checkpoint = true\n" + _installation(), "utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    told = {"TF_CLI_CONFIG_FILE": str(settings), "TF_IN_AUTOMATION": "1"}
    # Each command loads all of the provider's schema: a tenth less to compute, 60 MB more to hold.
    return {**kept, **told, "GOGC": "400"}


def _lack(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"this test needs {what}")
    pytest.skip(f"this test needs {what}")


def _installation() -> str:
    for pattern in MIRRORS:
        anchor = Path(pattern)
        folders = sorted(anchor.parent.glob(anchor.name))
        for folder in folders:
            if (folder / ADDRESS / "aws").is_dir():
                mirror = f'filesystem_mirror {{\n    path = "{folder}"\n  }}'
                return f"provider_installation {{\n  {mirror}\n}}\n"
    return ""


@pytest.fixture(scope="session")
def google_environment(
    terraform_environment: dict[str, str],
    shared: Path,
    root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """Variables with which the real Terraform finds a stand-in for Google's provider.

    The provider itself is not to be had here. The stand-in knows its schema: which resources,
    blocks and arguments there are, of which types, and which must be given. It knows no values and
    can plan nothing without mocks; so this is schema-checked, and not validated by the provider.
    """
    stand_in = shared / "tools" / "google-provider-stub" / "terraform-provider-google.py"
    if not stand_in.exists():
        pytest.skip(f"this test needs a stand-in for Google's provider: {stand_in}")
    mirror = tmp_path_factory.mktemp("mirror")
    folder = mirror / ADDRESS / "google" / "6.50.0" / "linux_amd64"
    folder.mkdir(parents=True)
    wrapper = folder / "terraform-provider-google_v6.50.0"
    schema = mirror / "schema.json"
    schema.write_text(_used(stand_in.with_name("google-6.50.0.json"), root / "infra"), "utf-8")
    call = f'TF_STUB_SCHEMA="{schema}" exec "{root}/scripts/tools" tf "{stand_in}" "$@"'
    wrapper.write_text(f"#!/bin/sh\n{call}\n", encoding="utf-8")
    wrapper.chmod(0o755)
    settings = mirror / "settings.tfrc"
    settings.write_text(
        "disable_checkpoint = true\n"
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n',
        encoding="utf-8",
    )
    return {**terraform_environment, "TF_CLI_CONFIG_FILE": str(settings)}


def _used(schema: Path, infra: Path) -> str:
    """Return of a provider's schema what files use: Terraform asks for all of it in each run."""
    whole = json.loads(schema.read_text("utf-8"))
    texts = [file.read_text("utf-8") for file in (infra / "modules" / "gcp").rglob("*.tf")]
    texts += [file.read_text("utf-8") for file in (infra / "gcp").glob("*.tf")]
    names = set(re.findall(r"google_\w+", "\n".join(texts)))
    for kind in ("resource", "data"):
        whole[kind] = {name: one for name, one in whole[kind].items() if name in names}
    return json.dumps(whole)


class InFolder:
    """Terraform in one folder of a copy of `infra/`: `run("validate")`, `run("plan", check=False)`.

    With check, a failure fails the test with what was printed.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def __call__(
        self, *words: str, check: bool = True, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["terraform", *words],
            cwd=self.folder,
            env={**self.environment, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            line = f"terraform {' '.join(words)} ended with {done.returncode}"
            pytest.fail(f"{line}\n{done.stdout}\n{done.stderr}")
        return done


@pytest.fixture
def terraform(
    tmp_path: Path, root: Path, terraform_environment: dict[str, str]
) -> Callable[[str], InFolder]:
    """What gives a copy of a folder of `infra/` and runs the real Terraform in it.

    A copy, so that no lock file, `.terraform` or state comes to lie in the checkout, and so that a
    test may spoil a file and see it refused.
    """
    return _copies(tmp_path, root, terraform_environment)


@pytest.fixture
def google(
    tmp_path: Path, root: Path, google_environment: dict[str, str]
) -> Callable[[str], InFolder]:
    """The same, where Google's provider has a stand-in."""
    return _copies(tmp_path, root, google_environment)


def _copies(
    tmp_path: Path, root: Path, environment: Mapping[str, str]
) -> Callable[[str], InFolder]:
    copy = tmp_path / "infra"

    def within(folder: str) -> InFolder:
        if not copy.exists():
            left_out = shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars.json")
            shutil.copytree(root / "infra", copy, ignore=left_out)
        return InFolder(copy / folder, environment)

    return within
