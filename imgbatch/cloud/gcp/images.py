"""The name of an image enters; whether machines will find it in the registry leaves."""

from __future__ import annotations

import re

from imgbatch.cloud import Check
from imgbatch.cloud.gcp.errors import Refusal, told
from imgbatch.cloud.gcp.rest import Google, one
from imgbatch.errors import CloudError

NAME = re.compile(
    r"(?P<place>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[^/]+)/(?P<repository>[^/]+)/"
    r"(?P<image>.+):(?P<tag>[^:/]+)"
)


def pushed(image: str, region: str, *, deployment: str) -> Check:
    """Return whether an image lies in Artifact Registry.

    Args:
        image: REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME:TAG.
        region: of the deployment.
        deployment: its name, for what to do.
    """
    found = NAME.fullmatch(image)
    if not found:
        return Check("image", "unknown", f"{image} is not of Artifact Registry")
    place = f"projects/{found['project']}/locations/{found['place']}"
    package = f"repositories/{found['repository']}/packages/{one(found['image'])}"
    try:
        with told(f"looking for the image {image}"):
            google = Google(region, found["project"])
            try:
                google.get("artifactregistry", f"v1/{place}/{package}/tags/{one(found['tag'])}")
            except Refusal as error:
                if error.missing:
                    fix = f"`scripts/image {deployment}` builds it and pushes it there."
                    return Check("image", "failed", f"{image} is not in the registry", fix)
                raise
    except CloudError as error:
        return Check("image", "unknown", str(error), error.remedy)
    return Check("image", "ok", image)
