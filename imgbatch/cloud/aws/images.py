"""The name of an image enters; whether machines will find it in the registry leaves."""

from __future__ import annotations

from botocore.exceptions import ClientError

from imgbatch.cloud import Check
from imgbatch.cloud.aws.clients import Clients
from imgbatch.cloud.aws.errors import code_of, told
from imgbatch.errors import CloudError

MISSING = ("RepositoryNotFoundException", "ImageNotFoundException")


def pushed(image: str, region: str, *, deployment: str) -> Check:
    """Return whether an image lies in the registry of this account.

    Args:
        image: REGISTRY/NAME:TAG.
        region: of the registry.
        deployment: its name, for what to do.
    """
    repository, _, tag = image.partition("/")[2].rpartition(":")
    try:
        with told(f"looking for the image {image}"):
            try:
                Clients(region).of("ecr").describe_images(
                    repositoryName=repository, imageIds=[{"imageTag": tag}]
                )
            except ClientError as error:
                if code_of(error) in MISSING:
                    fix = f"`scripts/image {deployment}` builds it and pushes it there."
                    return Check("image", "failed", f"{image} is not in the registry", fix)
                raise
    except CloudError as error:
        return Check("image", "unknown", str(error), error.remedy)
    return Check("image", "ok", image)
