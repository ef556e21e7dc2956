"""The command that takes sources out of a dataset for good: forget; and what its proof is asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch.cli.forget_lines import (
    SHOWN,
    fetched_lines,
    former_lines,
    input_lines,
    older_lines,
    post_lines,
    record_of,
    twin_lines,
    unknown_lines,
)
from imgbatch.cli.posts import (
    DeletedPosts,
    FetchedTo,
    NamedPosts,
    OfPlatform,
    check_fetched,
    given_posts,
    leave_fetched,
    nobodys,
)
from imgbatch.errors import InputError, SettingsError
from imgbatch.terminal import INTERRUPTED, DatasetUrl, Json, say

if TYPE_CHECKING:
    from imgbatch.dataset import Dataset
    from imgbatch.dataset.audit import Audit
    from imgbatch.dataset.given import Given, Known
    from imgbatch.dataset.posts_theirs import KnownPosts
    from imgbatch.fetching.takedown import TakenOut

AGAIN = "forget the same posts once more"
PROVE = "prove it: imgbatch verify DATASET --forgotten, with the same names"

NamedSources = Annotated[
    list[str] | None,
    typer.Option("--source", help="Address, id or path of a source; may be given again."),
]
SourcesFrom = Annotated[
    str | None, typer.Option("--sources-from", help="A file with one address or id per line.")
]


def forget(
    dataset: DatasetUrl,
    *,
    source: NamedSources = None,
    sources_from: SourcesFrom = None,
    post_id: NamedPosts = None,
    deleted_posts: DeletedPosts = None,
    platform: OfPlatform = None,
    fetched: FetchedTo = None,
    same_bytes: Annotated[
        bool, typer.Option("--same-bytes", help="Forget other sources with equal bytes too.")
    ] = False,
    former: Annotated[
        bool,
        typer.Option("--former", help="Forget earlier states: what former recipes kept in files."),
    ] = False,
    missing_ok: Annotated[
        bool, typer.Option("--missing-ok", help="What is typed may be what was never here.")
    ] = False,
    reason: Annotated[
        str | None, typer.Option(help="Kept in the audit record; must name no source.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Take sources, posts or earlier states out of every table, log and report for good."""
    from imgbatch.dataset import Dataset
    from imgbatch.dataset.forget import forget as take_out
    from imgbatch.dataset.given import Given, look_up
    from imgbatch.dataset.posts import read_before
    from imgbatch.dataset.posts_forgotten import look_up as look_up_posts
    from imgbatch.posts.in_names import ids_in_names
    from imgbatch.recount import recount
    from imgbatch.report import rewrite_report

    one_by_one = named(source, None)
    opened = Dataset.open(dataset)
    all_named = [*one_by_one, *named(None, sources_from)]
    gone = given_posts(opened, post_id, deleted_posts, platform)
    if not (all_named or gone.posts or deleted_posts or former):
        raise SettingsError(
            "forget what?",
            "Name sources with --source or --sources-from, posts with --post-id or "
            "--deleted-posts, earlier states with --former; see `--help`.",
        )
    in_names = ids_in_names(opened)
    found = look_up_posts(opened, gone.posts, gone.authors, ids=in_names, plain=gone.ids)
    theirs = [Given(one, one) for one in sorted(found.sources)]
    known = look_up(opened, [*all_named, *theirs], same_bytes=same_bytes)
    if not missing_ok:
        _refuse_unknown(opened, one_by_one, known)
        _refuse_unknown_posts(opened, post_id, platform)
    check_fetched(fetched, gone.hidden)
    if not yes:
        ask(opened, known, found, fetched, former=former, as_json=json)
    left = leave_fetched(fetched, gone.plain)
    if deleted := nobodys(opened, left):
        known = look_up(opened, [*all_named, *theirs, *deleted], same_bytes=same_bytes)
    audit = take_out(opened, known, of_posts=found, former=former, reason=reason, recount=recount)
    rewrite_report(opened, audit.report)
    others = gone.others
    told = ", ".join(f"{count:,} {name}" for name, count in others.most_common())
    lines = [f"{others.total():,} lines tell of no deletion, and change nothing: {told}"]
    older = read_before(opened) if gone.plain else []
    notes = [*(lines if others else []), *older_lines(older, AGAIN)]
    more = {"other_lines": others.total(), "others": dict(others), "older_inputs": older}
    tell("forgotten", known, found, audit, left, more, notes, as_json=json)


def named(source: list[str] | None, sources_from: str | None) -> list[Given]:
    """Return the sources that options name.

    Raises:
        InputError: the file cannot be read.
        SettingsError: something in it names no source.
    """
    from imgbatch.dataset.given import given, given_lines

    found = [given(text) for text in source or ()]
    if sources_from is not None:
        try:
            text = Path(sources_from).read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--sources-from {sources_from}: {error}") from error
        found += given_lines(text)
    return found


