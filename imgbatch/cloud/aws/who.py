"""Credentials enter; whose they are and the region that is meant leave."""

from __future__ import annotations

from imgbatch.cloud.aws.clients import Clients
from imgbatch.cloud.aws.errors import told


def who(region: str) -> tuple[str, str]:
    """Return the number of the account, and the region: as given, or else as settings say.

    Raises:
        SettingsError: no region is given, nor known from the environment or the profile.
        CredentialsError: there are no credentials, or AWS does not take them.
    """
    clients = Clients(region)
    with told("asking AWS who we are"):
        return str(clients.of("sts").get_caller_identity()["Account"]), clients.region
