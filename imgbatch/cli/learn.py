"""The commands that learn labels and give them: fit, apply."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from imgbatch import terminal
from imgbatch.terminal import Anew, DatasetUrl, Json, LabelName, Sets, say


def fit(
    dataset: DatasetUrl,
    *,
    labels: Annotated[str, typer.Option(metavar="CSV", help="Sources and the label of each.")],
    on: Annotated[
        str, typer.Option(metavar="TABLE", help="pixels, or a table with embeddings: embed, clip.")
    ],
    model: Annotated[str, typer.Option(help="forest, bayes, svm or logistic.")],
    test: Annotated[
        str, typer.Option(metavar="CSV", help="Labels to judge by, of other sources.")
    ] = "",
    only: Annotated[
        str, typer.Option(metavar="LABEL", help="Tell this label from all others together.")
    ] = "",
    one_vs_rest: Annotated[
        bool, typer.Option("--one-vs-rest", help="A model of each class against the others.")
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Another number, other draws.")
    ] = 42,
    sets: Sets = None,
    out: Annotated[
        str, typer.Option(metavar="FILE", help="The model; MODEL-TABLE.skops if not said.")
    ] = "",
    json: Json = False,
) -> None:
    """Learn labels from vectors of DATASET: a shallow model, in one file."""
    from imgbatch.fitting import FitWish
    from imgbatch.fitting import fit as learn
    from imgbatch.grouping import settings_of
    from imgbatch.settings import read_limits

    wish = FitWish(
        dataset=dataset,
        labels=labels,
        test=test,
        on=on,
        model=model,
        settings=settings_of(sets or ()),
        only=only,
        one_vs_rest=one_vs_rest,
        seed=seed,
    )
    path = out or f"{model}-{on}.skops"
    record = learn(wish, path, read_limits(), say=lambda text: typer.echo(text, err=True))
    say(json, "fitted", record, [*_lines(record), next_line(dataset, path)])


def apply(
    dataset: DatasetUrl,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A file of `imgbatch fit`.")],
    *,
    name: LabelName = "",
    anew: Anew = False,
    json: Json = False,
) -> None:
    """Give every picture of DATASET the label of a fitted model: groups/learned has them."""
    from imgbatch.dataset.ordered import here
    from imgbatch.grouping import Wish
    from imgbatch.learners.file import digest_of

    settings = {"model": model, "sha256": digest_of(model)}
    terminal.group(Wish(dataset, "learned", settings, name, anew=anew), here, as_json=json)


def next_line(dataset: str, path: str) -> str:
    """Return what labels a dataset by the model that was just fitted."""
    return f"next: imgbatch apply {shlex.quote(dataset)} {shlex.quote(path)}"


def _lines(record: dict[str, Any]) -> list[str]:
    rows, without = record["rows"], record["without_vector"]
    seen = f"{rows['labels']:,} rows of {record['table']}, {record['dimensions']:,} numbers each"
    lines = [
        f"{record['model']} fitted on {seen}, {len(record['classes'])} classes",
        *(f"noticed: {text}" for text in record["noticed"]),
        *(
            f"{n:,} lines of the {role} file have no label, and are left out"
            for role, n in record["unlabelled"].items()
            if n
        ),
        *(
            f"{n:,} labelled sources of the {role} file have no vector"
            for role, n in without.items()
            if n
        ),
    ]
    found = record["scores"]
    if found is None:
        lines.append("not judged: --test CSV names labels of other sources")
    else:
        lines.append(f"accuracy {found['accuracy']:.4f} on {found['rows']:,} rows")
        lines.append("      rows  precision  recall      F1      AP  class")
        lines += [_class_line(one) for one in found["classes"]]
    return [*lines, f"model: {record['file']} (sha256 {record['sha256']})"]


def _class_line(one: dict[str, Any]) -> str:
    shown = [one[name] for name in ("precision", "recall", "f1", "average_precision")]
    precision, *others = ["-" if n is None else f"{n:.4f}" for n in shown]
    return (
        f"{one['rows']:>10,}  {precision:>9}"
        + "".join(f"  {n:>6}" for n in others)
        + (f"  {one['class']}")
    )
