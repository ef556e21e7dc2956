"""Leaves: boto3 clients that answer soon or say why not, and the words for what AWS refuses."""

from __future__ import annotations

import contextlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from imgbatch.errors import SettingsError, StorageError
from imgbatch.storage.access import options_of
from imgbatch.storage.secrets import remember, scrub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.storage.options import S3Options

# Somebody waits at a terminal.
PATIENCE = {"connect_timeout": 5, "read_timeout": 15, "retries": {"total_max_attempts": 2}}
FALLBACK_REGION = "us-east-1"
PROFILES = "See `aws configure list-profiles`; correct AWS_PROFILE or ~/.aws/config."
CONFIGURE = "Correct it: `aws configure`."


class Aws:
    """The clients of one bucket, made when they are asked for. What signs is hidden from texts.

    Args:
        bucket: its name.
        region: where; as its options say by default.
    """

    def __init__(self, bucket: str, region: str | None = None) -> None:
        self._options = cast("S3Options", options_of(f"s3://{bucket}"))
        self._region = region or self._options.region
        self.anonymous = self._options.anonymous

    @cached_property
    def session(self) -> boto3.Session:
        """The session, as the environment and the profile files say.

        Raises:
            SettingsError: there is no such profile, or a file of it is not readable.
        """
        try:
            return boto3.Session(profile_name=self._options.profile, region_name=self._region)
        except BotoCoreError as error:
            raise SettingsError(scrub(f"AWS settings: {error}"), PROFILES) from None

    @cached_property
    def s3(self) -> Any:
        """The client of S3."""
        return self._client("s3", self._options.endpoint)

    @cached_property
    def sts(self) -> Any:
        """The client that knows who asks."""
        return self._client("sts")

    def _client(self, service: str, endpoint: str | None = None) -> Any:
        unsigned = {"signature_version": UNSIGNED} if self.anonymous else {}
        if not unsigned:
            self._hide()
        region = self.session.region_name or FALLBACK_REGION
        config = Config(**PATIENCE, **unsigned)
        try:
            return self.session.client(
                service, region_name=region, endpoint_url=endpoint, config=config
            )
        except (BotoCoreError, ValueError) as error:
            raise SettingsError(scrub(f"AWS settings: {error}"), CONFIGURE) from None

    def _hide(self) -> None:
        with contextlib.suppress(BotoCoreError):  # whoever uses them will be told
            if found := self.session.get_credentials():
                frozen = found.get_frozen_credentials()
                remember(frozen.secret_key, frozen.token)


def code_of(error: Exception) -> str:
    """Return AWS's word for an error; the class's name where the request did not get through."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return type(error).__name__


@contextlib.contextmanager
def told(what: str, remedy: str | None = None) -> Iterator[None]:
    """Turn what boto3 raises into a StorageError without secrets."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StorageError(scrub(f"{what}: {error}"), remedy) from None
