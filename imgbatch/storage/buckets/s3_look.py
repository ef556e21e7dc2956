"""What can be found out about an S3 bucket before a run: one answer of it tells most."""

from __future__ import annotations

import difflib
import json
import shlex
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError, SSLError

from imgbatch.errors import SettingsError
from imgbatch.storage.buckets import CERTIFICATE, FORMER_DAYS, Finding
from imgbatch.storage.buckets.clock import clock
from imgbatch.storage.buckets.s3_client import code_of
from imgbatch.storage.buckets.s3_identity import EXPIRED, UNKNOWN, renew, who
from imgbatch.storage.secrets import scrub

if TYPE_CHECKING:
    from collections.abc import Iterator

    import boto3

    from imgbatch.storage.buckets.s3_client import Aws

REGION = "x-amz-bucket-region"
ELSEWHERE = (
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "TemporaryRedirect",
    "301",
)
WRONG = {
    **dict.fromkeys(UNKNOWN, "the server does not know this key"),
    "InvalidToken": "the session token is not valid",
    "SignatureDoesNotMatch": "the secret key does not fit the key id",
}
COPY = "Copy key id, secret key and session token again, all from one place."
UNUSUAL = "Ask whoever runs this server; 5xx and SlowDown pass by themselves."
REFUSED = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
NOT_ALLOWED = ("AccessDenied", "403", "AllAccessDisabled", "Forbidden")
ACTIONS = {
    "list": "s3:ListBucket",
    "get": "s3:GetObject",
    "put": "s3:PutObject",
    "delete": "s3:DeleteObject",
}


def look(aws: Aws, bucket: str, prefix: str) -> Iterator[Finding]:
    """Yield credentials, then what one listing of the bucket tells."""
    try:
        of = aws.session
    except SettingsError as error:
        yield Finding("credentials", "failed", str(error), error.remedy, blocks=True)
        return
    for finding in who(aws):
        yield finding
        if finding.blocks:
            return
    api = aws.s3
    try:
        said = api.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    except ClientError as error:
        yield from _answered(of, api, bucket, error)
    except BotoCoreError as error:
        yield _unreached(api, bucket, error)
    else:
        yield from _clock(said)
        yield _region(of, api, said)


def _headers(said: dict[str, Any]) -> dict[str, str]:
    return dict(said.get("ResponseMetadata", {}).get("HTTPHeaders", {}))


def told_region(said: dict[str, Any]) -> str:
    """Return the region of a bucket, as its answer to whatever request says; "" where not."""
    return str(_headers(said).get(REGION, ""))


def _clock(said: dict[str, Any]) -> Iterator[Finding]:
    yield from clock(_headers(said).get("date"))


def _region(of: boto3.Session, api: Any, said: dict[str, Any]) -> Finding:
    here, there = api.meta.region_name, _headers(said).get(REGION)
    text = f"{api.meta.endpoint_url} answers"
    if there and there != here:
        return _elsewhere(of, here, there)
    return Finding("region", "ok", f"{text}; region {there or here}")


def _elsewhere(of: boto3.Session, here: str, there: str | None) -> Finding:
    asked = "the settings say" if of.region_name else "no region is set, which means"
    where = f"the bucket is in {there}" if there else "the bucket is in another region"
    region = there or "REGION"
    remedy = f"Add `?region={region}` to the URL, or `export AWS_REGION={region}`"
    aside = "" if there else "; `aws s3api get-bucket-location --bucket NAME` tells which"
    return Finding("region", "failed", f"{where}; {asked} {here}", remedy + aside, blocks=True)


def _answered(of: boto3.Session, api: Any, bucket: str, error: ClientError) -> Iterator[Finding]:
    """Yield what a refusal tells. One for want of permission is left to the tries that follow."""
    code = code_of(error)
    for off in _clock(error.response):
        yield off
        if off.blocks:
            return
    if code in ELSEWHERE:
        there = _headers(error.response).get(REGION) or error.response["Error"].get("Region")
        yield _elsewhere(of, api.meta.region_name, there)
    elif code == "NoSuchBucket":
        yield _missing(api, bucket)
    elif code in EXPIRED:
        yield Finding("credentials", "failed", "the keys have expired", renew(of), blocks=True)
    elif code in WRONG:
        yield Finding("credentials", "failed", WRONG[code], COPY, blocks=True)
    elif code in NOT_ALLOWED:
        yield Finding("region", "ok", f"{api.meta.endpoint_url} answers ({code})")
    else:
        yield Finding("endpoint", "failed", scrub(str(error)), UNUSUAL, blocks=True)


def _missing(api: Any, bucket: str) -> Finding:
    near = ""
    try:
        names = [found["Name"] for found in api.list_buckets().get("Buckets", ())]
    except (BotoCoreError, ClientError):
        names = []  # may well be forbidden; then there is nothing to suggest
    if close := difflib.get_close_matches(bucket, names, n=3, cutoff=0.5):
        near = f"Did you mean {' or '.join(close)}? "
    remedy = (
        f"{near}Check the name; `imgbatch bucket create {shlex.quote(f's3://{bucket}')}` makes it."
    )
    return Finding("bucket", "failed", f"there is no bucket {bucket}", remedy, blocks=True)


