"""`scripts/image` and what the image is made of; docker itself stands in (no daemon in a test)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imgbatch.cloud import known
from imgbatch.cloud.deployment import Deployment, Head
from imgbatch.storage import open_store
from tests.cloud.google_lab import key_file, tokens
from tests.cloud.lab import Lab
from tests.conftest import ask

if TYPE_CHECKING:
    from tests.cloud.moto_server import Moto

DOCKER = """#!/bin/sh
echo "$*" >>"$DOCKER_LOG"
case "$1 $2" in
    "info ") exit "${DOCKER_INFO:-0}" ;;
    "login --username") grep -q . ;;
    "buildx imagetools") exit 1 ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path, root: Path) -> Path:
    """A checkout of its own without a change, with the environment of this one."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", root.as_uri(), folder], check=True)
    # What is tested is what lies here, committed or not.
    shutil.copy(root / "scripts/image", folder / "scripts/image")
    setup = folder / "scripts/setup"
    setup.write_text("#!/bin/sh\n", "utf-8")
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "as it lies here"], check=True)
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    (folder / ".git/info/exclude").write_text(".venv\n", "utf-8")
    return folder


def image(clone: Path, *words: str, **more: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run the script with a docker that only writes down what it is asked."""
    commands = clone.parent / "bin"
    commands.mkdir(exist_ok=True)
    (commands / "docker").write_text(DOCKER, "utf-8")
    (commands / "docker").chmod(0o755)
    log = clone.parent / "docker.log"
    env = {**os.environ, "PATH": f"{commands}:/usr/bin:/bin", "DOCKER_LOG": str(log), **more}
    script = [str(clone / "scripts/image"), *words]
    done = subprocess.run(script, env=env, capture_output=True, text=True, check=False)
    return done, log.read_text("utf-8") if log.exists() else ""


def test_without_docker_it_says_where_to_get_it(clone: Path, tmp_path: Path) -> None:
    lone = tmp_path / "lone"
    lone.mkdir()
    for name in ("bash", "dirname", "env"):
        (lone / name).symlink_to(str(shutil.which(name)))
    done, _ = image(clone, PATH=str(lone))
    assert done.returncode == 1
    assert "docker is missing: https://" in done.stderr


def test_a_daemon_that_does_not_run_is_told(clone: Path) -> None:
    done, _ = image(clone, DOCKER_INFO="1")
    assert done.returncode == 1
    assert "start its daemon" in done.stderr


