"""A service and a region enter, boto3's client for them leaves: made once, with our patience."""

from __future__ import annotations

import threading
from typing import Any

import boto3.session
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from imgbatch.cloud.aws.errors import NO_CREDENTIALS, told
from imgbatch.errors import CredentialsError, SettingsError

# A run goes on while nobody answers: short patience here, and the next tick asks again.
PATIENCE = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": 4},
    user_agent_extra="imgbatch",
)
METADATA_ATTEMPTS = 3


class Clients:
    """The clients of one set of credentials.

    Attributes:
        region: that is meant where none is named.

    Raises:
        SettingsError: no region is given, nor known from the environment or the profile.
        CredentialsError: there are none.
    """

    def __init__(self, region: str) -> None:
        with told("looking for credentials"):
            core = botocore.session.Session()
            # A machine that has just booted asks its metadata service, which may drop a request.
            core.set_config_variable("metadata_service_num_attempts", METADATA_ATTEMPTS)
            self._session = boto3.session.Session(botocore_session=core, region_name=region or None)
            found = self._session.get_credentials()
        if found is None:
            raise CredentialsError("no AWS credentials were found", NO_CREDENTIALS)
        if not self._session.region_name:
            raise SettingsError("no AWS region is given", "Set AWS_REGION, such as us-east-1.")
        self.region: str = self._session.region_name
        self._made: dict[tuple[str, str], Any] = {}
        # Sessions are not for several threads at once; clients are.
        self._lock = threading.Lock()

    def of(self, service: str, region: str = "") -> Any:
        """Return the client of a service, such as `ec2`.

        Raises:
            SettingsError: there is no such region.
        """
        key = (service, region or self.region)
        with self._lock:
            if key not in self._made:
                try:
                    self._made[key] = self._session.client(service, key[1], config=PATIENCE)
                except (BotoCoreError, ValueError) as error:
                    raise SettingsError(
                        f"{service} in {key[1]!r}: {error}", "Check the region, such as us-east-1."
                    ) from error
            return self._made[key]
