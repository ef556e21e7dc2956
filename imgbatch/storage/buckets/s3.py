"""An S3 bucket as its administrator sees it: made and hardened here, looked at in `s3_look`.

Rules and statements of other people stay as they are; ours are known by their names.
"""

from __future__ import annotations

import json
import uuid
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imgbatch.errors import StorageError
from imgbatch.storage.buckets import FORMER_DAYS, PROBE, Change, s3_rules
from imgbatch.storage.buckets import s3_look as looking
from imgbatch.storage.buckets.s3_client import FALLBACK_REGION, Aws, code_of, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgbatch.storage.buckets import Finding

PUBLIC = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
# What S3 says where nothing was ever set.
UNSET = (
    "ServerSideEncryptionConfigurationNotFoundError",
    "NoSuchPublicAccessBlockConfiguration",
    "NoSuchBucketPolicy",
    "NoSuchLifecycleConfiguration",
)
OTHERS = "Bucket names are one name space for the whole world: choose another name."
UNKNOWN = (
    "It is somebody else's (names are one name space for the whole world), or these keys are not "
    "taken: `imgbatch doctor` tells more."
)
ADMIN = (
    "Whoever hardens needs s3:GetEncryptionConfiguration, s3:PutEncryptionConfiguration, "
    "s3:GetBucketPublicAccessBlock, s3:PutBucketPublicAccessBlock, s3:GetBucketVersioning, "
    "s3:PutBucketVersioning, s3:GetBucketPolicy, s3:PutBucketPolicy, s3:GetLifecycleConfiguration "
    "and s3:PutLifecycleConfiguration; who creates also s3:CreateBucket."
)


# A call of boto3's client, and its words.
Undo = tuple[Any, dict[str, Any]]


