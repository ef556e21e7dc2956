"""Enters: a bucket and a prefix. Leaves: what a versioned bucket still keeps of objects gone.

Deleting or replacing an object in a bucket with versioning hides the former one and keeps its
bytes. obstore has no verb for those, so this goes through the makers' own libraries: boto3 (S3 and
what speaks like it) and google-cloud-storage, which are loaded only here and only when needed.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any

from imgbatch.errors import StorageError
from imgbatch.storage import Former
from imgbatch.storage.secrets import scrub

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
    import boto3  # noqa: PLC0415 - a heavy import, wanted by two commands only
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        pages = boto3.client("s3").get_paginator("list_object_versions")
        markers = []
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
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
            raise _failed(bucket, prefix, error) from error
    except BotoCoreError as error:
        raise _failed(bucket, prefix, error) from error


def s3_recall(bucket: str, former: Former) -> bytes:
    """Return the bytes of a version.

    Raises:
        StorageError: it may not be read.
    """
    import boto3  # noqa: PLC0415 - a heavy import, wanted by two commands only
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        found = boto3.client("s3").get_object(
            Bucket=bucket, Key=former.name, VersionId=former.version
        )
        return bytes(found["Body"].read())
    except (BotoCoreError, ClientError) as error:
        raise _failed(bucket, former.name, error) from error


def s3_erase(bucket: str, former: Iterable[Former]) -> None:
    """Delete versions for good.

    Raises:
        StorageError: one may not be deleted; others may be gone.
    """
    import boto3  # noqa: PLC0415 - a heavy import, wanted by two commands only
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    client = boto3.client("s3")
    left = iter(former)
    while page := list(itertools.islice(left, PAGE)):
        objects = [{"Key": gone.name, "VersionId": gone.version} for gone in page]
        try:
            said = client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        except (BotoCoreError, ClientError) as error:
            raise _failed(bucket, page[0].name, error) from error
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
        for blob in client.list_blobs(bucket, prefix=prefix, versions=True):
            if blob.time_deleted is not None:
                yield Former(blob.name, str(blob.generation))


def gs_recall(bucket: str, former: Former) -> bytes:
    """Return the bytes of a generation.

    Raises:
        StorageError: it may not be read.
    """
    with _google(bucket, former.name) as client:
        blob = client.bucket(bucket).blob(former.name, generation=int(former.version))
        return bytes(blob.download_as_bytes())


def gs_erase(bucket: str, former: Iterable[Former]) -> None:
    """Delete generations for good.

    Raises:
        StorageError: one may not be deleted; others may be gone.
    """
    with _google(bucket, "") as client:
        place = client.bucket(bucket)
        for gone in former:
            place.delete_blob(gone.name, generation=int(gone.version))


@contextlib.contextmanager
def _google(bucket: str, prefix: str) -> Iterator[Any]:
    from google.api_core.exceptions import GoogleAPIError  # noqa: PLC0415 - a heavy import
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415
    from google.cloud import storage  # noqa: PLC0415

    try:
        yield storage.Client()
    except (GoogleAPIError, GoogleAuthError) as error:
        raise _failed(bucket, prefix, error) from error


def _failed(bucket: str, name: str, why: object) -> StorageError:
    return StorageError(f"{bucket}/{name}: former versions: {scrub(str(why))}", REMEDY)
