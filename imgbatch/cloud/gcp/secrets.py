"""Secrets of Secret Manager: Terraform makes each, here it gets its value.

A value is a version, which costs 0.06 dollars a month as long as it lives (six of an account are
free): those before the newest are destroyed. A token holds for one run, so none is missed.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from imgbatch.cloud.gcp.errors import Refusal, missing, told
from imgbatch.cloud.gcp.rest import one
from imgbatch.storage.secrets import remember

if TYPE_CHECKING:
    from imgbatch.cloud.gcp.rest import Google

SERVICE = "secretmanager"
GONE = "DESTROYED"


class GcpSecrets:
    """Implements `imgbatch.cloud.Secrets`.

    Both raise DeploymentError where there is no such secret, or none was put yet.
    """

    def __init__(self, google: Google) -> None:
        self._google = google

    def put(self, name: str, value: str) -> None:
        """Set a secret."""
        remember(value)
        path = self._path(name)
        data = base64.b64encode(value.encode()).decode()
        with told(f"setting the secret {name}"):
            try:
                made = self._google.post(SERVICE, f"{path}:addVersion", {"payload": {"data": data}})
            except Refusal as error:
                raise self._missing(name, error) from None
            for version in self._google.pages(SERVICE, f"{path}/versions", "versions"):
                if version["name"] != made["name"] and version["state"] != GONE:
                    self._google.post(SERVICE, f"v1/{version['name']}:destroy", {})

    def get(self, name: str) -> str:
        """Return a secret."""
        with told(f"reading the secret {name}"):
            try:
                found = self._google.get(SERVICE, f"{self._path(name)}/versions/latest:access")
            except Refusal as error:
                raise self._missing(name, error) from None
        value = base64.b64decode(found["payload"]["data"]).decode()
        remember(value)
        return value

    def _path(self, name: str) -> str:
        return f"v1/projects/{self._google.project}/secrets/{one(name)}"

    def _missing(self, name: str, error: Refusal) -> Exception:
        return (
            missing("secret", name, f"project {self._google.project}") if error.missing else error
        )
