"""The commands that make and harden buckets: bucket create, bucket harden."""

from __future__ import annotations

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
    from imgbatch.storage.buckets import open_bucket  # noqa: PLC0415 - keeps `--help` quick

    bucket = open_bucket(url)
    if bucket.exists():
        lines = [f"{url} is there already; nothing was changed"]
        changes = bucket.changes()
        lines += _lines(changes, "would change: `imgbatch bucket harden " + url + " --yes`")
        say(json, "bucket", _record(url, changes, created=False, made=False), lines)
        return
    bucket.create(region)
    changes = bucket.changes()
    _make(changes)
    lines = [f"{url} is made", *_lines(changes, "set")]
    say(json, "bucket", _record(url, changes, created=True, made=True), lines)


def harden(
    url: BucketUrl,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Change it; else only show what.")] = False,
    json: Json = False,
) -> None:
    """Show what keeps a bucket from being private, encrypted and versioned; with --yes, mend it."""
    from imgbatch.storage.buckets import open_bucket  # noqa: PLC0415 - keeps `--help` quick

    bucket = open_bucket(url)
    _refuse_missing(url, bucket)
    changes = bucket.changes()
    if yes:
        _make(changes)
    head = "changed" if yes else "would change; nothing was changed yet: add --yes"
    able = any(not change.refused for change in changes)
    lines = [] if able else [f"{url} is hardened already: nothing to change"]
    lines += _lines(changes, head)
    say(json, "bucket", _record(url, changes, created=False, made=yes), lines)


def _refuse_missing(url: str, bucket: Bucket) -> None:
    from imgbatch.errors import StorageError  # noqa: PLC0415 - keeps `--help` quick

    if not bucket.exists():
        raise StorageError(f"{url}: there is no such bucket", f"`imgbatch bucket create {url}`")


def _make(changes: list[Change]) -> None:
    for change in changes:
        if not change.refused:
            change.make()


def _lines(changes: list[Change], head: str) -> list[str]:
    if not changes:
        return []
    wide = max(len(change.setting) for change in changes)
    able = [change for change in changes if not change.refused]
    lines = [f"{head}:"] if able else []
    lines += [f"  {c.setting.ljust(wide)}  {c.now} -> {c.wanted}" for c in able]
    unable = [change for change in changes if change.refused]
    return [*lines, *(f"  {c.setting.ljust(wide)}  stays: {c.refused}" for c in unable)]


def _record(url: str, changes: list[Change], *, created: bool, made: bool) -> dict[str, Any]:
    return {
        "url": url,
        "created": created,
        "changed": made and any(not change.refused for change in changes),
        "changes": [
            {
                "setting": change.setting,
                "now": change.now,
                "wanted": change.wanted,
                "refused": change.refused,
            }
            for change in changes
        ],
    }
