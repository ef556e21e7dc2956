"""A project as a whole: whether machines could be rented in it, and what of ours is left."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING

from imgbatch.cloud import Check
from imgbatch.cloud.gcp.doors import CLI
from imgbatch.cloud.gcp.errors import Refusal, told
from imgbatch.cloud.gcp.permissions import permissions
from imgbatch.cloud.gcp.quotas import free, quotas
from imgbatch.cloud.gcp.rest import last, one
from imgbatch.cloud.gcp.sweep import left
from imgbatch.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.cloud import Left, Quota
    from imgbatch.cloud.gcp.rest import Google

# What a deployment takes; each is turned on once in a project.
APIS = (
    "artifactregistry.googleapis.com",
    "cloudbilling.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "compute.googleapis.com",
    "iam.googleapis.com",
    "iap.googleapis.com",
    "oslogin.googleapis.com",
    "secretmanager.googleapis.com",
    "serviceusage.googleapis.com",
    "storage.googleapis.com",
)
# The same as in infra/gcp/variables.tf.
IMAGE = ("deeplearning-platform-release", "common-cu129-ubuntu-2204-nvidia-580")
TOOLS = {
    "gcloud": ("for `imgbatch cloud ssh` and `jupyter`", f"Install it: {CLI}"),
    "docker": ("for `scripts/image`, where the image is built", "https://docs.docker.com/engine"),
}
# The smallest head has so many cores, the smallest worker without a GPU as many.
CORES = 4
# What machines take besides, of a region: the head, and each worker (infra/gcp/variables.tf).
BESIDES = {
    "SSD_TOTAL_GB": ("GB of balanced disks", 60, 100),
    "IN_USE_ADDRESSES": ("addresses", 1, 1),
}


class GcpAccount:
    """Implements `imgbatch.cloud.Account`."""

    def __init__(self, google: Google) -> None:
        self._google = google

    def checks(self, region: str) -> Iterator[Check]:
        """Yield a line for credentials, billing, APIs, region, permissions, image, quotas."""
        region = region or self._google.region
        project = self._google.project
        try:
            with told("asking Google who we are"):
                found = self._google.get("cloudresourcemanager", f"v1/projects/{project}")
        except CloudError as error:
            yield Check("credentials", "failed", str(error), error.remedy)
            return
        name = found.get("name", project)
        yield Check("credentials", "ok", f"project {project} ({name})")
        yield self._billing()
        apis = self._apis()
        yield apis
        if apis.state == "failed":
            return
        on = self._region(region)
        yield on
        yield self._scheduler(region)
        yield from permissions(self._google)
        yield self._image()
        if on.state != "failed":
            yield from self._quotas(region)
            yield from (self._besides(region, metric) for metric in BESIDES)
        yield from _tools()

    def left(self, deployment: str = "") -> Iterator[Left]:
        """Yield what there is with our label in all regions: of one deployment, or of all.

        Raises:
            CloudError: a service cannot be asked; after all that could be is told.
        """
        return left(self._google, deployment)

    def _billing(self) -> Check:
        project = self._google.project
        try:
            with told("asking whether billing is on"):
                path = f"v1/projects/{project}/billingInfo"
                found = self._google.get("cloudbilling", path)
        except CloudError as error:
            return Check("billing", "unknown", str(error), error.remedy)
        if found.get("billingEnabled"):
            return Check("billing", "ok", last(found.get("billingAccountName", "")))
        fix = f"gcloud billing projects link {project} --billing-account=ACCOUNT"
        return Check("billing", "failed", f"project {project} has no billing account", fix)

    def _apis(self) -> Check:
        project = self._google.project
        parent = f"projects/{project}"
        names = [f"{parent}/services/{api}" for api in APIS]
        try:
            with told("asking which APIs are on"):
                found = self._google.get(
                    "serviceusage", f"v1/{parent}/services:batchGet", names=names
                )
        except CloudError as error:
            return Check("APIs", "unknown", str(error), error.remedy)
        on = {last(raw["name"]) for raw in found["services"] if raw.get("state") == "ENABLED"}
        off = [api for api in APIS if api not in on]
        if not off:
            return Check("APIs", "ok", f"{len(APIS)} are on")
        fix = f"gcloud services enable {' '.join(off)} --project {project}"
        return Check("APIs", "failed", f"not on: {', '.join(off)}", fix)

    def _region(self, region: str) -> Check:
        try:
            with told(f"asking for {region}"):
                try:
                    path = f"projects/{self._google.project}/regions/{one(region)}"
                    found = self._google.get("compute", path)
                except Refusal as error:
                    if not error.missing:
                        raise
                    fix = "`gcloud compute regions list` shows all."
                    return Check("region", "failed", f"Google has no {region}", fix)
        except CloudError as error:
            return Check("region", "unknown", str(error), error.remedy)
        zones = ", ".join(last(zone) for zone in found.get("zones", []))
        return Check("region", "ok", f"{region}: {zones}")

    def _scheduler(self, region: str) -> Check:
        """Whether deadlines can be kept there: Cloud Scheduler came to some regions late."""
        title = "Cloud Scheduler"
        try:
            with told("asking where Cloud Scheduler is"):
                path = f"v1/projects/{self._google.project}/locations"
                found = self._google.pages("cloudscheduler", path, "locations")
                there = {raw["locationId"] for raw in found}
        except CloudError as error:
            return Check(title, "unknown", str(error), error.remedy)
        if region in there:
            return Check(title, "ok", region)
        fix = "Take another region: `gcloud scheduler locations list` shows all."
        return Check(title, "failed", f"it is not in {region}, and keeps the deadlines", fix)

    def _image(self) -> Check:
        project, family = IMAGE
        title = "image machine_image"
        try:
            with told(f"asking for {family}"):
                try:
                    path = f"projects/{project}/global/images/family/{family}"
                    found = self._google.get("compute", path)
                except Refusal as error:
                    if not error.missing:
                        raise
                    fix = "Set machine_image in the deployment's variables to one with the same."
                    return Check(title, "failed", f"there is no {family} any more", fix)
        except CloudError as error:
            return Check(title, "unknown", str(error), error.remedy)
        return Check(title, "ok", str(found["name"]))

    def _quotas(self, region: str) -> Iterator[Check]:
        try:
            found = quotas(self._google, region)
        except CloudError as error:
            yield Check("quotas", "unknown", str(error), error.remedy)
            return
        yield from (_quota(quota) for quota in found)

    def _besides(self, region: str, metric: str) -> Check:
        """Whether a head and a worker find room, and how many workers do."""
        unit, head, worker = BESIDES[metric]
        title = f"quota {metric}"
        try:
            limit, left, fix = free(self._google, region, metric)
        except CloudError as error:
            return Check(title, "unknown", str(error), error.remedy)
        if left == math.inf:
            return Check(title, "ok", f"{region} has none")
        workers = max(0, int((left - head) // worker))
        said = f"{limit:.0f} {unit}, {left:.0f} free in {region}: a head and {workers} workers"
        return Check(title, "ok" if workers else "failed", said, fix)


def _quota(quota: Quota) -> Check:
    title = f"quota {'spot' if quota.spot else 'on-demand'} {quota.gpu or 'CPU'}"
    free = quota.limit - (quota.used or 0)
    said = f"{quota.name}: {quota.limit:.0f} {quota.unit}, {free:.0f} free in {quota.region}"
    if free >= (1 if quota.gpu else CORES):
        return Check(title, "ok", said)
    # Pools are of spot machines unless somebody says otherwise, one kind of GPU is enough for a
    # run; the head is on demand.
    needed = not quota.gpu and not quota.spot
    return Check(title, "failed" if needed else "unknown", said, quota.fix)


def _tools() -> Iterator[Check]:
    for tool, (use, fix) in TOOLS.items():
        found = shutil.which(tool)
        if found:
            yield Check(tool, "ok", found)
        else:
            yield Check(tool, "unknown", f"not on this machine; {use}", fix)