class S3Bucket:
    """A bucket, or a prefix of one.

    Args:
        name: of the bucket.
        prefix: lifecycle rules are for objects below it only; "" for the whole bucket.
    """

    def __init__(self, name: str, prefix: str = "") -> None:
        self.name = name
        self.prefix = f"{prefix}/" if prefix else ""

    @cached_property
    def _aws(self) -> Aws:
        return Aws(self.name)

    @property
    def api(self) -> Any:
        """The S3 client."""
        return self._aws.s3

    def region(self) -> str:
        """Return where it is; "" where these credentials are not told."""
        with told(f"bucket {self.name}", UNKNOWN):
            try:
                said = self.api.head_bucket(Bucket=self.name)
            except ClientError as error:
                # Even a refusal says it; that there is no such bucket does not.
                if code_of(error) in ("404", "NoSuchBucket"):
                    raise
                said = error.response
        return looking.told_region(said)

    def exists(self) -> bool:
        """Return whether it is there and ours."""
        with told(f"bucket {self.name}", UNKNOWN):
            try:
                self.api.head_bucket(Bucket=self.name)
            except ClientError as error:
                if code_of(error) in ("404", "NoSuchBucket"):
                    return False
                raise
        return True

    def create(self, region: str | None) -> None:
        """Make it, in the region given or else that of the settings."""
        self._aws = Aws(self.name, region)
        region = self.api.meta.region_name
        where = {"LocationConstraint": region}
        extra = {} if region == FALLBACK_REGION else {"CreateBucketConfiguration": where}
        with told(f"bucket {self.name} cannot be created", f"{OTHERS} {ADMIN}"):
            self.api.create_bucket(Bucket=self.name, **extra)

    def changes(self) -> list[Change]:
        """Return what is to change, in the order in which it is safe to do."""
        with told(f"bucket {self.name} cannot be looked at", ADMIN):
            found = [
                self._public(),
                self._encryption(),
                self._versioning(),
                self._tls(),
                *self._lifecycle(),
            ]
        return [change for change in found if change is not None]

    def _asked(self, call: str, key: str) -> Any:
        """Return one setting; None where it was never set."""
        try:
            return getattr(self.api, call)(Bucket=self.name).get(key)
        except ClientError as error:
            if code_of(error) in UNSET:
                return None
            raise

    def _public(self) -> Change | None:
        key = "PublicAccessBlockConfiguration"
        now = self._asked("get_public_access_block", key) or {}
        if all(now.get(name) for name in PUBLIC):
            return None
        wanted = dict.fromkeys(PUBLIC, True)
        make = self._tested(
            self._told(self.api.put_public_access_block, **{key: wanted}),
            self._writes,
            (self.api.delete_public_access_block, {}),
            "this server refuses every write once public access is blocked",
        )
        shown = ", ".join(name for name in PUBLIC if now.get(name)) or "nothing is blocked"
        return Change("public access", shown, "all of it is blocked", make)

    def _encryption(self) -> Change | None:
        key = "ServerSideEncryptionConfiguration"
        if self._asked("get_bucket_encryption", key):
            return None  # AES256, or a key of yours: as it is
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        make = self._told(self.api.put_bucket_encryption, **{key: {"Rules": [rule]}})
        return Change("encryption", "none by default", "AES256 for every new object", make)

    def _versioning(self) -> Change | None:
        now = self._asked("get_bucket_versioning", "Status")
        if now == "Enabled":
            return None
        wanted = {"Status": "Enabled"}
        make = self._tested(
            self._told(self.api.put_bucket_versioning, VersioningConfiguration=wanted),
            self._refuses,
            (self.api.put_bucket_versioning, {"VersioningConfiguration": {"Status": "Suspended"}}),
            "this server takes writes that it must refuse once versioning is on",
        )
        until = f"on; former versions go after {FORMER_DAYS} days"
        return Change("versioning", str(now or "off").lower(), until, make)

    def _tls(self) -> Change | None:
        policy = json.loads(self._asked("get_bucket_policy", "Policy") or '{"Statement": []}')
        if any(s3_rules.denies_plain(statement) for statement in policy["Statement"]):
            return None
        policy = {"Version": "2012-10-17", **policy}
        policy["Statement"] = [*policy["Statement"], s3_rules.denial(self.name)]
        make = self._told(self.api.put_bucket_policy, Policy=json.dumps(policy))
        # It would lock everybody out, us first.
        plain = str(self.api.meta.endpoint_url).startswith("http:")
        refused = (
            "this endpoint is http://: nobody could reach the bucket any more" if plain else ""
        )
        return Change("plain http", "is answered", "is refused", make, refused)

    def _lifecycle(self) -> Iterator[Change]:
        now = self._asked("get_bucket_lifecycle_configuration", "Rules") or []
        wanted = s3_rules.rules(self.prefix)
        ours = {rule["ID"] for rule in wanted}
        rules = [rule for rule in now if rule.get("ID") not in ours] + wanted
        there = [s3_rules.plain(rule) for rule in now]
        missing = [rule for rule in wanted if s3_rules.plain(rule) not in there]
        if not missing:
            return
        make = self._told(
            self.api.put_bucket_lifecycle_configuration, LifecycleConfiguration={"Rules": rules}
        )
        others = len(rules) - len(wanted)
        shown = f"{len(now)} rules" if now else "none"
        says = "; ".join(s3_rules.says(rule) for rule in missing)
        kept = f"; {others} other rules stay" if others else ""
        yield Change("lifecycle", shown, says + kept, make)

    def _told(self, call: Any, **words: Any) -> Any:
        def make() -> None:
            with told(f"bucket {self.name}", ADMIN):
                call(Bucket=self.name, **words)

        return make

    def _tested(
        self, make: Callable[[], None], works: Callable[[], bool], undo: Undo, why: str
    ) -> Callable[[], None]:
        """Take a change back where something that worked before it no longer does.

        Measured on Ceph RGW 16.2: it refuses every write to a bucket whose public access is
        blocked, and takes every conditional write to one with versioning. It tells neither.
        """

        def made() -> None:
            could = works()
            make()
            if could and not works():
                call, words = undo
                self._told(call, **words)()
                raise StorageError(f"bucket {self.name}: {why}; that was taken back", ADMIN)

        return made

    def _writes(self) -> bool:
        """Return whether an object can be written."""
        return self._probed(lambda key: self.api.put_object(Bucket=self.name, Key=key) and True)

    def _refuses(self) -> bool:
        """Return whether a second write of what may be written once is refused."""

        def twice(key: str) -> bool:
            self.api.put_object(Bucket=self.name, Key=key, IfNoneMatch="*")
            try:
                self.api.put_object(Bucket=self.name, Key=key, IfNoneMatch="*")
            except ClientError as error:
                return code_of(error) in looking.REFUSED
            return False

        return self._probed(twice)

    def _probed(self, call: Callable[[str], bool]) -> bool:
        key = f"{self.prefix}{PROBE}{uuid.uuid4().hex}"
        try:
            found = call(key)
            self.api.delete_object(Bucket=self.name, Key=key)
        except ClientError:
            return False
        return found

    def look(self) -> Iterator[Finding]:
        """Yield who we are, how far off our clock is, where the bucket is, whether it answers."""
        return looking.look(self._aws, self.name, self.prefix)

    def may(self, verbs: tuple[str, ...]) -> Iterator[Finding]:  # noqa: ARG002 - Google's need them
        """Yield nothing: S3 cannot be asked, only tried."""
        return iter(())

    def guards(self, name: str) -> Iterator[Finding]:
        """Yield whether a write over a former etag is refused by the server itself."""
        return looking.guards(self.api, self.name, self.prefix + name)

    def keeps(self) -> Iterator[Finding]:
        """Yield what versioning, lifecycle rules and object lock will do to a dataset."""
        return looking.keeps(self.api, self.name, self.prefix)

    def grant(self, verb: str) -> str:
        """Return the IAM action and the resource."""
        return looking.grant(verb, self.name, self.prefix)