def test_a_build_here_is_tagged_with_its_commit_and_says_that_it_is_dirty(clone: Path) -> None:
    commit = subprocess.run(
        ["git", "-C", str(clone), "rev-parse", "--short=12", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert image(clone)[0].stdout == f"image: imgbatch:0.1.0-{commit}\n"
    assert image(clone, ACCEL="cpu")[0].stdout == f"image: imgbatch:0.1.0-{commit}-cpu\n"
    (clone / "README.md").write_text("changed", "utf-8")
    assert image(clone)[0].stdout == f"image: imgbatch:0.1.0-{commit}-dirty\n"


def test_a_dirty_checkout_is_never_pushed(clone: Path) -> None:
    (clone / "jobs/new.py").write_text("", "utf-8")
    done, log = image(clone, "lab")
    assert done.returncode == 1
    assert "commit them first" in done.stderr
    assert "build --" not in log


@pytest.mark.slow
def test_an_image_is_pushed_to_the_deployments_registry_which_then_takes_it(
    clone: Path, moto: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    lab = Lab(moto)
    lab.make()
    known.remember(lab.deployment())
    variables = clone / f"infra/aws/{lab.name}.tfvars.json"
    variables.write_text('{"region": "eu-central-1"}', "utf-8")
    (clone / ".git/info/exclude").write_text(f".venv\n{variables.name}\n", "utf-8")
    done, log = image(clone, lab.name)
    assert done.returncode == 0, done.stderr
    repository = lab.deployment().image.rpartition(":")[0]
    assert f"login --username AWS --password-stdin {repository.partition('/')[0]}" in log
    assert f"--push --tag {repository}:0.1.0-" in log
    assert '"image_tag": "0.1.0-' in variables.read_text("utf-8")
    assert f"scripts/cloud up aws --name {lab.name}" in done.stdout


@pytest.mark.slow
def test_an_image_is_pushed_to_googles_registry_by_a_token_of_whoever_pushes(
    clone: Path, gs_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gs_server)
    ask(f"{gs_server}/storage/v1/b", {"name": "imgbatch-lab"})
    repository = "europe-west4-docker.pkg.dev/pictures-123456/imgbatch-lab/imgbatch"
    told = Deployment(
        format=1,
        name="lab",
        cloud="gcp",
        region="europe-west4",
        account="pictures-123456",
        bucket="gs://imgbatch-lab",
        control="gs://imgbatch-lab/control",
        image=f"{repository}:latest",
        token="imgbatch-lab-ray-token",
        head=Head(group="imgbatch-lab-head", machines=["n2-standard-4"], disk_gib=60),
        pools={},
    )
    known.remember(told)
    open_store(told.control).put("deployment.json", told.model_dump_json().encode())
    with tokens() as url:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file(tmp_path, url)))
        done, log = image(clone, "lab")
    assert done.returncode == 0, done.stderr
    host = repository.partition("/")[0]
    assert f"login --username oauth2accesstoken --password-stdin {host}" in log
    assert f"--push --tag {repository}:0.1.0-" in log
    assert "scripts/cloud up gcp --name lab" in done.stdout


def test_an_unknown_deployment_is_told(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(clone.parent))
    done, log = image(clone, "nowhere")
    assert done.returncode == 1
    assert "no deployment nowhere is known here" in done.stderr
    assert "build --" not in log


def test_the_base_is_pinned_by_its_digest_and_nobody_is_root(root: Path) -> None:
    lines = (root / "Dockerfile").read_text("utf-8").splitlines()
    (base,) = [line for line in lines if line.startswith("ARG BASE=")]
    assert "@sha256:" in base
    assert {line for line in lines if line.startswith("FROM")} == {
        "FROM ${BASE} AS build",
        "FROM ${BASE}",
    }
    last_user = [line for line in lines if line.startswith("USER")][-1]
    assert last_user == "USER 1000"


def test_the_image_decodes_videos_on_gpus_and_holds_no_tests_no_tools_and_no_weights(
    root: Path,
) -> None:
    text = (root / "Dockerfile").read_text("utf-8")
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video" in text
    assert set(re.findall(r"requirements/(\w+)\.txt", text)) == {"uv", "light", "models", "cuda"}
    ignored, *taken = [
        line
        for line in (root / ".dockerignore").read_text("utf-8").splitlines()
        if not line.startswith("#")
    ]
    assert ignored == "*"
    folders = {line for line in taken if "." not in line and "/" not in line}
    assert folders == {"!imgbatch", "!jobs", "!LICENSE"}
    assert not [line for line in taken if "tests" in line or "dev.txt" in line]
    weights = {".onnx", ".pt", ".pth", ".safetensors", ".npz"}
    packed = [path for folder in ("imgbatch", "jobs") for path in (root / folder).rglob("*")]
    assert not [path for path in packed if path.suffix in weights]


def test_onnx_runtime_for_gpus_is_of_the_version_that_everything_else_is_tested_with(
    root: Path,
) -> None:
    pinned = {
        name: (root / f"scripts/requirements/{name}.txt").read_text("utf-8")
        for name in ("models", "cuda")
    }
    (version,) = re.findall(r"^onnxruntime==(\S+)", pinned["models"], re.MULTILINE)
    assert f"onnxruntime-gpu=={version}" in pinned["cuda"]
    # Of CUDA 13, which torch's wheels bring: the path in the Dockerfile says so.
    assert "nvidia-cudnn-cu13==" in pinned["models"]
