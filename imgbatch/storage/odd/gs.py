"""Enters: a bucket of Google. Leaves: its objects by their true keys, through google-cloud-storage.

Versions are the ETags of the XML API, which obstore speaks; the JSON API has others. For an object
with an MD5 and no key of the customer's own that is the MD5; for others only the XML API tells.
"""

from __future__ import annotations

import base64
import contextlib
from typing import TYPE_CHECKING, Any, cast

from google.api_core.exceptions import GoogleAPICallError, PreconditionFailed, RetryError
from google.auth.exceptions import GoogleAuthError, InvalidOperation, TransportError
from google.cloud.storage.retry import DEFAULT_RETRY
from obstore.exceptions import PreconditionError
from requests.exceptions import ConnectionError, RequestException, Timeout  # noqa: A004 - its name

from imgbatch.storage import Entry, access, sdk
from imgbatch.storage.clients import REPEATED_SECONDS
from imgbatch.storage.odd import RetoldError, is_odd
from imgbatch.storage.secrets import cause

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgbatch.storage.odd import Read
    from imgbatch.storage.options import GoogleOptions

FIELDS = "items(name,size,generation,md5Hash,kmsKeyName,customerEncryption),nextPageToken"
PAGE = 1000
NO_BUCKET = "The specified bucket does not exist"


class GoogleObjects:
    """See `odd.Objects`."""

    def __init__(self, bucket: str) -> None:
        options, waits = cast("GoogleOptions", access.options_of(bucket)), access.waits()
        self._client = sdk.google(bucket)
        self._bucket = self._client.bucket(bucket.partition("://")[2], user_project=options.project)
        repeats = DEFAULT_RETRY.with_timeout(REPEATED_SECONDS.total_seconds())
        self._how: dict[str, Any] = {
            "timeout": (waits.connect_seconds, waits.request_seconds),
            "retry": repeats if waits.request_attempts > 1 else None,
        }

    def pages(self, below: str, after: str) -> Iterator[Sequence[Entry]]:
        """Yield entries by pages."""
        with _retold():
            found = self._client.list_blobs(
                self._bucket,
                prefix=below,
                start_offset=after or None,  # which is listed too
                page_size=PAGE,
                fields=FIELDS,
                **self._how,
            )
            for page in found.pages:
                yield [
                    Entry(blob.name, blob.size, _version(blob))
                    for blob in page
                    if blob.name > after and (blob.size or not blob.name.endswith("/"))
                ]

    def leads(self) -> bool:
        """Return whether a key begins with a slash."""
        with _retold():
            found = self._client.list_blobs(
                self._bucket, start_offset="/", end_offset="0", max_results=1, **self._how
            )
            return any(True for _ in found)

    def head(self, key: str) -> tuple[int, str]:
        """Return size and version."""
        blob = self._looked_at(key)
        return blob.size, _version(blob)

    def read(self, key: str, stretch: tuple[int, int] | None) -> Read:
        """Return the version, and what reads the bytes: of that generation, or none."""
        blob = self._looked_at(key)
        start, end = (stretch[0], stretch[1] - 1) if stretch else (None, None)

        def read() -> bytes:
            with _retold():
                return bytes(
                    # `blob` itself asks for its generation, and a replaced one would be missing.
                    self._bucket.blob(key).download_as_bytes(
                        start=start,
                        end=end,
                        raw_download=True,
                        if_generation_match=blob.generation,
                        checksum=None,
                        **self._how,
                    )
                )

        return _version(blob), read

    def _looked_at(self, key: str) -> Any:
        blob = self._bucket.blob(key)
        with _retold():
            blob.reload(**self._how)
        return blob


def _version(blob: Any) -> str:
    encrypted = blob.kms_key_name or blob._properties.get("customerEncryption")  # noqa: SLF001 - no public name
    if blob.md5_hash and not encrypted:
        return f'"{base64.b64decode(blob.md5_hash).hex()}"'
    # obstore never reads an odd name, so its version must agree with itself alone.
    return str(blob.generation) if is_odd(blob.name) else ""


@contextlib.contextmanager
def _retold() -> Iterator[None]:
    try:
        yield
    except PreconditionFailed as error:
        raise PreconditionError(str(error)) from cause(error)
    except RetryError as error:
        raise RetoldError(_words(error.cause or error)) from cause(error)
    except (GoogleAPICallError, GoogleAuthError, RequestException) as error:
        raise RetoldError(_words(error)) from cause(error)


def _words(error: BaseException) -> str:
    if isinstance(error, GoogleAPICallError):
        text = str(error.message)
        code = "NoSuchBucket" if NO_BUCKET in text else ""
        return (
            f"Google - Server returned non-2xx status code: {int(error.code or 0)}: "
            f"<Code>{code}</Code><Message>{text}</Message>"
        )
    if isinstance(error, InvalidOperation):  # who is nobody was asked who it is
        return f"Google - Server returned non-2xx status code: 401: {error}"
    if isinstance(error, GoogleAuthError) and not isinstance(error, TransportError):
        return f"credential provider: {error}"
    if isinstance(error, Timeout):
        return f"timed out: {error}"
    unreached = isinstance(error, ConnectionError | TransportError)
    return f"tcp connect error: {error}" if unreached else str(error)
