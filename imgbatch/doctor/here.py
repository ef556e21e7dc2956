"""What a run needs of this machine: packages, variables, room for temporary files."""

from __future__ import annotations

import platform
import shutil
import tempfile
from importlib import metadata
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from imgbatch import __version__
from imgbatch.doctor.tries import settings_wrong, size
from imgbatch.errors import SettingsError
from imgbatch.settings import read_limits
from imgbatch.storage.buckets import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN = ("ray", "obstore", "deltalake", "pyarrow", "boto3", "google-cloud-storage")
# An archive that is read from a bucket, a large video and a sort of the manifest lie there.
LITTLE = 2 * 10**9


def look() -> Iterator[Finding]:
    """Yield versions, variables and temporary room."""
    yield _versions()
    yield _settings()
    yield _temporary()


def _versions() -> Finding:
    try:
        needed = [Requirement(line) for line in metadata.requires("imgbatch") or ()]
    except metadata.PackageNotFoundError:
        needed = []
    wrong = [found for found in map(_unmet, needed) if found]
    if wrong:
        remedy = "Install imgbatch again in this environment: `scripts/setup` in its checkout."
        return Finding("versions", "failed", "; ".join(wrong), remedy)
    have = [f"{name} {metadata.version(name)}" for name in SHOWN]
    text = ", ".join((f"imgbatch {__version__}", f"Python {platform.python_version()}", *have))
    return Finding("versions", "ok", text)


def _unmet(needed: Requirement) -> str:
    if needed.marker and not needed.marker.evaluate({"extra": ""}):
        return ""
    try:
        found = metadata.version(needed.name)
    except metadata.PackageNotFoundError:
        return f"{needed.name} is not installed"
    if needed.specifier.contains(found, prereleases=True):
        return ""
    return f"{needed.name} {found} is here, and imgbatch needs {needed.specifier}"


def _settings() -> Finding:
    try:
        limits = read_limits()
    except SettingsError as error:
        return settings_wrong(error)
    return Finding("settings", "ok", f"{limits.threads} threads for decoding")


def _temporary() -> Finding:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    text = f"{size(free)} free in {folder}"
    if free >= LITTLE:
        return Finding("temporary files", "ok", text)
    remedy = "Free some, or `export TMPDIR=FOLDER` with a folder that has more."
    return Finding("temporary files", "warning", text, remedy)