def _unreached(api: Any, bucket: str, error: BotoCoreError) -> Finding:
    if isinstance(error, ParamValidationError):
        text = f"{bucket!r} cannot be the name of a bucket"
        return Finding("bucket", "failed", text, "Check the URL.", blocks=True)
    remedy = (
        "Check the network, a proxy (HTTPS_PROXY), and AWS_ENDPOINT_URL (or `?endpoint=` in the "
        "URL) if the bucket is not Amazon's."
    )
    if isinstance(error, SSLError):
        remedy = CERTIFICATE
    text = f"{api.meta.endpoint_url} is not reached: {scrub(str(error))}"
    return Finding("endpoint", "failed", text, remedy, blocks=True)


def guards(api: Any, bucket: str, key: str) -> Iterator[Finding]:
    """Yield whether a write over a former etag is refused; our own look before it proves nothing.

    A server that ignores what it does not know writes, and says that all is well.
    """
    try:
        former = api.put_object(Bucket=bucket, Key=key, Body=b"imgbatch doctor a")["ETag"]
        api.put_object(Bucket=bucket, Key=key, Body=b"imgbatch doctor b")
    except (BotoCoreError, ClientError) as error:
        yield Finding("compare and swap", "skipped", f"cannot be tried: {scrub(str(error))}")
        return
    try:
        api.put_object(Bucket=bucket, Key=key, Body=b"imgbatch doctor c", IfMatch=former)
    except (BotoCoreError, ClientError) as error:
        if code_of(error) in REFUSED:
            yield Finding(
                "compare and swap", "ok", "a write over a version that is gone is refused"
            )
            return
        text = f"a conditional write fails: {scrub(str(error))}"
    else:
        text = "DANGEROUS: the server wrote over a version that is gone, and said nothing"
    remedy = (
        "Two runs could overwrite each other's work on this server. Use one that knows If-Match "
        "(Amazon S3, Ceph, MinIO in their present versions), or a folder."
    )
    yield Finding("compare and swap", "failed", text, remedy)


def keeps(api: Any, bucket: str, prefix: str) -> Iterator[Finding]:
    """Yield what versioning and lifecycle rules will do to a dataset below a prefix."""
    try:
        versioned = api.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"
        rules = _rules(api, bucket)
    except (BotoCoreError, ClientError) as error:
        needs = "s3:GetBucketVersioning and s3:GetLifecycleConfiguration"
        text = f"versioning and lifecycle cannot be looked at ({code_of(error)}): needs {needs}"
        yield Finding("versioning", "skipped", text)
        return
    rules = [rule for rule in rules if rule.get("Status") == "Enabled" and _meets(rule, prefix)]
    yield _versioning(bucket, prefix, rules, versioned=versioned)
    for rule in rules:
        yield from _harmful(rule, prefix)


def _rules(api: Any, bucket: str) -> list[dict[str, Any]]:
    try:
        return list(api.get_bucket_lifecycle_configuration(Bucket=bucket).get("Rules", ()))
    except ClientError as error:
        if code_of(error) == "NoSuchLifecycleConfiguration":
            return []
        raise


def _below(rule: dict[str, Any]) -> str:
    filtered = rule.get("Filter", {})
    return str(
        filtered.get("Prefix") or filtered.get("And", {}).get("Prefix") or rule.get("Prefix") or ""
    )


def _meets(rule: dict[str, Any], prefix: str) -> bool:
    below = _below(rule)
    return below.startswith(prefix) or prefix.startswith(below)


def _versioning(
    bucket: str, prefix: str, rules: list[dict[str, Any]], *, versioned: bool
) -> Finding:
    if not versioned:
        return Finding("versioning", "ok", "off: what is replaced or deleted is gone at once")
    ends = [
        rule["NoncurrentVersionExpiration"].get("NoncurrentDays")
        for rule in rules
        if "NoncurrentVersionExpiration" in rule and prefix.startswith(_below(rule))
    ]
    if ends:
        return Finding("versioning", "ok", f"on; former versions go after {min(ends)} days")
    url = f"s3://{bucket}/{prefix}"
    text = "on, and former versions stay for ever: each lock, log and forgotten source is kept"
    remedy = (
        f"`imgbatch bucket harden {shlex.quote(url)}` ends them after {FORMER_DAYS} days. "
        "`imgbatch forget` needs s3:ListBucketVersions and s3:DeleteObjectVersion here."
    )
    return Finding("versioning", "warning", text, remedy)


def _harmful(rule: dict[str, Any], prefix: str) -> Iterator[Finding]:
    name, below = rule.get("ID", "without a name"), _below(rule)
    if below.startswith(prefix) and below != prefix and "imgbatch-" in name:
        return  # ours
    expires = rule.get("Expiration", {})
    when = expires.get("Days") or expires.get("Date")
    remedy = f"Exclude this prefix from the rule {name!r}, or use another bucket."
    if when:
        unit = " days" if expires.get("Days") else ""
        text = f"DANGEROUS: the rule {name!r} deletes objects here after {when}{unit}"
        yield Finding("lifecycle", "failed", text, remedy)
    if rule.get("Transitions"):
        to = ", ".join(str(step.get("StorageClass")) for step in rule["Transitions"])
        text = f"the rule {name!r} moves objects here to {to}: tables there may not be readable"
        yield Finding("lifecycle", "warning", text, remedy)


def grant(verb: str, bucket: str, prefix: str) -> str:
    """Return the statement that a policy lacks."""
    place = f"arn:aws:s3:::{bucket}" + ("" if verb == "list" else f"/{prefix}*")
    statement = {"Effect": "Allow", "Action": ACTIONS[verb], "Resource": place}
    return f"Whoever administers {bucket} adds to your policy: {json.dumps(statement)}"
