"""Enters: a bucket. Leaves: the maker's own client for it, reached as obstore reaches it.

boto3 and google-cloud-storage do what obstore has no verb for: versions, administration, and names
that it cannot say. They are loaded only here and in what calls this, and only when needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from imgbatch.errors import AccessError
from imgbatch.storage.access import options_of, waits
from imgbatch.storage.credentials import NO_S3, google_credentials
from imgbatch.storage.options import PAYER
from imgbatch.storage.secrets import cause, scrub

if TYPE_CHECKING:
    from imgbatch.storage.options import GoogleOptions, S3Options


def s3(bucket: str) -> Any:
    """Return boto3's client for a bucket such as `s3://photos`.

    Raises:
        AccessError: the profile is not there.
    """
    import boto3.session  # noqa: PLC0415 - a heavy import, wanted by few commands
    from botocore import UNSIGNED  # noqa: PLC0415 - for buckets alone
    from botocore.config import Config  # noqa: PLC0415 - for buckets alone
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - for buckets alone

    options, patience = cast("S3Options", options_of(bucket)), waits()
    said: dict[str, Any] = {"signature_version": UNSIGNED} if options.anonymous else {}
    config = Config(
        connect_timeout=patience.connect_seconds,
        read_timeout=patience.request_seconds,
        retries={"mode": "standard", "total_max_attempts": patience.request_attempts},
        **said,
    )
    place = {"region_name": options.region, "endpoint_url": options.endpoint}
    try:
        session = boto3.session.Session(profile_name=options.profile)
        made = session.client("s3", config=config, **{k: v for k, v in place.items() if v})
    except BotoCoreError as error:
        raise AccessError(f"{bucket}: no credentials: {scrub(str(error))}", NO_S3) from cause(error)
    if options.requester_pays:
        made.meta.events.register("before-call.s3", _pay)
    return made


def _pay(params: dict[str, Any], **_: Any) -> None:
    params["headers"]["x-amz-request-payer"] = "requester"


def google(bucket: str) -> Any:
    """Return google-cloud-storage's client for a bucket such as `gs://photos`.

    Raises:
        AccessError: there are no credentials, or the key file is none.
    """
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415 - heavy imports
    from google.cloud import storage  # noqa: PLC0415 - for buckets alone

    options = cast("GoogleOptions", options_of(bucket))
    said: dict[str, Any] = {}
    if options.anonymous:
        said = {"credentials": AnonymousCredentials(), "project": "none"}  # type: ignore[no-untyped-call] # it says none
    else:
        found, project = google_credentials(bucket, options)
        said = {"credentials": found, "project": options.project or project or "none"}
    if options.project:
        # Of all its requests: not each of its calls takes a project that pays.
        said["extra_headers"] = {PAYER: options.project}
    if options.endpoint:
        said["client_options"] = {"api_endpoint": options.endpoint}
    return storage.Client(**said)
