"""Where Terraform's state of a deployment lies: a cloud, an account, a region and a name enter.

A bucket of the account holds the states of all its deployments in a region, each in a folder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

SCHEMES = {"aws": "s3", "gcp": "gs"}
FILES = {"aws": "terraform.tfstate", "gcp": "default.tfstate"}
# The longest name of a bucket.
LONGEST = 63


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one deployment's state."""

    cloud: str
    account: str
    region: str
    name: str

    @property
    def bucket(self) -> str:
        """Name of the bucket; the id of a project may be too long for it, and is cut then."""
        name = f"imgbatch-state-{self.account}-{self.region}"
        if len(name) <= LONGEST:
            return name
        mark = hashlib.sha256(self.account.encode()).hexdigest()[:8]
        cut = self.account[: LONGEST - len(name) - len(mark) - 1].rstrip("-")
        return f"imgbatch-state-{cut}-{mark}-{self.region}"

    @property
    def options(self) -> str:
        """What URLs of this account's buckets are told besides."""
        told = {"aws": f"?region={self.region}", "gcp": f"?project={self.account}"}
        return told[self.cloud]

    @property
    def folder(self) -> str:
        """URL of the folder, without options."""
        return f"{self.url(self.bucket)}/{self.name}"

    def url(self, bucket: str) -> str:
        """Return the URL of a bucket of this cloud, without options."""
        return f"{SCHEMES[self.cloud]}://{bucket}"

    @property
    def file(self) -> str:
        """URL of the state itself."""
        return f"{self.folder}/{FILES[self.cloud]}"

    @property
    def backend(self) -> dict[str, str]:
        """What `terraform init` is told; Google's bucket locks and encrypts by itself."""
        if self.cloud == "gcp":
            return {"bucket": self.bucket, "prefix": self.name}
        return {
            "bucket": self.bucket,
            "key": f"{self.name}/{FILES[self.cloud]}",
            "region": self.region,
            "use_lockfile": "true",
            "encrypt": "true",
        }

    @property
    def variables(self) -> dict[str, str]:
        """The least that a root is told."""
        least = {"name": self.name, "region": self.region}
        return {**least, "project": self.account} if self.cloud == "gcp" else least
