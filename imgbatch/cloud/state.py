"""Where a deployment's state and variables lie: made, read, kept beside each other.

    infra/<cloud>/<name>.tfvars.json     what this deployment is to be: yours to edit
    s3://imgbatch-state-ACCOUNT-REGION/<name>/terraform.tfstate      what Terraform knows of it
    s3://imgbatch-state-ACCOUNT-REGION/<name>/terraform.tfvars.json  what it was last made from
    gs://imgbatch-state-PROJECT-REGION/<name>/...                    the same on Google Cloud

Decision, 2026-11: the state lies in a bucket of its own, made here with `storage.buckets` and by no
Terraform: it has to be there before the first plan and after the last destroy. Drawback: `down`
leaves that bucket, with some kilobytes in it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imgbatch.errors import DeploymentError, SettingsError
from imgbatch.storage import open_store
from imgbatch.storage.buckets import open_bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from imgbatch.cloud.backend import Backend

VARIABLES = "terraform.tfvars.json"


class State:
    """Where the state and the variables of one deployment lie.

    Args:
        backend: its place.
        file: of its variables.
        say: is told each step.
    """

    def __init__(self, backend: Backend, *, file: Path, say: Callable[[str], None]) -> None:
        self.backend, self.file = backend, file
        self._store = backend.folder + backend.options
        self._say = say

    @property
    def url(self) -> str:
        """URL of its folder, for people."""
        return self.backend.folder

    def open(self, *, make: bool) -> list[str]:
        """Have a place for the state, and the variables here; return the words for the backend.

        Raises:
            DeploymentError: there is no state, and none is to be made.
            StorageError: its bucket cannot be made, hardened or read.
            SettingsError: the variables are no JSON, or another deployment's.
        """
        backend = self.backend
        place = backend.url(backend.bucket)
        bucket = open_bucket(place + backend.options)
        there = bucket.exists()
        if not make and (not there or self._never_was()):
            raise DeploymentError(
                f"there is no deployment {backend.name!r} in {backend.region}, and never was: no "
                f"state of it is in {place}",
                "Give its --name and --region. `scripts/cloud doctor` finds what is left of any.",
            )
        if not there:
            self._say(f"making {place} for the state of Terraform")
            bucket.create(backend.region)
            for change in bucket.changes():
                if not change.refused:
                    change.make()
        self._fetch()
        return [f"-backend-config={key}={value}" for key, value in backend.told.items()]

    def _never_was(self) -> bool:
        try:
            open_store(self._store).head(self.backend.file)
        except FileNotFoundError:
            return not self.last()
        return False

    def _fetch(self) -> None:
        """Have the variables here: as they are, as they were last used, or the least there is."""
        last = self.last()
        if not self.file.exists():
            self.write(last or self.backend.variables)
            return
        here = self.read()
        if last and here != last:
            keys = [key for key in sorted({*here, *last}) if here.get(key) != last.get(key)]
            self._say(f"{self.file.name} differs from what was last applied: {', '.join(keys)}")

    def last(self) -> dict[str, Any]:
        """Return the variables that the deployment was last made from; empty: not made yet."""
        try:
            raw: dict[str, Any] = json.loads(open_store(self._store).get(VARIABLES))
        except FileNotFoundError:
            return {}
        return raw

    def keep(self) -> None:
        """Note the variables as those that the deployment was made from."""
        open_store(self._store).put(VARIABLES, self.file.read_bytes())

    def read(self) -> dict[str, Any]:
        """Return the variables as their file says.

        Raises:
            SettingsError: it is no JSON, or another deployment's.
        """
        raw = read_json(self.file)
        asked = self.backend.variables
        told = {key: raw.get(key) for key in asked}
        if told != asked:
            raise SettingsError(
                f"{self.file} is of {_words(told)}, and you ask for {_words(asked)}",
                "Correct the file, or give the --name and --region that it says.",
            )
        return raw

    def write(self, variables: Mapping[str, Any]) -> None:
        """Write the file of the variables."""
        self.file.write_text(json.dumps(variables, indent=2) + "\n", "utf-8")


def _words(told: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value!r}" for key, value in told.items())


def read_json(file: Path) -> dict[str, Any]:
    """Return what a file of variables holds.

    Raises:
        SettingsError: it is no JSON.
    """
    try:
        return dict(json.loads(file.read_text("utf-8")))
    except ValueError as error:
        raise SettingsError(
            f"{file} is no JSON: {error}", "Correct it, then run the command again."
        ) from error
