"""Who imports whom: the contracts of pyproject.toml hold, each one bites, and imports are quiet."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HEAVY = (
    "av",
    "boto3",
    "cv2",
    "deltalake",
    "google",
    "numpy",
    "obstore",
    "PIL",
    "pyarrow",
    "ray",
    "skimage",
    "sklearn",
)

# Contract, module, and a line there that breaks it.
WRONG = (
    ("layers", "imgbatch/errors.py", "import imgbatch.records"),
    ("layers", "imgbatch/storage/local.py", "import imgbatch.preprocess"),
    ("layers", "imgbatch/media/gate.py", "import imgbatch.dataset"),
    ("layers", "imgbatch/a_module_without_a_room.py", ""),
    ("no-jobs", "imgbatch/run.py", "import jobs.analyze"),
    ("ray", "imgbatch/crew/board.py", "import ray"),
    ("deltalake", "imgbatch/report/new.py", "import deltalake"),
    ("deltalake", "jobs/new.py", "from deltalake import DeltaTable"),
    ("duckdb", "imgbatch/report/new.py", "import duckdb"),
    ("duckdb", "jobs/new.py", "from duckdb import connect"),
    ("storage-sdks", "imgbatch/sources/listing.py", "import obstore"),
    ("storage-sdks", "imgbatch/sources/listing.py", "import boto3"),
    ("storage-sdks", "imgbatch/dataset/delta.py", "from google.cloud import storage"),
    ("decoders", "imgbatch/preprocess/__init__.py", "import simplejpeg"),
    ("decoders", "imgbatch/analyzers/new.py", "import pillow_heif"),
    ("decoders", "imgbatch/analyzers/new.py", "import av"),
    ("analyzers", "imgbatch/analyzers/new.py", "import imgbatch.analyzers.newer"),
    ("media", "imgbatch/media/raster.py", "import imgbatch.media.video"),
)


def lint_imports(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [command, "--no-cache", "--no-logo", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_contracts_hold(root: Path) -> None:
    result = lint_imports(root)
    assert result.returncode == 0, result.stdout + result.stderr


def test_each_contract_is_shown_to_bite(root: Path) -> None:
    told = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    contracts = told["tool"]["importlinter"]["contracts"]
    assert {contract["id"] for contract in contracts} == {contract for contract, _, _ in WRONG}


@pytest.mark.slow
@pytest.mark.parametrize(("contract", "module", "line"), WRONG)
def test_a_wrong_import_breaks_its_contract(
    contract: str, module: str, line: str, root: Path, tmp_path: Path
) -> None:
    for package in ("imgbatch", "jobs"):
        shutil.copytree(root / package, tmp_path / package, ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(root / "pyproject.toml", tmp_path)
    for name in ("analyzers/newer.py", "media/raster.py", "media/video.py"):
        (tmp_path / "imgbatch" / name).touch()
    assert lint_imports(tmp_path, "--contract", contract).returncode == 0
    with (tmp_path / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    broken = lint_imports(tmp_path, "--contract", contract)
    assert broken.returncode == 1
    assert "0 kept, 1 broken" in broken.stdout


IMPORT_AND_TELL = """
import importlib, json, os, sys, warnings
environment, filters = dict(os.environ), list(warnings.filters)

def load():
    for name in sys.argv[2:]:
        importlib.import_module(name)

load()
loaded = sorted({name.partition(".")[0] for name in sys.modules})
if sys.argv[1] == "ours":
    # Other packages are loaded now and stay; what happens next is our own modules' doing.
    os.environ.clear()
    os.environ.update(environment)
    warnings.filters[:] = filters
    for name in [n for n in sys.modules if n.partition(".")[0] == "imgbatch"]:
        del sys.modules[name]
    load()
print(json.dumps({
    "loaded": loaded,
    "environment": sorted(set(os.environ.items()) ^ set(environment.items())),
    "filters": [str(f) for f in warnings.filters if f not in filters],
}))
"""


def after_import(folder: Path, whose: str, *modules: str) -> dict[str, list[str]]:
    """Import in a fresh process; tell what is loaded and what was changed by `all` or by `ours`."""
    command = [sys.executable, "-c", IMPORT_AND_TELL, whose, *modules]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    told: dict[str, list[str]] = json.loads(result.stdout)
    return told


def modules_below(folder: Path) -> list[str]:
    """Return the names of all modules of the library."""
    names = (file.relative_to(folder).with_suffix("").parts for file in folder.rglob("*.py"))
    return sorted(".".join(("imgbatch", *name)).removesuffix(".__init__") for name in names)


@pytest.mark.parametrize(
    "module", ["imgbatch", "imgbatch.errors", "imgbatch.settings", "imgbatch.cli", "jobs"]
)
def test_a_door_loads_nothing_heavy_and_changes_nothing(module: str, root: Path) -> None:
    told = after_import(root, "all", module)
    assert not set(HEAVY) & set(told["loaded"])
    assert told["environment"] == []
    assert told["filters"] == []


@pytest.mark.slow
def test_the_library_loads_without_ray_and_changes_nothing(root: Path) -> None:
    told = after_import(root, "ours", *modules_below(root / "imgbatch"))
    assert "pyarrow" in told["loaded"]  # so all were loaded
    assert "ray" not in told["loaded"]
    assert told["environment"] == []
    assert told["filters"] == []
