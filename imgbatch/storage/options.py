"""Enters: the URL of a bucket as a user gives it. Leaves: the bare URL, and options of that bucket.

    s3://bucket/prefix?profile=lab&region=eu-west-1&endpoint=https://...&anonymous=true
    gs://bucket/prefix?credentials=/path/key.json&project=mine

Options are no secrets and say no secrets: who has keys gives them to the cloud's own programs (a
profile, a file, variables), never to a URL, which ends up in histories, records and logs.
"""

from __future__ import annotations

from typing import Any, Self, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from pydantic import field_validator, model_validator

from imgbatch.errors import SettingsError
from imgbatch.settings import Settings, check

REMEDY = (
    "Give keys to the cloud's own programs instead (S3: a profile or AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY; Google: GOOGLE_APPLICATION_CREDENTIALS or `gcloud auth "
    "application-default login`), and take this URL out of your shell's history."
)

# The header of Google's requests that names a `project`.
PAYER = "x-goog-user-project"


class _Options(Settings):
    """What both kinds have."""

    endpoint: str | None = None
    anonymous: bool = False

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.username or parts.password:
            raise SettingsError("the endpoint holds a name or a password", REMEDY)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an endpoint begins with http:// or https://")
        return value.rstrip("/")


class S3Options(_Options):
    """How a bucket of S3, or of what speaks like it, is reached.

    Attributes:
        endpoint: URL of the server, where it is not Amazon's own.
        anonymous: read without credentials, as public buckets allow.
        profile: of ~/.aws/config: its credentials, and its region and endpoint where none is said.
        region: where the bucket is; us-east-1 where nobody says.
        requester_pays: requests and traffic are billed to us.
    """

    profile: str | None = None
    region: str | None = None
    requester_pays: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.profile and self.anonymous:
            raise ValueError("profile and anonymous exclude each other")
        return self


class GoogleOptions(_Options):
    """How a bucket of Google Cloud Storage is reached.

    Attributes:
        endpoint: URL of the server, where it is not Google's own.
        anonymous: read without credentials, as public buckets allow.
        credentials: path of a key file, on each machine; else the application default credentials.
        project: billed for requests and traffic, where the requester pays. Of an INPUT only: what
            writes Delta's tables cannot say it, so a DATASET is refused.
        region: where the bucket is. Google finds it by itself: who says it, knows that it is
            elsewhere than the machines.
    """

    credentials: str | None = None
    project: str | None = None
    region: str | None = None


Options: TypeAlias = S3Options | GoogleOptions
KINDS: dict[str, type[S3Options | GoogleOptions]] = {"s3": S3Options, "gs": GoogleOptions}


def split(url: str) -> tuple[str, dict[str, Any]]:
    """Return a bucket's URL without its query, and what the query says.

    A `?` that is part of a name is written %3F, as addresses write it.

    Raises:
        SettingsError: the URL names no bucket or holds credentials, or an option is not known or
            does not fit; what it holds of secrets is not shown.
    """
    scheme, _, rest = url.partition("://")
    if "@" in rest.partition("/")[0]:
        raise SettingsError(f"the URL of {scheme}:// holds a name or a password", REMEDY)
    if scheme in KINDS and not rest.partition("?")[0].partition("/")[0]:
        raise SettingsError(f"{scheme}:// names no bucket", f"Give {scheme}://BUCKET/PREFIX.")
    if scheme not in KINDS or "?" not in rest:
        return url, {}
    bare, _, query = rest.partition("?")
    given: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, strict_parsing=False):
        if name in given:
            raise SettingsError(f"{scheme}://{bare}: option {name!r} is given twice")
        given[name] = value
    bucket = f"{scheme}://{bare.partition('/')[0]}"
    try:
        check(KINDS[scheme], given, where=f"options of {bucket}")
    except SettingsError as error:
        known = ", ".join(sorted(KINDS[scheme].model_fields))
        raise SettingsError(str(error), f"Options of {scheme}:// are {known}.") from error
    return f"{scheme}://{bare}", given
