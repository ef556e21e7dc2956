"""The commands that make and harden buckets: bucket create, bucket harden."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch.terminal import Json, say

if TYPE_CHECKING:
    from imgbatch.storage.buckets import Bucket, Change

BucketUrl = Annotated[
    str, typer.Argument(metavar="URL", help="s3://NAME or gs://NAME, or a prefix in it.")
]


def create(
    url: BucketUrl,
    *,
    region: Annotated[
        str | None, typer.Option(help="Where it shall be; as your settings say by default.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a bucket that is private, encrypted and versioned. One that is there stays as it is."""
    from imgbatch.storage.buckets import open_bucket

    bucket = open_bucket(url)
    if bucket.exists():
        lines = [f"{url} is there already; nothing was changed"]
        changes = bucket.changes()
        mend = f"`imgbatch bucket harden {shlex.quote(url)} --yes`"
        lines += _lines(changes, f"would change: {mend}", {})
        say(json, "bucket", _record(url, changes, {}, created=False, made=False), lines)
        return
    bucket.create(region)
    changes = bucket.changes()
    failed = _make(changes)
    lines = [f"{url} is made", *_lines(changes, "set", failed)]
    say(json, "bucket", _record(url, changes, failed, created=True, made=True), lines)
    _end(url, failed)


def harden(
    url: BucketUrl,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Change it; else only show what.")] = False,
    json: Json = False,
) -> None:
    """Show what keeps a bucket from being private, encrypted and versioned; with --yes, mend it."""
    from imgbatch.storage.buckets import open_bucket

    bucket = open_bucket(url)
    _refuse_missing(url, bucket)
    changes = bucket.changes()
    failed = _make(changes) if yes else {}
    head = "changed" if yes else "would change; nothing was changed yet: add --yes"
    able = any(not change.refused for change in changes)
    lines = [] if able else [f"{url} is hardened already: nothing to change"]
    lines += _lines(changes, head, failed)
    say(json, "bucket", _record(url, changes, failed, created=False, made=yes), lines)
    _end(url, failed)


def _refuse_missing(url: str, bucket: Bucket) -> None:
    from imgbatch.errors import StorageError

    if not bucket.exists():
        raise StorageError(
            f"{url}: there is no such bucket", f"`imgbatch bucket create {shlex.quote(url)}`"
        )


def _make(changes: list[Change]) -> dict[str, str]:
    """Make each change; return what was refused, by setting. The others do not wait for it."""
    from imgbatch.errors import StorageError

    failed = {}
    for change in changes:
        if change.refused:
            continue
        try:
            change.make()
        except StorageError as error:
            failed[change.setting] = str(error)
    return failed


def _end(url: str, failed: dict[str, str]) -> None:
    from imgbatch.errors import StorageError

    if failed:
        raise StorageError(
            f"{url}: the server refused {', '.join(failed)}; the rest is set",
            "A server that is not Amazon's may not know a setting. Else see what you may do: "
            "s3:PutBucket* and s3:Put*Configuration, or roles/storage.admin at Google.",
        )


def _lines(changes: list[Change], head: str, failed: dict[str, str]) -> list[str]:
    if not changes:
        return []
    wide = max(len(change.setting) for change in changes)
    able = [c for c in changes if not c.refused and c.setting not in failed]
    lines = [f"{head}:"] if able else []
    lines += [f"  {c.setting.ljust(wide)}  {c.now} -> {c.wanted}" for c in able]
    unable = {c.setting: c.refused for c in changes if c.refused} | failed
    return [*lines, *(f"  {name.ljust(wide)}  stays: {why}" for name, why in unable.items())]


def _record(
    url: str, changes: list[Change], failed: dict[str, str], *, created: bool, made: bool
) -> dict[str, Any]:
    able = [change for change in changes if not change.refused and change.setting not in failed]
    return {
        "url": url,
        "created": created,
        "changed": made and bool(able),
        "changes": [
            {
                "setting": change.setting,
                "now": change.now,
                "wanted": change.wanted,
                "refused": failed.get(change.setting, change.refused),
            }
            for change in changes
        ],
    }
