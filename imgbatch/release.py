"""What is installed here enters; it leaves as a Release, which must be the same on every machine.

Decision, 2026-11: the digest is of the source files themselves, whatever brought them: an image, a
wheel, a checkout with changes, files that Ray shipped. A version number alone says nothing about a
checkout. Drawback: whoever edits a checkout while a run is on meets VersionError as soon as a lost
worker is replaced; it would have computed with other code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import platform
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from imgbatch import __version__
from imgbatch.errors import VersionError

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGES = ("imgbatch", "jobs")
# What decides over rows; pages, bytecode and an editor's leftovers do not.
SUFFIXES = (".py", ".toml", ".txt")


@dataclass(frozen=True, slots=True)
class Release:
    """Versions that must not differ between the machines of one run.

    Attributes:
        imgbatch: its version.
        source: digest of the source files of `imgbatch` and `jobs`.
        ray: its version; "" where it is not installed.
        python: major and minor version; Ray itself looks at the rest.
    """

    imgbatch: str
    source: str
    ray: str
    python: str

    def __str__(self) -> str:
        """Return it as messages say it."""
        ray = f"Ray {self.ray}" if self.ray else "no Ray"
        return f"imgbatch {self.imgbatch} (source {self.source}), {ray}, Python {self.python}"

    def record(self) -> dict[str, str]:
        """Return it as JSON says it; `Release(**record)` reads it."""
        return asdict(self)


@cache
def release() -> Release:
    """Return what this process runs, as it was on the disk when first asked."""
    try:
        ray = metadata.version("ray")
    except metadata.PackageNotFoundError:
        ray = ""
    python = ".".join(platform.python_version_tuple()[:2])
    return Release(__version__, _digest(), ray, python)


def refuse_other(here: Release, there: Release, *, places: tuple[str, str]) -> None:
    """Refuse to go on when two releases differ.

    Args:
        here: the one that counts.
        there: the other.
        places: whose they are, such as ("this machine", "the cluster").

    Raises:
        VersionError: with both named, and what to install.
    """
    if here != there:
        said = f"{places[0]} has {here}; {places[1]} has {there}"
        raise VersionError(said, _remedy(here, there, places))


def read(record: Mapping[str, str]) -> Release:
    """Read what `record` wrote, in this version or another.

    Raises:
        VersionError: it is of a version that says other things of itself.
    """
    known = {field.name for field in fields(Release)}
    if set(record) != known:
        raise VersionError(f"{release()} is here, and is asked for by {dict(record)}")
    return Release(**record)


def _remedy(here: Release, there: Release, places: tuple[str, str]) -> str:
    wanted = []
    if here.ray != there.ray:
        wanted.append(f"Ray {here.ray}")
    if here.python != there.python:
        wanted.append(f"Python {here.python}")
    if (here.imgbatch, here.source) != (there.imgbatch, there.source):
        wanted.append(f"imgbatch {here.imgbatch} of the same source")
    done = f"Install {', '.join(wanted)} on {places[1]} (the same image on every machine does it)"
    if here.ray == there.ray and here.python == there.python:
        return f"{done}, or let `imgbatch submit --ship` send this one with the job."
    return f"{done}, or what it has on {places[0]}."


def _digest() -> str:
    found = hashlib.sha256()
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            for file in sorted(Path(folder).rglob("*")):
                if file.suffix in SUFFIXES:
                    name = f"{package}/{file.relative_to(folder).as_posix()}"
                    found.update(f"{name}\0{file.stat().st_size}\0".encode())
                    found.update(file.read_bytes())
    return found.hexdigest()[:12]
