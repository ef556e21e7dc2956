"""Which bucket holds the states of an account's deployments, and what Terraform is told of it.

A cloud, an account, a region and a name enter; names and URLs leave. Nothing is asked or made.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

SCHEMES = {"aws": "s3", "gcp": "gs"}
FILES = {"aws": "terraform.tfstate", "gcp": "default.tfstate"}
# The longest name of a bucket.
LONGEST = 63


@dataclass(frozen=True, slots=True)
class Backend:
    """Where the state of one deployment lies."""

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
    def file(self) -> str:
        """Name of the state in its folder."""
        return FILES[self.cloud]

    @property
    def options(self) -> str:
        """What URLs of this account's buckets are told besides."""
        told = {"aws": f"?region={self.region}", "gcp": f"?project={self.account}"}
        return told[self.cloud]

    def url(self, bucket: str) -> str:
        """Return the URL of a bucket of this cloud, without options."""
        return f"{SCHEMES[self.cloud]}://{bucket}"

    @property
    def folder(self) -> str:
        """URL of the folder, without options."""
        return f"{self.url(self.bucket)}/{self.name}"

    @property
    def told(self) -> dict[str, str]:
        """What `terraform init` is told; Google's bucket locks and encrypts by itself."""
        if self.cloud == "gcp":
            return {"bucket": self.bucket, "prefix": self.name}
        return {
            "bucket": self.bucket,
            "key": f"{self.name}/{self.file}",
            "region": self.region,
            "use_lockfile": "true",
            "encrypt": "true",
        }

    @property
    def variables(self) -> dict[str, str]:
        """The least that a root is told."""
        least = {"name": self.name, "region": self.region}
        return {**least, "project": self.account} if self.cloud == "gcp" else least
