"""What can be found out about a Google bucket before a run; permissions are asked, not tried."""

from __future__ import annotations

import shlex
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from google.api_core.exceptions import (
    Forbidden,
    GoogleAPIError,
    NotFound,
    PreconditionFailed,
)
from google.auth.exceptions import GoogleAuthError

from imgbatch.errors import AccessError
from imgbatch.storage import sdk
from imgbatch.storage.access import options_of
from imgbatch.storage.buckets import FORMER_DAYS, Finding
from imgbatch.storage.buckets.clock import clock
from imgbatch.storage.secrets import remember, scrub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.storage.options import GoogleOptions

SECONDS = 15
NONE = (
    "As a person: `gcloud auth application-default login`. With a key file: `export "
    "GOOGLE_APPLICATION_CREDENTIALS=FILE`. On a Google machine: give it a service account. "
    "For a public bucket: add `?anonymous=true` to the URL."
)
AGAIN = (
    "Log in again: `gcloud auth application-default login`; or give a key file that is still "
    "valid (`gcloud iam service-accounts keys list --iam-account=ACCOUNT` shows them)."
)
PERMISSIONS = {
    "list": ("storage.objects.list", "roles/storage.objectViewer"),
    "get": ("storage.objects.get", "roles/storage.objectViewer"),
    "put": ("storage.objects.create", "roles/storage.objectUser"),
    "delete": ("storage.objects.delete", "roles/storage.objectUser"),
}
# What does not get through is an OSError.
FAILURES = (GoogleAPIError, GoogleAuthError, OSError, ValueError)


def look(bucket: str) -> Iterator[Finding]:
    """Yield credentials, then what asking for the bucket tells."""
    try:
        client = sdk.google(f"gs://{bucket}")
    except AccessError as error:
        yield Finding("credentials", "failed", str(error), NONE, blocks=True)
        return
    yield _who(client, cast("GoogleOptions", options_of(f"gs://{bucket}")).credentials)
    yield from _asked(client, bucket)


def _who(client: Any, where: str | None) -> Finding:
    keys = client._credentials  # noqa: SLF001 - the library shows it nowhere else
    kind = type(keys).__name__
    email = getattr(keys, "service_account_email", None) or getattr(keys, "account", None)
    remember(getattr(keys, "token", None), getattr(keys, "refresh_token", None))
    source = f"the key file {where}" if where else "this machine's login or role"
    if kind == "AnonymousCredentials":
        return Finding("credentials", "ok", "none: requests are not signed")
    who = f"{email}, " if email else ""
    return Finding("credentials", "ok", f"{who}from {source}; project {client.project}")


def _asked(client: Any, bucket: str) -> Iterator[Finding]:
    """Ask for one page of objects, as Google's library would, and look at the answer's head."""
    base = client._connection.API_BASE_URL  # noqa: SLF001 - STORAGE_EMULATOR_HOST is heeded there
    url = f"{base}/storage/v1/b/{bucket}/o"
    try:
        pays = client._connection.extra_headers  # noqa: SLF001 - as above
        said = client._http.get(url, params={"maxResults": 1}, headers=pays, timeout=SECONDS)  # noqa: SLF001 - signed as the library's own
    except GoogleAuthError as error:
        yield Finding("credentials", "failed", scrub(str(error)), AGAIN, blocks=True)
        return
    except OSError as error:
        text = f"{base} is not reached: {scrub(str(error))}"
        remedy = "Check the network and a proxy (HTTPS_PROXY)."
        yield Finding("endpoint", "failed", text, remedy, blocks=True)
        return
    yield from clock(said.headers.get("Date"))
    if said.status_code == HTTPStatus.NOT_FOUND:
        remedy = (
            f"Check the name; `imgbatch bucket create {shlex.quote(f'gs://{bucket}')}` makes it."
        )
        yield Finding("bucket", "failed", f"there is no bucket {bucket}", remedy, blocks=True)
    elif said.status_code == HTTPStatus.UNAUTHORIZED:
        yield Finding("credentials", "failed", scrub(said.text[:200]), AGAIN, blocks=True)
    else:
        yield _region(client, bucket, base)


def _region(client: Any, bucket: str, base: str) -> Finding:
    try:
        found = client.get_bucket(bucket, timeout=SECONDS, retry=None)
    except FAILURES:
        return Finding("region", "ok", f"{base} answers; where the bucket is may not be seen")
    return Finding("region", "ok", f"{base} answers; the bucket is in {found.location}")


def may(client: Any, bucket: str, verbs: tuple[str, ...]) -> Iterator[Finding]:
    """Yield one line: all is permitted, or what is not."""
    wanted = [PERMISSIONS[verb][0] for verb in verbs]
    try:
        have = client.bucket(bucket).test_iam_permissions(wanted, timeout=SECONDS, retry=None)
    except FAILURES as error:
        yield Finding("permissions", "skipped", f"cannot be asked: {scrub(str(error))[:200]}")
        return
    lacking = [verb for verb in verbs if PERMISSIONS[verb][0] not in have]
    if not lacking:
        yield Finding("permissions", "ok", ", ".join(wanted))
        return
    names = ", ".join(PERMISSIONS[verb][0] for verb in lacking)
    yield Finding("permissions", "failed", f"lacking: {names}", grant(lacking[-1], bucket))


