"""Who asks AWS, where its keys come from, and how long they hold."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from imgbatch.storage.buckets import Finding
from imgbatch.storage.buckets.s3_client import code_of
from imgbatch.storage.secrets import scrub

if TYPE_CHECKING:
    from collections.abc import Iterator

    import boto3

    from imgbatch.storage.buckets.s3_client import Aws

SSO = (SSOTokenLoadError, TokenRetrievalError, UnauthorizedSSOTokenError)
# Of shorter ones too little would be left.
SHOWN = 12
SOON = timedelta(hours=1)
NONE = (
    "With an access key: `aws configure`. With a profile: add `?profile=NAME` to the URL, or "
    "`export AWS_PROFILE=NAME`. With a login of your institution: `aws sso login --profile NAME`, "
    "then the same. For a public bucket: add `?anonymous=true` to the URL."
)
SOURCES = {
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "the credentials file, profile {profile}",
    "config-file": "the config file, profile {profile}",
    "sso": "the SSO login of profile {profile}",
    "login": "the login of profile {profile}",
    "custom-process": "the process that profile {profile} names",
    "assume-role": "a role that profile {profile} assumes",
    "assume-role-with-web-identity": "a role by web identity",
    "container-role": "this container's role",
    "iam-role": "this EC2 machine's role",
}
# These bring new keys by themselves before the old ones end.
RENEWED = ("container-role", "iam-role", "assume-role-with-web-identity", "custom-process")
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired")
UNKNOWN = ("InvalidClientTokenId", "InvalidAccessKeyId", "UnrecognizedClientException")


def who(aws: Aws) -> Iterator[Finding]:
    """Yield whose keys are used, whether they are whole, and until when they hold."""
    of = aws.session
    if aws.anonymous:
        yield Finding("credentials", "ok", "none: requests are not signed, as was asked")
        return
    try:
        found = of.get_credentials()
        frozen = found.get_frozen_credentials() if found else None
    except (BotoCoreError, ClientError) as error:
        yield _unusable(of, error)
        return
    if not found or not frozen:
        text = "none found in environment, profile, SSO login, container or EC2 role"
        yield Finding("credentials", "failed", text, NONE, blocks=True)
        return
    problem = _misshapen(frozen)
    if problem:
        yield Finding("credentials", "failed", *problem, blocks=True)
        return
    yield _named(aws, found, frozen.access_key)
    yield from _expiry(of, found)


def renew(of: boto3.Session) -> str:
    """Return how new keys are had in place of expired ones."""
    try:
        method = getattr(of.get_credentials(), "method", "env")
    except (BotoCoreError, ClientError):
        method = "sso"
    if method in ("sso", "login"):
        return f"Log in again: `aws {method} login{_profile(of)}`."
    if method == "env":
        return (
            "Copy fresh keys into AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, "
            "all three; or unset them and use `aws sso login`."
        )
    return f"Get fresh keys and put them where these came from: {_source(of, method)}."


def _unusable(of: boto3.Session, error: Exception) -> Finding:
    text = scrub(str(error))
    if isinstance(error, SSO):
        remedy = f"Log in again: `aws sso login{_profile(of)}`."
    elif code_of(error) in EXPIRED:
        remedy = renew(of)
    else:
        remedy = f"Correct it with `aws configure{_profile(of)}`. {NONE}"
    return Finding("credentials", "failed", text, remedy, blocks=True)


def _misshapen(frozen: Any) -> tuple[str, str] | None:
    again = "Copy it again, without quotes and blanks."
    for name, value in (("access key id", frozen.access_key), ("secret key", frozen.secret_key)):
        if value != value.strip() or value[:1] in "\"'" or value[-1:] in "\"'":
            return f"the {name} begins or ends with a blank or a quote", again
    if frozen.access_key.startswith("ASIA") and not frozen.token:
        return (
            f"key {masked(frozen.access_key)} is a temporary one and its session token is missing",
            "Set AWS_SESSION_TOKEN too: it is shown beside the two keys.",
        )
    return None


def _named(aws: Aws, found: Any, key: str) -> Finding:
    of = aws.session
    text = f"key {masked(key)} from {_source(of, found.method)}"
    try:
        said = _caller(aws)
    except _RefusedError as error:
        what, remedy = error.args
        return Finding("credentials", "failed", f"{text}: {what}", remedy, blocks=True)
    if found.method == "env" and of.profile_name != "default":
        both = f"{text}; AWS_PROFILE={of.profile_name} is set too, and is not used"
        return Finding("credentials", "warning", both, "Unset the one that you do not mean.")
    return Finding("credentials", "ok", f"{text}; {said}")


class _RefusedError(Exception):
    """AWS does not take the keys: what it says, and what to do."""


def _caller(aws: Aws) -> str:
    """Ask STS whose keys they are, where it is of the same house as the buckets."""
    if _amazon(aws.sts) and not _amazon(aws.s3):
        return "this endpoint cannot be asked whose key that is"
    try:
        return str(aws.sts.get_caller_identity()["Arn"])
    except ClientError as error:
        code = code_of(error)
        if code in EXPIRED:
            raise _RefusedError("it has expired", renew(aws.session)) from None
        if code in UNKNOWN:
            gone = f"It was deleted or is mistyped. {NONE}"
            raise _RefusedError("AWS does not know this key", gone) from None
        # It says the same of a clock that is off, with the word expired; the clock's line tells.
        if code == "SignatureDoesNotMatch" and "expired" not in str(error):
            wrong = "the secret key does not fit the key id"
            raise _RefusedError(wrong, "Copy both again.") from None
        return f"not told whose it is ({code or 'no such service there'})"
    except BotoCoreError as error:
        return f"STS is not reached, so not told whose it is ({type(error).__name__})"


def _amazon(api: Any) -> bool:
    host = urlsplit(api.meta.endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _expiry(of: boto3.Session, found: Any) -> Iterator[Finding]:
    # botocore shows it nowhere else.
    until = getattr(found, "_expiry_time", None)
    if not isinstance(until, datetime):
        return
    left = until - datetime.now(UTC)
    text = f"keys hold until {until:%Y-%m-%d %H:%M} UTC"
    if found.method in RENEWED:
        yield Finding("expiry", "ok", f"{text}, and are renewed by themselves")
    elif left < SOON:
        minutes = max(0, int(left.total_seconds() // 60))
        late = f"{text}, {minutes} minutes from now: a longer run will stop there"
        yield Finding("expiry", "warning", late, renew(of))
    else:
        yield Finding("expiry", "ok", text)


def masked(key: str) -> str:
    """Return a key id so that its owner knows it again."""
    return f"{key[:4]}...{key[-4:]}" if len(key) >= SHOWN else key


def _source(of: boto3.Session, method: str) -> str:
    return SOURCES.get(method, method).format(profile=of.profile_name)


def _profile(of: boto3.Session) -> str:
    return "" if of.profile_name == "default" else f" --profile {shlex.quote(of.profile_name)}"