def _refuse_unknown(dataset: Dataset, one_by_one: list[Given], known: Known) -> None:
    """Refuse what was typed wrong. A list is another matter: most of a platform's is not here."""
    from imgbatch.dataset import tombstones
    from imgbatch.dataset.forget import is_left
    from imgbatch.dataset.given import similar

    stones = tombstones.read(dataset.store)
    typed = {one.source_id for one in one_by_one}
    for one in known.unknown:
        if one.source_id not in typed or one.source_id in stones:
            continue
        if not is_left(dataset, one):
            raise SettingsError(
                f"{one.text} is no source of {dataset.url}{similar(dataset, one)}",
                "Nothing was changed. With --missing-ok it is kept out for the future anyway.",
            )


def _refuse_unknown_posts(
    dataset: Dataset, post_id: list[str] | None, platform: str | None
) -> None:
    """Refuse the id of a post that was typed wrong; see `_refuse_unknown`."""
    from imgbatch.dataset import tombstones
    from imgbatch.dataset.post_marks import is_forgotten
    from imgbatch.dataset.posts import read_before
    from imgbatch.dataset.posts_forgotten import look_up
    from imgbatch.posts.in_names import ids_in_names

    stones = tombstones.read(dataset.store)
    for text in post_id or ():
        named = given_posts(dataset, [text], None, platform)
        if any(is_forgotten(stones, *one) for one in named.posts):
            continue
        found = look_up(dataset, named.posts, ids=ids_in_names(dataset), plain=named.ids)
        if not (found.here or found.sources):
            older = older_lines(read_before(dataset), "forget it")
            raise SettingsError(
                f"{text} is no post of {dataset.url}",
                "Nothing was changed. With --missing-ok it is kept out for the future anyway."
                + "".join(f" {line.strip()}" for line in older),
            )


def ask(
    dataset: Dataset,
    known: Known,
    posts: KnownPosts,
    fetched: list[str] | None,
    *,
    former: bool = False,
    as_json: bool,
) -> None:
    """Ask whether to forget.

    Raises:
        SettingsError: there is nobody to ask.
        Exit: the answer is no.
    """
    count = len(known.addresses)
    what = f"{count:,} sources" + (f" and {posts.here:,} posts" if posts.marks else "")
    what += " and all earlier states" if former else ""
    if not sys.stdin.isatty() or as_json:
        raise SettingsError(
            f"forgetting {what} cannot be undone, and there is nobody to ask",
            "Look at what you name, then add --yes.",
        )
    lines = [
        f"{what} of {dataset.url} will leave it for good:",
        *(f"  {address}" for address in sorted(known.addresses)[:SHOWN]),
        *([f"  and {count - SHOWN:,} more"] if count > SHOWN else []),
        *unknown_lines(known),
        *twin_lines(known),
        *post_lines(posts),
        *(former_lines(dataset, known, posts) if former else []),
        "History ends here: no former state of this dataset can be read or compared any more.",
        *(
            f"Posts leave what was fetched into {out} too, with their media."
            for out in fetched or ()
        ),
        "Not touched: any other input, and what `export` and `preprocess` wrote elsewhere.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    if not _agreed():
        sys.stdout.write("Nothing was changed.\n")
        raise typer.Exit(INTERRUPTED)


def _agreed() -> bool:
    try:
        return typer.confirm("Forget them?")
    except typer.Abort:
        return False


def tell(
    event: str,
    known: Known,
    posts: KnownPosts,
    audit: Audit,
    left: list[TakenOut],
    more: dict[str, Any],
    notes: list[str],
    *,
    as_json: bool,
) -> None:
    """Say what a forget did."""
    told = record_of(posts) if posts.marks else {}
    files = sorted(known.addresses | posts.files)
    record = {
        "run": audit.run,
        "sources": len(known.addresses),
        "unknown": [one.text for one in known.unknown],
        "same_bytes": list(known.twins),
        "rows": dict(audit.rows),
        "former": audit.former,
        "files": audit.files,
        "versions": audit.versions,
        "lines": audit.lines,
        "report": audit.report,
        "fetched": [one.record() for one in left],
        "input_files": files,
        **told,
        **(more if posts.marks else {}),
    }
    gone = f"{len(known.addresses):,} sources forgotten"
    gone += f", and {posts.here:,} posts" if posts.marks else ""
    bytes_gone = f"{audit.files:,} files and {audit.versions:,} former versions of objects"
    lines = [
        *(["all earlier states forgotten"] if audit.former else []),
        *([gone] if known.ids or posts.marks or not audit.former else []),
        *(f"  {rows:>9,}  rows left {name}" for name, rows in audit.rows.items() if rows),
        f"{bytes_gone} deleted, {audit.lines:,} log lines taken out",
        *(["the report was written again"] if audit.report != "none" else []),
        *unknown_lines(known),
        *twin_lines(known),
        *post_lines(posts),
        *fetched_lines(left),
        *input_lines(files, left),
        *notes,
        *([PROVE] if known.ids or posts.marks else []),
    ]
    say(as_json, event, record, lines)
