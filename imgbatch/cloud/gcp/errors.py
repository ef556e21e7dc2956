"""What Google's APIs and google-auth refuse enters; an error of ours with what to do leaves."""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import requests
from google.auth import exceptions as auth

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
    "`gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file."
)
EXPIRED = (
    "`gcloud auth application-default login` again, or take another key file, then run the same "
    "command again."
)
SILENT = (
    "Check the network and CLOUDSDK_API_ENDPOINT_OVERRIDES_..., then run the same command again."
)
NO_QUOTA_PROJECT = "`gcloud auth application-default set-quota-project PROJECT`, with its id."
# What a 403 says of itself where it is no lack of a permission.
_OFF = ("SERVICE_DISABLED", "accessNotConfigured")
_QUOTA = ("quotaExceeded", "QUOTA_EXCEEDED")
_BUSY = ("rateLimitExceeded", "RATE_LIMIT_EXCEEDED", "userRateLimitExceeded")


class Refusal(Exception):  # noqa: N818 - an answer; `told` makes an error of ours of it
    """An answer of Google's that is an error.

    Attributes:
        status: of HTTP.
        reason: Google's own code, such as SERVICE_DISABLED.
        said: Google's own words.
        about: of what, where Google says it: the service that is not enabled.
    """

    def __init__(self, answer: requests.Response) -> None:
        raw = _error(answer)
        told = [one for one in raw.get("details", []) if isinstance(one, dict)]
        infos = [one for one in told if "reason" in one]
        plain = [one.get("reason", "") for one in raw.get("errors", []) if isinstance(one, dict)]
        self.status = answer.status_code
        self.said = str(raw.get("message") or answer.text[:300] or answer.reason)
        self.reason = str(infos[0]["reason"] if infos else next(iter(plain), raw.get("status", "")))
        self.about = str(infos[0].get("metadata", {}).get("service", "")) if infos else ""
        super().__init__(f"{self.said} ({self.status} {self.reason})".strip())

    @property
    def missing(self) -> bool:
        """Whether there is no such thing."""
        return self.status == HTTPStatus.NOT_FOUND


def _error(answer: requests.Response) -> dict[str, Any]:
    """Return what an answer says of its error: Google's form, or nothing."""
    try:
        raw = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return raw if isinstance(raw, dict) else {"message": str(raw)}


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Have what is done inside raise errors of ours.

    Args:
        doing: what is done, for the message: "ending machine 12".

    Raises:
        CredentialsError: there are none, or Google does not take them.
        PermissionsError: these credentials may not do it.
        QuotaError: the project may not have so many.
        CloudError: Google refuses, or does not answer.
    """
    try:
        yield
    except Refusal as error:
        raise refusal(doing, error) from cause(error)
    except auth.DefaultCredentialsError as error:
        raise CredentialsError(_text(doing, error), NO_CREDENTIALS) from cause(error)
    except auth.RefreshError as error:
        raise CredentialsError(_text(doing, error), EXPIRED) from cause(error)
    except (auth.GoogleAuthError, requests.RequestException) as error:
        raise CloudError(_text(doing, error), SILENT) from cause(error)


def refusal(doing: str, error: Refusal) -> CloudError:  # noqa: PLR0911 - one per kind
    """Return what Google refused as an error of ours."""
    text = _text(doing, error)
    if error.status == HTTPStatus.UNAUTHORIZED:
        return CredentialsError(text, EXPIRED)
    if error.reason in _OFF:
        service = error.about or "SERVICE"
        return CloudError(text, f"`gcloud services enable {service}`, then wait a minute.")
    if error.reason in _QUOTA:
        return QuotaError(text)
    if error.reason in _BUSY or error.status == HTTPStatus.TOO_MANY_REQUESTS:
        return CloudError(text, "Google wants fewer requests: wait a minute, then again.")
    if "requires a quota project" in error.said:
        return CredentialsError(text, NO_QUOTA_PROJECT)
    if error.status == HTTPStatus.FORBIDDEN:
        return PermissionsError(text)
    return CloudError(text)


def missing(what: str, name: str, where: str) -> DeploymentError:
    """Return the error for something that Terraform makes and that is not there."""
    return DeploymentError(f"there is no {what} {name!r} in {where}")


def _text(doing: str, error: Exception) -> str:
    return scrub(f"{doing}: {error}")
