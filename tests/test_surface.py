"""The checkout as a whole: its folders, what every module says of itself, what it depends on."""

from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING, Any

import pytest

import imgbatch

if TYPE_CHECKING:
    from pathlib import Path

POOL = "ARROW_DEFAULT_MEMORY_POOL"
TOP_LEVEL = {
    ".ci",
    ".dockerignore",
    ".gitignore",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "imgbatch",
    "infra",
    "jobs",
    "pyproject.toml",
    "scripts",
    "tests",
}
A_MACHINES_PATH = re.compile(r"(?<![\w.}:])/(?:home|mnt|root|tmp|Users|work)/\w")


@pytest.fixture(scope="session")
def files(root: Path) -> list[Path]:
    """Every file that git tracks, or would."""
    if not (root / ".git").exists():
        pytest.skip("not a git checkout: what belongs to it is not known")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    return [root / name for name in listed.split("\0") if name and (root / name).exists()]


@pytest.fixture(scope="session")
def project(root: Path) -> dict[str, Any]:
    """What pyproject.toml says."""
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))


def modules(root: Path) -> list[Path]:
    return [file for room in ("imgbatch", "jobs") for file in sorted((root / room).rglob("*.py"))]


def test_the_top_level_is_the_fixed_one(files: list[Path], root: Path) -> None:
    assert {file.relative_to(root).parts[0] for file in files} <= TOP_LEVEL


def test_no_file_names_a_path_of_some_machine(files: list[Path]) -> None:
    found = [
        f"{file}: {line}"
        for file in files
        for line in file.read_text("utf-8", errors="replace").splitlines()
        if A_MACHINES_PATH.search(line)
    ]
    assert found == []


def test_code_is_plain_ascii(files: list[Path]) -> None:
    code = [file for file in files if file.suffix in {".py", ".toml", ".sh", ".tf"}]
    assert [str(file) for file in code if not file.read_bytes().isascii()] == []


def test_every_module_says_what_it_is_in_one_line(root: Path) -> None:
    silent = []
    for file in modules(root):
        lines = (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").splitlines()
        if not lines or (len(lines) > 1 and lines[1]):
            silent.append(str(file))
    assert silent == []


def test_every_import_is_a_declared_dependency(root: Path, project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"].values()
    declared = asked_for([*project["project"]["dependencies"], *itertools.chain(*extras)])
    owners = packages_distributions()
    # _typeshed is there for type checkers only
    own_or_standard = {*sys.stdlib_module_names, "imgbatch", "jobs", "_typeshed"}
    undeclared = {
        f"{file.relative_to(root)}: {name}"
        for file in modules(root)
        for name in imported(ast.parse(file.read_text("utf-8"))) - own_or_standard
        if not declared & asked_for(owners.get(name, []))
    }
    assert undeclared == set()


def imported(tree: ast.Module) -> set[str]:
    """Return the top-level packages that a module imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize(("said", "backend"), [(None, "system"), ("mimalloc", "mimalloc")])
def test_arrow_takes_memory_from_the_system_unless_the_user_says_otherwise(
    said: str | None, backend: str, root: Path
) -> None:
    script = "import imgbatch, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    environment = {name: value for name, value in os.environ.items() if name != POOL}
    environment |= {POOL: said} if said else {}
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, cwd=root, env=environment, capture_output=True, check=True)
    assert found.stdout.decode().strip() == backend


def test_the_version_is_told_once(project: dict[str, Any]) -> None:
    assert project["project"]["version"] == imgbatch.__version__


@pytest.mark.parametrize("name", ["light", "dev"])
def test_requirements_are_pinned_and_name_no_index(name: str, root: Path) -> None:
    lines = (root / "scripts" / "requirements" / f"{name}.txt").read_text("utf-8").splitlines()
    packages = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert len(packages) > 20
    assert [line for line in packages if not re.match(r"[a-z0-9.-]+(\[\w+\])?==[\w.]+", line)] == []
    assert [line for line in lines if "://" in line] == []


def test_requirements_hold_what_the_project_asks_for(root: Path, project: dict[str, Any]) -> None:
    folder = root / "scripts" / "requirements"
    pinned = {
        name: asked_for((folder / f"{name}.txt").read_text("utf-8").splitlines())
        for name in ("light", "dev")
    }
    groups = project["dependency-groups"]
    light = asked_for(project["project"]["dependencies"]) | asked_for(groups["build"])
    assert light <= pinned["light"] <= pinned["dev"]
    assert asked_for(groups["dev"]) <= pinned["dev"]


def asked_for(lines: list[str]) -> set[str]:
    """Return the names of the packages that requirement lines ask for, in their normal form."""
    return {re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", line)[0]).lower() for line in lines}


@pytest.mark.parametrize(
    ("bare", "folders"),
    [
        (r"# noqa(: [A-Z0-9, ]+)?$", ("imgbatch", "jobs", "scripts", "tests")),
        # mypy reads no tests.
        (r"# type: ignore(\[[a-z, -]+\])?\s*($|# noqa)", ("imgbatch", "jobs", "scripts")),
    ],
    ids=["ruff", "mypy"],
)
def test_every_exemption_from_a_rule_gives_its_reason(
    bare: str, folders: tuple[str, ...], root: Path
) -> None:
    found = [
        f"{path.relative_to(root)}:{number}"
        for folder in folders
        for path in sorted((root / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(bare, line)
    ]
    assert found == []
