"""Credentials enter; the project and the region that are meant leave."""

from __future__ import annotations

from imgbatch.cloud.gcp.errors import told
from imgbatch.cloud.gcp.rest import Google


def who(region: str) -> tuple[str, str]:
    """Return the id of the project, and the region: as given, or else as settings say.

    Raises:
        SettingsError: no region or no project is given, nor known.
        CredentialsError: there are no credentials, or Google does not take them.
    """
    google = Google(region)
    with told("asking Google who we are"):
        found = google.get("cloudresourcemanager", f"v1/projects/{google.project}")
    return str(found["projectId"]), google.region
