"""The commands that read a dataset: verify, report, export."""

from __future__ import annotations

import sys
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from imgbatch.cli.forget import NamedSources, SourcesFrom, named
from imgbatch.cli.forget_lines import author_lines, doubt, key_lines, older_lines
from imgbatch.cli.posts import (
    DeletedPosts,
    LookedAtToo,
    NamedPosts,
    OfPlatform,
    Takedown,
    check_fetched,
    given_posts,
    looked_at,
)
from imgbatch.terminal import BY_HAND, DatasetUrl, Json, say

if TYPE_CHECKING:
    from imgbatch.dataset import Dataset
    from imgbatch.dataset.verify import Verified


LINK_SECONDS = 24 * 3600
FORGOTTEN = (
    "Prove that nothing forgotten is left, instead: address, id and post id, in every object. Not "
    "post ids in what living posts say and what their files are called, nor under 8 digits."
)
GO_ON = (
    "Nothing is damaged: a run is at work, or ended before all was done. "
    "`imgbatch run INPUT DATASET` goes on with it."
)
OTHERS = "Where a problem names another command, that one mends it."
ASIDE = "`imgbatch run INPUT DATASET --repair` puts what is not ours aside, below set-aside/"


class ExportFormat(StrEnum):
    """What export writes."""

    parquet = "parquet"
    csv = "csv"


def verify(
    dataset: DatasetUrl,
    *,
    forgotten: Annotated[bool, typer.Option("--forgotten", help=FORGOTTEN)] = False,
    source: NamedSources = None,
    sources_from: SourcesFrom = None,
    post_id: NamedPosts = None,
    deleted_posts: DeletedPosts = None,
    platform: OfPlatform = None,
    fetched: LookedAtToo = None,
    json: Json = False,
) -> None:
    """Count everything again from the parts, and name each shard where something is off."""
    from imgbatch.dataset import Dataset
    from imgbatch.dataset.verify import verify as check
    from imgbatch.errors import DamageError, SettingsError

    if forgotten:
        opened = Dataset.open(dataset)
        gone = given_posts(opened, post_id, deleted_posts, platform)
        _verify_forgotten(
            opened,
            source or [],
            sources_from,
            gone,
            fetched or [],
            sure=platform is not None,
            as_json=json,
        )
        return
    if source or sources_from or post_id or deleted_posts or fetched:
        raise SettingsError(
            "--source, --post-id and --fetched are looked at with --forgotten only",
            "Add --forgotten.",
        )
    found = check(Dataset.open(dataset))
    record = {
        "sources": found.sources,
        "ok": found.ok,
        "failed": found.failed,
        "filtered": found.filtered,
        "shards": found.shards,
        "rows": dict(found.rows),
        "problems": found.problems,
        "notes": found.notes,
        "orphans": found.orphans,
        "foreign": found.foreign,
    }
    say(json, "verified", record, _verified_lines(found))
    if found.problems:
        said = f"{len(found.problems)} problems in {dataset}"
        raise DamageError(said, _remedy(found))


def _remedy(found: Verified) -> str | None:
    """Return what mends all that was found; None where a repair does."""
    from imgbatch.errors import DamageError

    left = len(found.problems) - found.unfinished
    if not left:
        return GO_ON
    if left == len(found.by_hand):
        return BY_HAND
    return f"{DamageError.remedy} {OTHERS}" if found.by_hand else None


