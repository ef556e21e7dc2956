"""The terminal: one function per command; heavy imports wait until a command needs them."""

from __future__ import annotations

import subprocess
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch import terminal
from imgbatch.terminal import (
    DatasetUrl,
    Input,
    Json,
    Limit,
    MaxFailed,
    RecipeName,
    Sample,
    Workers,
    say,
)

if TYPE_CHECKING:
    from imgbatch.dataset.verify import Verified

app = typer.Typer(
    help="Turn a bucket of pictures and videos into a table that a researcher can trust.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
recipes = typer.Typer(help="Recipes: what a run computes.", no_args_is_help=True)
app.add_typer(recipes, name="recipe")


class EngineName(StrEnum):
    """Where a run's workers are."""

    ray = "ray"
    inline = "inline"


class ExportFormat(StrEnum):
    """What export writes."""

    parquet = "parquet"
    csv = "csv"


@app.command()
def run(
    input: Input,  # noqa: A002 - the word that users see
    dataset: DatasetUrl,
    *,
    recipe: RecipeName = "quick",
    engine: Annotated[EngineName, typer.Option(help="ray: worker processes; inline: none.")] = (
        EngineName.ray
    ),
    workers: Workers = 0,
    limit: Limit = None,
    sample: Sample = None,
    max_failed: MaxFailed = None,
    json: Json = False,
) -> None:
    """Bring DATASET up to date with INPUT and a recipe; again, it does nothing."""
    if engine is EngineName.ray:
        words = ["--recipe", recipe, "--workers", str(workers)]
        words += ["--limit", str(limit)] if limit is not None else []
        words += ["--sample", str(sample)] if sample is not None else []
        words += ["--max-failed", max_failed] if max_failed is not None else []
        words += ["--json"] if json else []
        raise typer.Exit(_job("analyze", *words, "--", input, dataset))
    from imgbatch import crew, settings  # noqa: PLC0415 - keeps `--help` quick
    from imgbatch.summary import Request  # noqa: PLC0415

    request = Request(
        input=input,
        dataset=dataset,
        recipe=settings.recipe_text(recipe),
        engine=engine,
        limit=limit,
        share=sample,
        max_failed=terminal.max_failed(max_failed),
    )
    terminal.analyze(request, crew.inline, as_json=json)


def _job(name: str, *words: str) -> int:
    """Run a job as a child with this terminal; return its exit code."""
    child = subprocess.Popen([sys.executable, "-m", f"jobs.{name}", *words])  # noqa: S603 - our own module, no shell
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            # The terminal sent it to the child too; it commits what is finished, then ends.
            continue


@app.command()
def verify(dataset: DatasetUrl, *, json: Json = False) -> None:
    """Count everything again from the parts, and name each shard where something is off."""
    from imgbatch.dataset import Dataset  # noqa: PLC0415 - keeps `--help` quick
    from imgbatch.dataset.verify import verify as check  # noqa: PLC0415
    from imgbatch.errors import DamageError  # noqa: PLC0415

    found = check(Dataset.open(dataset))
    record = {
        "sources": found.sources,
        "ok": found.ok,
        "failed": found.failed,
        "filtered": found.filtered,
        "shards": found.shards,
        "rows": dict(found.rows),
        "problems": found.problems,
        "orphans": found.orphans,
    }
    say(json, "verified", record, _verified_lines(found))
    if found.problems:
        raise DamageError(f"{len(found.problems)} problems in {dataset}")


def _verified_lines(found: Verified) -> list[str]:
    counts = f"{found.ok:,} ok + {found.failed:,} failed + {found.filtered:,} filtered"
    lines = [f"{found.sources:,} sources = {counts}, in {found.shards:,} shards"]
    lines += [f"  {rows:>9,}  rows in {name}" for name, rows in found.rows.items()]
    if found.orphans:
        lines.append(
            f"{len(found.orphans)} files that no commit names (harmless): an interrupted run"
        )
    lines += [f"problem: {problem}" for problem in found.problems]
    return lines if found.problems else [*lines, "verified: everything is as committed"]


@app.command()
def status(dataset: DatasetUrl, *, json: Json = False) -> None:
    """Show what is done, what failed, and which stage is the bottleneck."""
    from imgbatch.dataset import Dataset  # noqa: PLC0415 - keeps `--help` quick
    from imgbatch.observe.status import status as read  # noqa: PLC0415

    record = read(Dataset.open(dataset))
    say(json, "status", record, _status_lines(record))


def _status_lines(record: dict[str, Any]) -> list[str]:
    lines = [f"{record['dataset']}: {record['sources']:,} sources in {record['shards']:,} shards"]
    for state, classes in record["outcomes"].items():
        lines += [f"  {count:>9,}  {state}: {name}" for name, count in classes.items()]
    lines += [
        f"  table {name}: {table['rows']:,} rows, {table['shards_done']:,} of "
        f"{table['shards']:,} shards"
        for name, table in record["tables"].items()
    ]
    last = record["last_run"]
    if last:
        lines.append(f"last run {last['run']}: {last['status']}, {last.get('seconds', 0):.1f} s")
    total = sum(record["stages"].values())
    lines += [
        f"  {seconds:>9.2f} s  {seconds / total:>4.0%}  {stage}"
        for stage, seconds in record["stages"].items()
        if total
    ]
    return lines


@app.command()
def report(
    dataset: DatasetUrl,
    *,
    thumbnails: Annotated[bool, typer.Option(help="Show pictures of the corpus.")] = True,
) -> None:
    """Write DATASET/report/index.html and the codebook; print where it is."""
    from imgbatch.dataset import Dataset  # noqa: PLC0415 - keeps `--help` quick
    from imgbatch.report import write_report  # noqa: PLC0415

    sys.stdout.write(write_report(Dataset.open(dataset), thumbnails=thumbnails) + "\n")


@app.command()
def export(
    dataset: DatasetUrl,
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder or bucket URL.")],
    *,
    format: Annotated[ExportFormat, typer.Option(help="File format.")] = ExportFormat.parquet,  # noqa: A002 - the word that users see
) -> None:
    """Write each table as one plain file, for readers that do not know Delta Lake."""
    from imgbatch.dataset import Dataset  # noqa: PLC0415 - keeps `--help` quick
    from imgbatch.dataset.export import export as write  # noqa: PLC0415

    for name, rows in write(Dataset.open(dataset), out, form=format.value).items():
        sys.stdout.write(f"{rows:>9,}  rows in {name}.{format.value}\n")


@app.command()
def preprocess(
    input: Input,  # noqa: A002 - the word that users see
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder or bucket URL.")],
    *,
    recipe: Annotated[str, typer.Option(help="A .toml file with [[steps]].")],
    json: Json = False,
) -> None:
    """Write a changed copy of every picture of INPUT, and a table of what was done."""
    from imgbatch.copies import write_copies  # noqa: PLC0415 - keeps `--help` quick
    from imgbatch.settings import read_file, read_limits  # noqa: PLC0415

    found = write_copies(input, out, read_file(recipe), limits=read_limits())
    record = {
        "sources": found.sources,
        "ok": found.ok,
        "failed": found.failed,
        "filtered": found.filtered,
        "copies": found.copies,
    }
    counts = f"{found.ok:,} ok + {found.failed:,} failed + {found.filtered:,} filtered"
    say(json, "copied", record, [f"{found.sources:,} sources = {counts}: {found.copies:,} copies"])


@app.command()
def analyzers(*, json: Json = False) -> None:
    """Show what analyzers there are, what each needs, and its columns."""
    from imgbatch import analyzers as room  # noqa: PLC0415 - keeps `--help` quick

    for name in room.available():
        about = room.describe(name)
        columns = [
            {"name": c.name, "type": str(c.type), "unit": c.unit, "meaning": c.meaning}
            for c in about["columns"]
        ]
        per = "picture" if about["grain"] == "picture" else "source"
        lines = [
            f"{name}: {about['summary']}",
            f"  one row per {per}; needs pictures of at least {about['min_side']} pixels",
            *(
                f"  setting {key} = {value.get('default')}"
                for key, value in about["settings"].items()
            ),
            *(f"  {c['name']} ({c['type']}): {c['meaning']}" for c in columns),
        ]
        say(json, "analyzer", {**about, "columns": columns}, lines)


@recipes.command("list")
def recipe_list() -> None:
    """List the recipes that come with imgbatch."""
    from imgbatch.settings import recipe_names  # noqa: PLC0415 - keeps `--help` quick

    sys.stdout.write("\n".join(recipe_names()) + "\n")


@recipes.command("show")
def recipe_show(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Print a recipe, to copy and edit."""
    from imgbatch.settings import recipe_text  # noqa: PLC0415 - keeps `--help` quick

    sys.stdout.write(recipe_text(name))
