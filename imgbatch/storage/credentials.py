"""Enters: how a bucket is reached. Leaves: who asks, in the form that its client takes.

boto3 and google-auth find credentials where their own users keep them (profiles, single sign-on,
containers, machines, key files) and refresh those that expire. Plain keys in the environment need
neither: obstore and deltalake read them, and no heavy import is paid for.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from imgbatch.errors import AccessError
from imgbatch.settings import variables
from imgbatch.storage.access import S3_KEYS
from imgbatch.storage.secrets import cause, remember, scrub

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgbatch.storage.options import GoogleOptions, S3Options

# Temporary keys are taken anew by botocore 10 to 15 minutes before they end. obstore's own default
# (30 minutes) would go on using them after that.
TTL = timedelta(minutes=10)
SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
KEY_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
NO_S3 = (
    "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile in the "
    "URL (?profile=NAME). A public bucket is read with ?anonymous=true."
)
NO_GOOGLE = (
    "Set GOOGLE_APPLICATION_CREDENTIALS to a key file, or do `gcloud auth application-default "
    "login`. A public bucket is read with ?anonymous=true."
)


class Chain:
    """Credentials of S3 that are found and refreshed by boto3.

    Attributes:
        region, endpoint: of the profile or the environment, if they say any.

    Raises:
        AccessError: there are none, or the profile is not there.
    """

    def __init__(self, bucket: str, options: S3Options) -> None:
        import boto3.session  # noqa: PLC0415 - a heavy import, not needed with plain keys
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - for buckets alone
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415 - for buckets alone

        try:
            session = boto3.session.Session(profile_name=options.profile)
            if session.get_credentials() is None:
                raise AccessError(f"{bucket}: no credentials were found", NO_S3)
            self.provider = _hidden(Boto3CredentialProvider(session, ttl=TTL))
            self.region = session.region_name
            self.endpoint = _endpoint(session._session)  # noqa: SLF001 - boto3 has no other way
        except BotoCoreError as error:
            raise _none(bucket, error, NO_S3) from cause(error)


def s3_chain(bucket: str, options: S3Options) -> Chain | None:
    """Return boto3's credentials, or None where they are not needed: plain keys, or anonymous.

    Raises:
        AccessError: there are none, or the profile is not there.
    """
    if options.anonymous or (options.profile is None and len(variables(*S3_KEYS[:2])) > 1):
        return None
    return Chain(bucket, options)


def _hidden(provider: Callable[[], Any]) -> Callable[[], Any]:
    """Hide from every text what is handed out."""

    def give() -> Any:
        found = provider()
        remember(found.get("secret_access_key"), found.get("token"))
        return found

    return give


def _none(bucket: str, error: Exception, remedy: str) -> AccessError:
    return AccessError(f"{bucket}: no credentials: {scrub(str(error))}", remedy)


def _endpoint(session: Any) -> str | None:
    """Return the endpoint that the profile or the environment names for S3."""
    from botocore.configprovider import ConfiguredEndpointProvider  # noqa: PLC0415 - for buckets alone

    said = ConfiguredEndpointProvider(
        full_config=session.full_config,
        scoped_config=session.get_scoped_config(),
        client_name="s3",
    ).provide()
    return cast("str | None", said)


def s3_keys(bucket: str, chain: Chain | None) -> dict[str, str]:
    """Return the keys of this moment as deltalake takes them; nothing where it has its own.

    Raises:
        AccessError: they cannot be refreshed.
    """
    if chain is None:
        return {}
    try:
        found = chain.provider()
    except Exception as error:  # noqa: BLE001 - whatever a chain of foreign programs may raise
        raise _none(bucket, error, NO_S3) from cause(error)
    keys = {
        "aws_access_key_id": found["access_key_id"],
        "aws_secret_access_key": found["secret_access_key"],
    }
    token = found.get("token")
    return keys | ({"aws_session_token": token} if token else {})


def google_provider(bucket: str, options: GoogleOptions) -> Callable[[], Any] | None:
    """Return what gives tokens to obstore; None where none are asked for.

    Raises:
        AccessError: there are no credentials, or the key file is none.
    """
    if is_emulated(options):
        # It reads anything, and obstore would ask for a real token before it writes.
        return _emulated
    if options.anonymous:
        return None
    from obstore.auth.google import GoogleCredentialProvider  # noqa: PLC0415 - as below

    given = GoogleCredentialProvider(google_credentials(bucket, options)[0])
    return _hidden(cast("Callable[[], Any]", given))


def google_credentials(bucket: str, options: GoogleOptions) -> tuple[Any, str | None]:
    """Return google-auth's credentials, and the project that they name.

    Raises:
        AccessError: there are none, or the key file is none.
    """
    import google.auth  # noqa: PLC0415 - needed with Google only
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 - for buckets alone

    try:
        if options.credentials in (None, variables(KEY_FILE).get(KEY_FILE)):
            return cast("tuple[Any, str | None]", google.auth.default(scopes=[SCOPE]))
        return _key_file(str(options.credentials))
    except (GoogleAuthError, OSError, ValueError) as error:
        raise _none(bucket, error, NO_GOOGLE) from cause(error)


def _key_file(path: str) -> tuple[Any, str | None]:
    """Load a key file that only a URL or a driver names.

    Of the two kinds that hold their secret themselves: others name programs or servers to ask, and
    may not come from a URL.
    """
    from google.oauth2 import credentials, service_account  # noqa: PLC0415 - as above

    with open(path, "rb") as file:  # noqa: PTH123 - a path as the user gave it
        said = json.load(file)
    kind = said.get("type")
    if kind == "service_account":
        load: Any = service_account.Credentials.from_service_account_info
    elif kind == "authorized_user":
        load = credentials.Credentials.from_authorized_user_info
    else:
        raise ValueError(f"{path} is of kind {kind!r}: only {KEY_FILE} may name it")
    return load(said, scopes=[SCOPE]), said.get("project_id")


def is_emulated(options: GoogleOptions) -> bool:
    """Return whether the endpoint is a stand-in for Google's, which knows no credentials."""
    return options.endpoint is not None and options.anonymous


def _emulated() -> dict[str, Any]:
    return {"token": "emulated", "expires_at": None}


def emulated_key(options: GoogleOptions) -> str:
    """Return what tells deltalake to ask an emulator, as a key file without a key."""
    return json.dumps(
        {
            "gcs_base_url": options.endpoint,
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
    )


def signing_key(options: GoogleOptions) -> str | None:
    """Return the path of a key file that can sign links, if there is one."""
    if not options.credentials:
        return None
    try:
        with open(options.credentials, "rb") as file:  # noqa: PTH123 - a path as the user gave it
            kind = json.load(file).get("type")
    except (OSError, ValueError, AttributeError):
        return None  # opening the bucket says what is wrong with it
    return options.credentials if kind == "service_account" else None