def _verify_forgotten(
    dataset: Dataset,
    source: list[str],
    sources_from: str | None,
    gone: Takedown,
    fetched: list[str],
    *,
    sure: bool,
    as_json: bool,
) -> None:
    from imgbatch.dataset.forgotten import DIGEST, verify_forgotten
    from imgbatch.dataset.posts import read_before
    from imgbatch.dataset.posts_forgotten import look_up
    from imgbatch.errors import DamageError
    from imgbatch.posts.in_names import ids_in_names

    check_fetched(fetched, gone.hidden)
    digests = [text for text in source if DIGEST.fullmatch(text)]
    sources = named([text for text in source if text not in digests], sources_from)
    proof = verify_forgotten(
        dataset,
        sources,
        digests=digests,
        of_posts=gone.proved(),
        of_authors=gone.authors,
        ids=ids_in_names(dataset),
        plain=gone.ids,
    )
    authors = look_up(dataset, [], gone.authors)
    if authors.doubtful and not sure:
        proof.problems.append(doubt(authors))
    left = looked_at(fetched, gone.plain)
    proof.problems += [problem for one in left for problem in one.problems]
    what = "forgotten sources and posts" if gone.posts or gone.authors else "forgotten sources"
    older = read_before(dataset) if gone.plain else []
    looked = f"{proof.objects:,} objects were read whole, for {proof.tombstones:,} {what}"
    record = {
        "tombstones": proof.tombstones,
        "objects": proof.objects,
        "problems": proof.problems,
        "fetched": [asdict(one) for one in left],
        "older_inputs": older,
    }
    also = [f"{one.urls:,} URLs and all posts of {one.out} were looked at" for one in left]
    lines = [
        looked,
        *also,
        *author_lines(authors),
        *older_lines(older, "verify once more"),
        *key_lines(dataset),
        *(f"problem: {problem}" for problem in proof.problems),
    ]
    verified = "verified: none is left" + (" by these names" if older else "")
    say(as_json, "verified", record, lines if proof.problems else [*lines, verified])
    if proof.problems:
        raise DamageError(
            f"{len(proof.problems)} traces of forgotten sources in {dataset.url}",
            "Forget them again: that takes out what is left, but for files that are none of the "
            "dataset's own. These are yours to delete. Then verify again.",
        )


def _verified_lines(found: Verified) -> list[str]:
    from imgbatch.dataset.strangers import few

    counts = f"{found.ok:,} ok + {found.failed:,} failed + {found.filtered:,} filtered"
    lines = [f"{found.sources:,} sources = {counts}, in {found.shards:,} shards"]
    lines += [f"  {rows:>9,}  rows in {name}" for name, rows in found.rows.items()]
    if found.orphans:
        lines.append(
            f"{len(found.orphans)} files that no commit names (harmless): an interrupted run"
        )
    if found.foreign:
        lines.append(f"no part of its table: {few(found.foreign)}: {ASIDE}")
    lines += [f"note: {note}" for note in found.notes]
    lines += [f"problem: {problem}" for problem in found.problems]
    return lines if found.problems else [*lines, "verified: everything is as committed"]


def sheet(
    dataset: DatasetUrl,
    labels: Annotated[
        str, typer.Argument(metavar="LABELS", help="Below DATASET/groups: clusters, clusters-NAME.")
    ] = "clusters",
) -> None:
    """Write a contact sheet for each cluster: nearest, random, border; print where they begin."""
    from imgbatch.dataset import Dataset
    from imgbatch.report.exemplars import write_sheets
    from imgbatch.settings import read_limits

    written = write_sheets(Dataset.open(dataset), labels, read_limits())
    sys.stdout.write(written.address + "\n")
    if written.old:
        sys.stderr.write(f"note: groups {labels}: {written.old}\n")


def report(
    dataset: DatasetUrl,
    *,
    thumbnails: Annotated[bool, typer.Option(help="Show pictures of the corpus.")] = True,
    link: Annotated[
        bool,
        typer.Option(
            "--link",
            help="Also print a link that opens it for 24 hours, or until your keys end.",
        ),
    ] = False,
) -> None:
    """Write DATASET/report/index.html and the codebook; print where it is."""
    from imgbatch.dataset import Dataset
    from imgbatch.errors import SettingsError
    from imgbatch.report import PAGE, write_report
    from imgbatch.storage import ends_with_keys

    opened = Dataset.open(dataset)
    sys.stdout.write(write_report(opened, thumbnails=thumbnails) + "\n")
    # Only when asked for: whoever has the link has the report, and terminals end up in logs.
    if link:
        signed = opened.store.link(PAGE, LINK_SECONDS)
        if signed is None:
            raise SettingsError(
                f"nobody here can sign a link into {dataset}",
                "Google: name a key file (?credentials=KEY.json). Or copy the page to yourself.",
            )
        until = ", or until the keys end" if ends_with_keys(signed) else ""
        said = f"for whoever has this link it opens, for 24 hours{until}, at:"
        sys.stdout.write(f"{said}\n{signed}\n")


def export(
    dataset: DatasetUrl,
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder or bucket URL.")],
    *,
    format: Annotated[ExportFormat, typer.Option(help="File format.")] = ExportFormat.parquet,  # noqa: A002 - the word that users see
) -> None:
    """Write each table as one plain file, for readers that do not know Delta Lake."""
    from imgbatch.dataset import Dataset
    from imgbatch.dataset.export import export as write

    for name, rows in write(Dataset.open(dataset), out, form=format.value).items():
        sys.stdout.write(f"{rows:>9,}  rows in {name}.{format.value}\n")
