"""Enters: a bucket and a prefix. Leaves: what a versioned bucket still keeps of objects gone.

Deleting or replacing an object in a bucket with versioning hides the former one and keeps its
bytes. obstore has no verb for those, so this goes through the makers' own libraries
(`storage.sdk`). Buckets are named with their scheme: `s3://photos`.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any

from imgbatch.errors import StorageError
from imgbatch.storage import Former, sdk
from imgbatch.storage.secrets import cause, scrub

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE = 1000
# Stores that speak like S3 and have no versions at all say so with one of these.
UNKNOWN_CALL = ("NotImplemented", "MethodNotAllowed")
REMEDY = (
    "Whoever forgets must be allowed to list, read and delete object versions (S3: "
    "s3:ListBucketVersions, s3:GetObjectVersion and s3:DeleteObjectVersion; Google: "
    "storage.objects.list, .get and .delete). Then do the same again: it goes on from here."
)


def s3_former(bucket: str, prefix: str) -> Iterator[Former]:
    """Yield replaced and deleted versions below a prefix, then the markers of deletions.

    Markers come last: one that goes while its object's versions are there brings it back.

    Raises:
        StorageError: versions may not be listed.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - a heavy import

    try:
        pages = sdk.s3(bucket).get_paginator("list_object_versions")
        markers = []
        for page in pages.paginate(Bucket=_name(bucket), Prefix=prefix):
            for found in page.get("Versions", ()):
                if not found["IsLatest"]:
                    yield Former(found["Key"], found["VersionId"])
            markers += [
                Former(found["Key"], found["VersionId"], marker=True)
                for found in page.get("DeleteMarkers", ())
            ]
        yield from markers
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in UNKNOWN_CALL:
            raise _failed(bucket, prefix, error) from cause(error)
    except BotoCoreError as error:
        raise _failed(bucket, prefix, error) from cause(error)


def s3_recall(bucket: str, former: Former) -> bytes:
    """Return the bytes of a version.

    Raises:
        StorageError: it may not be read.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - a heavy import

    try:
        found = sdk.s3(bucket).get_object(
            Bucket=_name(bucket), Key=former.name, VersionId=former.version
        )
        return bytes(found["Body"].read())
    except (BotoCoreError, ClientError) as error:
        raise _failed(bucket, former.name, error) from cause(error)


def s3_erase(bucket: str, former: Iterable[Former]) -> None:
    """Delete versions for good.

    Raises:
        StorageError: one may not be deleted; others may be gone.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - a heavy import

    client = sdk.s3(bucket)
    left = iter(former)
    while page := list(itertools.islice(left, PAGE)):
        objects = [{"Key": gone.name, "VersionId": gone.version} for gone in page]
        try:
            wanted = {"Objects": objects, "Quiet": True}
            said = client.delete_objects(Bucket=_name(bucket), Delete=wanted)
        except (BotoCoreError, ClientError) as error:
            raise _failed(bucket, page[0].name, error) from cause(error)
        if refused := said.get("Errors"):
            first = refused[0]
            raise _failed(bucket, first["Key"], first.get("Message") or first.get("Code"))


def gs_former(bucket: str, prefix: str) -> Iterator[Former]:
    """Yield replaced and deleted generations below a prefix.

    What a bucket's soft delete policy keeps can be deleted by nobody before its time.

    Raises:
        StorageError: generations may not be listed.
    """
    with _google(bucket, prefix) as client:
        for blob in client.list_blobs(_name(bucket), prefix=prefix, versions=True):
            if blob.time_deleted is not None:
                yield Former(blob.name, str(blob.generation))


def gs_recall(bucket: str, former: Former) -> bytes:
    """Return the bytes of a generation.

    Raises:
        StorageError: it may not be read.
    """
    with _google(bucket, former.name) as client:
        blob = client.bucket(_name(bucket)).blob(former.name, generation=int(former.version))
        return bytes(blob.download_as_bytes())


def gs_erase(bucket: str, former: Iterable[Former]) -> None:
    """Delete generations for good.

    Raises:
        StorageError: one may not be deleted; others may be gone.
    """
    with _google(bucket, "") as client:
        place = client.bucket(_name(bucket))
        for gone in former:
            place.delete_blob(gone.name, generation=int(gone.version))


@contextlib.contextmanager
def _google(bucket: str, prefix: str) -> Iterator[Any]:
    from google.api_core.exceptions import GoogleAPIError  # noqa: PLC0415 - a heavy import
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 - for Google's buckets alone

    try:
        yield sdk.google(bucket)
    except (GoogleAPIError, GoogleAuthError) as error:
        raise _failed(bucket, prefix, error) from cause(error)


def _name(bucket: str) -> str:
    return bucket.partition("://")[2]


def _failed(bucket: str, name: str, why: object) -> StorageError:
    return StorageError(f"{bucket}/{name}: former versions: {scrub(str(why))}", REMEDY)
