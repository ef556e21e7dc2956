"""Enters: a bucket of S3. Leaves: its objects by their true keys, through boto3."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - so it is called
    ConnectTimeoutError,
    CredentialRetrievalError,
    NoCredentialsError,
    ReadTimeoutError,
    SSOError,
)

from imgbatch.storage import Entry, sdk
from imgbatch.storage.odd import RetoldError
from imgbatch.storage.secrets import cause

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgbatch.storage.odd import Read

NOT_FOUND = 404
# The last place before keys that begin with a slash. A prefix instead would ask for another
# permission: policies name the prefixes that may be listed.
BEFORE_SLASH = ".\U0010fffd"


class S3Objects:
    """See `odd.Objects`."""

    def __init__(self, bucket: str) -> None:
        self._client = sdk.s3(bucket)
        self._bucket = bucket.partition("://")[2]

    def pages(self, below: str, after: str) -> Iterator[Sequence[Entry]]:
        """Yield entries by pages."""
        asked = {"Bucket": self._bucket, "Prefix": below, "StartAfter": after}
        with _retold():
            for page in self._client.get_paginator("list_objects_v2").paginate(**asked):
                yield [
                    Entry(found["Key"], found["Size"], found["ETag"])
                    for found in page.get("Contents", ())
                    if found["Size"] or not found["Key"].endswith("/")
                ]

    def leads(self) -> bool:
        """Return whether a key begins with a slash."""
        with _retold():
            page = self._client.list_objects_v2(
                Bucket=self._bucket, StartAfter=BEFORE_SLASH, MaxKeys=1
            )
        return any(found["Key"].startswith("/") for found in page.get("Contents", ()))

    def head(self, key: str) -> tuple[int, str]:
        """Return size and version."""
        with _retold():
            try:
                found = self._client.head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if _status(error) == NOT_FOUND:
                    raise
                # Answers to HEAD have no body that says why.
                self._client.get_object(Bucket=self._bucket, Key=key, Range="bytes=0-0")
                raise
        return found["ContentLength"], found["ETag"]

    def read(self, key: str, stretch: tuple[int, int] | None) -> Read:
        """Return the version, and what reads the bytes."""
        part = {"Range": f"bytes={stretch[0]}-{stretch[1] - 1}"} if stretch else {}
        with _retold():
            found = self._client.get_object(Bucket=self._bucket, Key=key, **part)

        def read() -> bytes:
            with _retold(), found["Body"] as body:
                return bytes(body.read())

        return found["ETag"], read


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


@contextlib.contextmanager
def _retold() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise RetoldError(_words(error)) from cause(error)


def _words(error: BotoCoreError | ClientError) -> str:
    if isinstance(error, ClientError):
        said = error.response.get("Error", {})
        return (
            f"S3 - Server returned non-2xx status code: {_status(error)}: "
            f"<Code>{said.get('Code', '')}</Code><Message>{said.get('Message', '')}</Message>"
        )
    if isinstance(error, NoCredentialsError | CredentialRetrievalError | SSOError):
        return f"credential provider: {error}"
    if isinstance(error, ConnectTimeoutError | ReadTimeoutError):
        return f"timed out: {error}"
    return f"tcp connect error: {error}" if isinstance(error, ConnectionError) else str(error)
