"""What AWS and botocore raise enters; an error of ours with what to do leaves."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore import exceptions as boto

from imgbatch.errors import (
    CloudError,
    CredentialsError,
    DeploymentError,
    PermissionsError,
    QuotaError,
)
from imgbatch.storage.secrets import cause, scrub

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_CREDENTIALS = (
    "`aws configure sso` and AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
)
EXPIRED = "Log in again (`aws sso login`), or take new keys, then run the same command again."
CLOCK = "Set this machine's clock: AWS takes no request that is dated five minutes off."
SILENT = (
    "Check the network, the name of the region and AWS_ENDPOINT_URL, then run the same command "
    "again."
)
REGION_OFF = (
    "The keys are wrong, or the region is not enabled: `aws account enable-region --region-name "
    "REGION`, or take another region."
)

_LOCAL = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.ProfileNotFound,
    boto.ConfigParseError,
    boto.SSOError,
    boto.TokenRetrievalError,
    boto.NoAuthTokenError,
)
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired")
_CLOCK = ("RequestExpired", "RequestTimeTooSkewed")
_KEYS = (
    "AuthFailure",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "SubscriptionRequiredException",
    "UnrecognizedClientException",
)
_DENIED = (
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "AuthorizationErrorException",
    "UnauthorizedOperation",
)
_QUOTA = (
    "InstanceLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "VcpuLimitExceeded",
)
# EC2 adds a page of base64 to a refusal, which only `aws sts decode-authorization-message` reads.
_ENCODED = re.compile(r"\s*Encoded authorization failure message: \S+")


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Have what is done inside raise errors of ours.

    Args:
        doing: what is done, for the message: "ending machine i-1".

    Raises:
        CredentialsError: there are none, or AWS does not take them.
        PermissionsError: these credentials may not do it.
        QuotaError: the account may not have so many.
        CloudError: AWS refuses, or does not answer.
    """
    try:
        yield
    except boto.ClientError as error:
        raise refusal(doing, error) from cause(error)
    except _LOCAL as error:
        raise CredentialsError(_text(doing, error), NO_CREDENTIALS) from cause(error)
    except boto.BotoCoreError as error:
        raise CloudError(_text(doing, error), SILENT) from cause(error)


def refusal(doing: str, error: boto.ClientError) -> CloudError:
    """Return what AWS refused as an error of ours."""
    code, text = code_of(error), _text(doing, error)
    if code in _EXPIRED:
        return CredentialsError(text, EXPIRED)
    if code in _CLOCK or "Signature expired" in text or "Signature not yet current" in text:
        return CredentialsError(text, CLOCK)
    if code in _KEYS:
        return CredentialsError(text, REGION_OFF if code == "AuthFailure" else NO_CREDENTIALS)
    if code in _DENIED:
        return PermissionsError(text)
    if code in _QUOTA:
        return QuotaError(text)
    return CloudError(text)


def missing(what: str, name: str, region: str) -> DeploymentError:
    """Return the error for something that Terraform makes and that is not there."""
    return DeploymentError(f"there is no {what} {name!r} in {region} of this account")


def code_of(error: boto.ClientError) -> str:
    """Return AWS's code of an error, such as `ValidationError`."""
    # EC2 puts `Client.` in front of some.
    return str(error.response.get("Error", {}).get("Code", "")).removeprefix("Client.")


def said(error: boto.ClientError) -> str:
    """Return AWS's own words."""
    return str(error.response.get("Error", {}).get("Message", ""))


def _text(doing: str, error: Exception) -> str:
    return scrub(_ENCODED.sub("", f"{doing}: {error}"))