def guards(client: Any, bucket: str, key: str) -> Iterator[Finding]:
    """Yield whether a write over a former generation is refused by the server itself."""
    blob = client.bucket(bucket).blob(key)
    try:
        blob.upload_from_string(b"imgbatch doctor 1", timeout=SECONDS, retry=None)
        former = blob.generation
        blob.upload_from_string(b"imgbatch doctor 2", timeout=SECONDS, retry=None)
    except FAILURES as error:
        yield Finding("compare and swap", "skipped", f"cannot be tried: {scrub(str(error))[:200]}")
        return
    try:
        blob.upload_from_string(
            b"imgbatch doctor 3", if_generation_match=former, timeout=SECONDS, retry=None
        )
    except PreconditionFailed:
        yield Finding("compare and swap", "ok", "a write over a generation that is gone is refused")
        return
    except FAILURES as error:
        text = f"a conditional write fails: {scrub(str(error))[:200]}"
    else:
        text = "DANGEROUS: the server wrote over a generation that is gone, and said nothing"
    remedy = "Google's own servers refuse that: this is an emulator or a proxy. Do not use it."
    yield Finding("compare and swap", "failed", text, remedy)


def keeps(client: Any, bucket: str, prefix: str) -> Iterator[Finding]:
    """Yield what the bucket will do by itself with objects below a prefix."""
    try:
        found = client.get_bucket(bucket, timeout=SECONDS, retry=None)
    except (Forbidden, NotFound) as error:
        text = f"cannot be looked at ({type(error).__name__}): needs storage.buckets.get"
        yield Finding("versioning", "skipped", text)
        return
    except FAILURES as error:
        yield Finding("versioning", "skipped", f"cannot be looked at: {scrub(str(error))[:200]}")
        return
    rules = [dict(rule) for rule in found.lifecycle_rules]
    yield _versioning(found, prefix, rules)
    yield from _soft_delete(found)
    if found.retention_period:
        days = found.retention_period / 86400
        text = f"a retention policy forbids to delete or replace objects for {days:.0f} days"
        remedy = "A run replaces its lock and log; use a bucket without one."
        yield Finding("retention", "failed", text, remedy)
    for rule in rules:
        yield from _harmful(rule, prefix)


def _below(rule: dict[str, Any]) -> list[str]:
    return list(rule.get("condition", {}).get("matchesPrefix") or [""])


def _versioning(found: Any, prefix: str, rules: list[dict[str, Any]]) -> Finding:
    if not found.versioning_enabled:
        return Finding("versioning", "ok", "off")
    ends = [
        rule["condition"].get("daysSinceNoncurrentTime")
        for rule in rules
        if rule.get("action", {}).get("type") == "Delete"
        and rule["condition"].get("daysSinceNoncurrentTime")
        and any(prefix.startswith(below) for below in _below(rule))
    ]
    if ends:
        return Finding("versioning", "ok", f"on; former versions go after {min(ends)} days")
    text = "on, and former versions stay for ever: each lock, log and forgotten source is kept"
    url = shlex.quote(f"gs://{found.name}/{prefix}")
    remedy = f"`imgbatch bucket harden {url}` ends them after {FORMER_DAYS} days."
    return Finding("versioning", "warning", text, remedy)


def _soft_delete(found: Any) -> Iterator[Finding]:
    policy = getattr(found, "soft_delete_policy", None)
    seconds = getattr(policy, "retention_duration_seconds", None) or 0
    if not seconds:
        return
    text = f"soft delete keeps deleted objects for {seconds / 86400:.0f} days, forgotten ones too"
    remedy = (
        "If takedowns must be at once: `gcloud storage buckets update "
        f"gs://{found.name} --clear-soft-delete`. It costs storage as well."
    )
    yield Finding("soft delete", "warning", text, remedy)


def _harmful(rule: dict[str, Any], prefix: str) -> Iterator[Finding]:
    action, condition = rule.get("action", {}), rule.get("condition", {})
    age, below = condition.get("age"), _below(rule)
    # About this prefix or more, and not about former versions only.
    live = condition.get("isLive") is not False and not condition.get("daysSinceNoncurrentTime")
    meets = any(prefix.startswith(one) for one in below)
    if action.get("type") == "Delete" and age is not None and live and meets:
        text = f"DANGEROUS: a lifecycle rule deletes objects here after {age} days"
        remedy = "Exclude this prefix from the rule, or use another bucket."
        yield Finding("lifecycle", "failed", text, remedy)


def says(rule: dict[str, Any]) -> str:
    """Return a rule of ours in words."""
    below = _below(rule)[0]
    condition = rule["condition"]
    if rule["action"]["type"] == "AbortIncompleteMultipartUpload":
        return (
            f"{below or 'the whole bucket'}: unfinished uploads end after {condition['age']} days"
        )
    if "daysSinceNoncurrentTime" in condition:
        days = condition["daysSinceNoncurrentTime"]
        return f"{below or 'the whole bucket'}: former versions end after {days} days"
    return f"{below}*: deleted after {condition['age']} day"


def grant(verb: str, bucket: str) -> str:
    """Return the command that permits a verb."""
    name, role = PERMISSIONS[verb]
    return (
        f"Permission {name} is missing. Whoever administers {bucket} runs: `gcloud storage buckets "
        f"add-iam-policy-binding gs://{bucket} --member=user:YOU (or serviceAccount:YOU) "
        f"--role={role}`"
    )
