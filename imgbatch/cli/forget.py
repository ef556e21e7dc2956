"""The command that takes sources out of a dataset for good: forget; and what its proof is asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgbatch.errors import InputError, SettingsError
from imgbatch.terminal import INTERRUPTED, DatasetUrl, Json, say

if TYPE_CHECKING:
    from imgbatch.dataset import Dataset
    from imgbatch.dataset.forget import Audit
    from imgbatch.dataset.given import Given, Known

SHOWN = 10
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
    same_bytes: Annotated[
        bool, typer.Option("--same-bytes", help="Forget other sources with equal bytes too.")
    ] = False,
    missing_ok: Annotated[
        bool, typer.Option("--missing-ok", help="A --source may be one that was never here.")
    ] = False,
    reason: Annotated[
        str | None, typer.Option(help="Kept in the audit record; must name no source.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Take sources out of every table, log and report for good, and never list them again."""
    from imgbatch.dataset import Dataset  # noqa: PLC0415 - keeps `--help` quick
    from imgbatch.dataset.forget import forget as take_out  # noqa: PLC0415
    from imgbatch.dataset.given import look_up  # noqa: PLC0415
    from imgbatch.report import write_report  # noqa: PLC0415

    one_by_one = named(source, None)
    opened = Dataset.open(dataset)
    all_named = [*one_by_one, *named(None, sources_from)]
    if not all_named:
        raise SettingsError(
            "forget what?", "Name sources with --source or --sources-from; see `--help`."
        )
    known = look_up(opened, all_named, same_bytes=same_bytes)
    if not missing_ok:
        _refuse_unknown(opened, one_by_one, known)
    if not yes:
        _ask(opened, known, as_json=json)
    audit = take_out(opened, known, reason=reason)
    if audit.report != "none":
        write_report(opened, thumbnails=audit.report == "pictures")
    _tell(known, audit, as_json=json)


def named(source: list[str] | None, sources_from: str | None) -> list[Given]:
    """Return the sources that options name.

    Raises:
        InputError: the file cannot be read.
        SettingsError: something in it names no source.
    """
    from imgbatch.dataset.given import given, given_lines  # noqa: PLC0415 - keeps `--help` quick

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
    from imgbatch.dataset import tombstones  # noqa: PLC0415 - keeps `--help` quick
    from imgbatch.dataset.given import similar  # noqa: PLC0415

    stones = tombstones.read(dataset.store)
    typed = {one.source_id for one in one_by_one}
    for one in known.unknown:
        if one.source_id in typed and one.source_id not in stones:
            raise SettingsError(
                f"{one.text} is no source of {dataset.url}{similar(dataset, one)}",
                "Nothing was changed. With --missing-ok it is kept out for the future anyway.",
            )


def _ask(dataset: Dataset, known: Known, *, as_json: bool) -> None:
    count = len(known.addresses)
    if not sys.stdin.isatty() or as_json:
        raise SettingsError(
            f"forgetting {count:,} sources cannot be undone, and there is nobody to ask",
            "Look at what you name, then add --yes.",
        )
    lines = [
        f"{count:,} sources of {dataset.url} will leave it for good:",
        *(f"  {address}" for address in sorted(known.addresses)[:SHOWN]),
        *([f"  and {count - SHOWN:,} more"] if count > SHOWN else []),
        *_unknown_lines(known),
        *_twin_lines(known),
        "History ends here: no former state of this dataset can be read or compared any more.",
        "Not touched: the input itself, and what `export` and `preprocess` wrote elsewhere.",
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


def _tell(known: Known, audit: Audit, *, as_json: bool) -> None:
    record = {
        "run": audit.run,
        "sources": len(known.addresses),
        "unknown": [one.text for one in known.unknown],
        "same_bytes": list(known.twins),
        "rows": dict(audit.rows),
        "files": audit.files,
        "versions": audit.versions,
        "lines": audit.lines,
        "report": audit.report,
    }
    bytes_gone = f"{audit.files:,} files and {audit.versions:,} former versions of objects"
    lines = [
        f"{len(known.addresses):,} sources forgotten",
        *(f"  {rows:>9,}  rows left {name}" for name, rows in audit.rows.items() if rows),
        f"{bytes_gone} deleted, {audit.lines:,} log lines taken out",
        *(["the report was written again"] if audit.report != "none" else []),
        *_unknown_lines(known),
        *_twin_lines(known),
        "prove it: imgbatch verify DATASET --forgotten, with the same --source or --sources-from",
    ]
    say(as_json, "forgotten", record, lines)


def _unknown_lines(known: Known) -> list[str]:
    count = len(known.unknown)
    if not count:
        return []
    return [
        f"{count:,} more are not in this dataset, and are kept out of it from now on:",
        *(f"  {one.text}" for one in known.unknown[:SHOWN]),
        *([f"  and {count - SHOWN:,} more"] if count > SHOWN else []),
    ]


def _twin_lines(known: Known) -> list[str]:
    if not known.twins:
        return []
    return [
        f"{len(known.twins):,} other sources hold the same bytes and stay, unless --same-bytes:",
        *(f"  {address}" for address in known.twins[:SHOWN]),
    ]
