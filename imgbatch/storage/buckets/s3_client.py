"""Leaves: boto3 clients that answer soon or say why not, and the words for what AWS refuses."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from imgbatch.errors import SettingsError, StorageError
from imgbatch.settings import aws_flag, aws_region
from imgbatch.storage.secrets import remember, scrub

if TYPE_CHECKING:
    from collections.abc import Iterator

# Somebody waits at a terminal.
PATIENCE = {"connect_timeout": 5, "read_timeout": 15, "retries": {"total_max_attempts": 2}}
FALLBACK_REGION = "us-east-1"


def session(region: str | None = None) -> boto3.Session:
    """Return a session as the environment and the profile files say, in a region if one is given.

    Raises:
        SettingsError: there is no such profile, or a file of it is not readable.
    """
    try:
        return boto3.Session(region_name=region or aws_region())
    except BotoCoreError as error:
        raise SettingsError(
            scrub(f"AWS settings: {error}"),
            "See `aws configure list-profiles`; correct AWS_PROFILE or ~/.aws/config.",
        ) from None


def anonymous() -> bool:
    """Return whether requests shall carry no signature."""
    return aws_flag("AWS_SKIP_SIGNATURE")


def client(service: str, of: boto3.Session) -> Any:
    """Return a client; what it signs with is hidden from every text from now on."""
    unsigned = {"signature_version": UNSIGNED} if anonymous() else {}
    if not unsigned:
        hide(of)
    region = of.region_name or FALLBACK_REGION
    config = Config(**PATIENCE, **unsigned)
    try:
        return of.client(service, region_name=region, config=config)
    except (BotoCoreError, ValueError) as error:
        raise SettingsError(
            scrub(f"AWS settings: {error}"), "Correct it: `aws configure`."
        ) from None


def hide(of: boto3.Session) -> None:
    """Hide a session's secrets from texts, where it has any."""
    with contextlib.suppress(BotoCoreError):
        if found := of.get_credentials():
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
