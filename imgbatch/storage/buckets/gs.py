"""A Google Cloud Storage bucket as its administrator sees it.

Google encrypts everything and refuses plain http by itself; what is left is who may get in, and
what becomes of former versions.
"""

from __future__ import annotations

import contextlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

from google.api_core.exceptions import GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError

from imgbatch.errors import StorageError
from imgbatch.storage import sdk
from imgbatch.storage.buckets import ABORT_DAYS, FORMER_DAYS, PROBE, PROBE_DAYS, Change
from imgbatch.storage.buckets import gs_look as looking
from imgbatch.storage.secrets import scrub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgbatch.storage.buckets import Finding

SECONDS = 15
ADMIN = (
    "Whoever creates or hardens needs storage.buckets.create, storage.buckets.get and "
    "storage.buckets.update: the role roles/storage.admin, and for creating a project "
    "(`gcloud config set project NAME`, or GOOGLE_CLOUD_PROJECT)."
)


class GoogleBucket:
    """A bucket, or a prefix of one.

    Args:
        name: of the bucket.
        prefix: lifecycle rules are for objects below it only; "" for the whole bucket.
    """

    def __init__(self, name: str, prefix: str = "") -> None:
        self.name = name
        self.prefix = f"{prefix}/" if prefix else ""

    @cached_property
    def client(self) -> Any:
        """Google's client, as the bucket's options say."""
        return sdk.google(f"gs://{self.name}")

    @cached_property
    def _bucket(self) -> Any:
        return self.client.get_bucket(self.name, timeout=SECONDS, retry=None)

    def region(self) -> str:
        """Return where it is, in Google's small letters."""
        with told(f"bucket {self.name}"):
            return str(self._bucket.location or "").lower()

    def exists(self) -> bool:
        """Return whether it is there and may be looked at."""
        with told(f"bucket {self.name}"):
            try:
                return bool(self._bucket)
            except NotFound:
                return False

    def create(self, region: str | None) -> None:
        """Make it, in a region such as europe-west3; Google's default is the multi-region US."""
        with told(f"bucket {self.name} cannot be created"):
            made = self.client.bucket(self.name)
            made.iam_configuration.uniform_bucket_level_access_enabled = True
            self.client.create_bucket(made, location=region, timeout=SECONDS)

    def changes(self) -> list[Change]:
        """Return what is to change."""
        with told(f"bucket {self.name} cannot be looked at"):
            found = [self._uniform(), self._public(), self._versioning(), *self._lifecycle()]
        return [change for change in found if change is not None]

    def _uniform(self) -> Change | None:
        if self._bucket.iam_configuration.uniform_bucket_level_access_enabled:
            return None

        def make() -> None:
            self._bucket.iam_configuration.uniform_bucket_level_access_enabled = True

        now = "each object may have a list of its own"
        return Change("access", now, "by the bucket's policy alone", self._patched(make))

    def _public(self) -> Change | None:
        if self._bucket.iam_configuration.public_access_prevention == "enforced":
            return None

        def make() -> None:
            self._bucket.iam_configuration.public_access_prevention = "enforced"

        now = "not prevented here"
        return Change("public access", now, "is prevented", self._patched(make))

    def _versioning(self) -> Change | None:
        if self._bucket.versioning_enabled:
            return None

        def make() -> None:
            self._bucket.versioning_enabled = True

        until = f"on; former versions go after {FORMER_DAYS} days"
        return Change("versioning", "off", until, self._patched(make))

    def _lifecycle(self) -> Iterator[Change]:
        now = [dict(rule) for rule in self._bucket.lifecycle_rules]
        missing = [rule for rule in _rules(self.prefix) if rule not in now]
        if not missing:
            return

        def make() -> None:
            self._bucket.lifecycle_rules = [*now, *missing]

        says = "; ".join(looking.says(rule) for rule in missing)
        kept = f"; {len(now)} other rules stay" if now else ""
        shown = f"{len(now)} rules" if now else "none"
        yield Change("lifecycle", shown, says + kept, self._patched(make))

    def _patched(self, make: Callable[[], None]) -> Callable[[], None]:
        def patched() -> None:
            with told(f"bucket {self.name}"):
                make()
                self._bucket.patch(timeout=SECONDS)

        return patched

    def look(self) -> Iterator[Finding]:
        """Yield who we are, how far off our clock is, where the bucket is, whether it answers."""
        return looking.look(self.name)

    def may(self, verbs: tuple[str, ...]) -> Iterator[Finding]:
        """Yield which permissions are lacking; Google is asked, nothing is tried."""
        return looking.may(self.client, self.name, verbs)

    def guards(self, name: str) -> Iterator[Finding]:
        """Yield whether a write over a former generation is refused by the server itself."""
        return looking.guards(self.client, self.name, self.prefix + name)

    def keeps(self) -> Iterator[Finding]:
        """Yield what versioning, soft delete, retention and lifecycle rules do to a dataset."""
        return looking.keeps(self.client, self.name, self.prefix)

    def grant(self, verb: str) -> str:
        """Return the command that permits it."""
        return looking.grant(verb, self.name)


def _rules(prefix: str) -> list[dict[str, Any]]:
    below = {"matchesPrefix": [prefix]} if prefix else {}
    return [
        {
            "action": {"type": "AbortIncompleteMultipartUpload"},
            "condition": {"age": ABORT_DAYS, **below},
        },
        {
            "action": {"type": "Delete"},
            "condition": {"daysSinceNoncurrentTime": FORMER_DAYS, "isLive": False, **below},
        },
        {
            "action": {"type": "Delete"},
            "condition": {"age": PROBE_DAYS, "matchesPrefix": [prefix + PROBE]},
        },
    ]


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """Turn what Google's library raises into a StorageError without secrets."""
    try:
        yield
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        raise StorageError(scrub(f"{what}: {error}"), ADMIN) from None
