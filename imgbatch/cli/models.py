"""The commands of the model store: models list, show, pull, push, verify."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch.terminal import Json, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.models.audit import Kept
    from imgbatch.models.download import Listener
    from imgbatch.models.registry import Licence, Model
    from imgbatch.models.weights import Had, Wanted

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME...", help="Models of `imgbatch models list`, or paths or URLs."),
]
OfRecipe = Annotated[
    str | None, typer.Option("--recipe", help="All that this recipe needs, besides.")
]
Sha256 = Annotated[
    str, typer.Option("--sha256", help="Digest of the file, where NAME is a URL of your own.")
]
HOW = {"there": "was there already", "mirror": "came from the mirror", "url": "came from its URL"}
# A pipe gets whole lines, for grep.
WIDE = 200
WHOLE_DIGEST = 64
CELLS = ("name", "task", "input", "size", "here", "licence")


def list_(*, json: Json = False) -> None:
    """List the models that imgbatch can get, and which are on this machine."""
    from imgbatch.models.registry import known

    models = known()
    if json:
        for model in models:
            say(json, "model", _record(model), [])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for cell in CELLS:
        table.add_column(cell, justify="right" if cell in ("input", "size") else "left")
    for model in models:
        table.add_row(*_cells(model))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    console.print(table)
    console.print("\n* with limits, which `imgbatch models show NAME` says", soft_wrap=True)


def show(name: Annotated[str, typer.Argument(metavar="NAME")], *, json: Json = False) -> None:
    """Show what a model is, where it comes from, its licence, and whether it is here."""
    from imgbatch.models import cache
    from imgbatch.models.registry import find
    from imgbatch.models.weights import file_of

    model = find(name)
    path = cache.path_of(file_of(model))
    record = _record(model)
    whole = len(model.sha256) == WHOLE_DIGEST
    lies = "on this machine" if record["here"] else "not on this machine; it would lie"
    lines = [
        f"{model.name}: {model.task}, {model.loader} {model.builder} {model.variant}".rstrip(),
        f"  from      {model.url}",
        f"  size      {_size(model)}",
        f"  sha256    {model.sha256}{'' if whole else '... (published so)'}",
        f"  input     {_input(model)}",
        *_licence(model.licence),
        f"  here      {lies} at {path}",
    ]
    say(json, "model", {**record, "path": str(path)}, lines)


def pull(
    names: Names = None, *, recipe: OfRecipe = None, sha256: Sha256 = "", json: Json = False
) -> None:
    """Bring weights to this machine, and verify them. What is here already stays."""
    from imgbatch.models.weights import get

    for name, wanted in _all(names or [], recipe, sha256):
        with _listening(name, wanted, shown=not json) as listener:
            # A copy that the user has at hand is taken, whatever a mirror has.
            had = get(wanted, mirrored=not wanted.url.startswith("file:"), listener=listener)
        record = {**_pulled(name, had), **_allowed(wanted)}
        say(json, "pulled", record, _pulled_lines(name, wanted, had))


def push(
    words: Annotated[
        list[str],
        typer.Argument(metavar="NAME... STORE-URL", help="As for pull; then a folder or bucket."),
    ],
    *,
    recipe: OfRecipe = None,
    sha256: Sha256 = "",
    json: Json = False,
) -> None:
    """Put weights into a store, from where workers read them: set IMGBATCH_MODEL_MIRROR to it."""
    from imgbatch.models.mirror import push as send

    *names, store = words
    for name, wanted in _all(names, recipe, sha256):
        with _listening(name, wanted, shown=not json) as listener:
            pushed = send(wanted, store, listener)
        record = {"name": name, "address": pushed.address, "sent": pushed.sent}
        record |= _allowed(wanted)
        said = "is in the store now" if pushed.sent else "was in the store already"
        lines = [f"{name} {said}: {pushed.address}", *_terms(wanted), *_own(wanted)]
        say(json, "pushed", record, lines)


def verify(*, json: Json = False) -> None:
    """Read all weights of this machine again, and name what is damaged. Nothing is changed."""
    from imgbatch.errors import WeightsError
    from imgbatch.models import cache
    from imgbatch.models.audit import audit

    found = list(audit())
    damaged = [kept for kept in found if kept.state == "damaged"]
    record = {
        "folder": str(cache.folder()),
        "files": [{"path": str(k.path), "size": k.size, "state": k.state} for k in found],
        "damaged": len(damaged),
    }
    say(json, "verified", record, _verified_lines(found))
    if damaged:
        raise WeightsError(
            f"{len(damaged)} damaged in {cache.folder()}",
            "It is never used: `imgbatch models pull NAME` replaces it, and so does the next run.",
        )


def _all(names: list[str], recipe: str | None, sha256: str) -> list[tuple[str, Wanted]]:
    """Return what the command line asks for, by what it is called there; without a secret."""
    from imgbatch import analyzers, settings
    from imgbatch.errors import SettingsError
    from imgbatch.ready import needs
    from imgbatch.storage.secrets import scrub

    if not names and recipe is None:
        raise SettingsError(
            "no model is asked for",
            "Name models, or a recipe with --recipe; for push, the store stands after them.",
        )
    found = {scrub(name): _wanted(name, sha256) for name in names}
    if recipe is not None:
        text = settings.recipe_text(recipe)
        read = settings.read_recipe(text, settings_of=analyzers.settings_of)
        found |= {need.name: need.wanted for need in needs(read)}
    return list(found.items())


def _wanted(name: str, sha256: str) -> Wanted:
    """Return what a word of the command line names: a model, or a file of the user's own."""
    from imgbatch.errors import WeightsError
    from imgbatch.models import cache
    from imgbatch.models.registry import find, of_file
    from imgbatch.models.weights import Own
    from imgbatch.settings import check
    from imgbatch.storage.secrets import scrub

    if "://" in name:
        if not sha256:
            raise WeightsError(f"{scrub(name)} needs its digest", "Give it with --sha256.")
        return check(Own, {"url": name, "sha256": sha256}, where="weights")
    path = Path(name)
    if path.is_file() and (path.suffix or path.parent != Path()):
        digest = cache.digest(path)
        copied = of_file(digest, path.absolute().as_uri())
        return copied or check(Own, {"url": name, "sha256": sha256 or digest}, where="weights")
    return find(name)


@contextlib.contextmanager
def _listening(name: str, wanted: Wanted, *, shown: bool) -> Iterator[Listener | None]:
    """Yield what shows a download on a terminal; None where nobody looks."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield None
        return
    columns = (TextColumn("{task.description}"), DownloadColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=getattr(wanted, "size", 0) or None)
        yield lambda done: progress.update(task, completed=done)


def _record(model: Model) -> dict[str, Any]:
    from imgbatch.models import cache
    from imgbatch.models.weights import file_of

    return {**model.model_dump(mode="json"), "here": cache.path_of(file_of(model)).is_file()}


def _cells(model: Model) -> tuple[str, ...]:
    here = "yes" if _record(model)["here"] else ""
    licence = f"{model.licence.name}{' *' if model.licence.limits else ''}"
    return (model.name, model.task, str(model.input), _size(model), here, licence)


def _size(model: Model) -> str:
    from imgbatch.report.words import data_size

    return data_size(model.size) if model.size else "not told"


def _input(model: Model) -> str:
    if not model.resize:
        return f"{model.input} pixels"
    return (
        f"{model.input} x {model.input} pixels, the centre of a shorter side of {model.resize}, "
        f"{model.interpolation}"
    )


def _licence(licence: Licence) -> list[str]:
    lines = [f"  licence   {licence.name}: {licence.url}"]
    return [*lines, f"  limits    {licence.limits}"] if licence.limits else lines


def _pulled(name: str, had: Had) -> dict[str, Any]:
    return {"name": name, "path": str(had.path), "how": had.how, "damaged": had.damaged}


def _pulled_lines(name: str, wanted: Wanted, had: Had) -> list[str]:
    damaged = ["  what lay in the cache was damaged, and was replaced"] if had.damaged else []
    return [f"{name} {HOW[had.how]}: {had.path}", *damaged, *_terms(wanted)]


def _terms(wanted: Wanted) -> list[str]:
    """Return what a user must know of a licence, whenever weights are moved."""
    from imgbatch.models.terms import OWN, terms

    licence = terms(wanted)
    return [] if licence == OWN else _licence(licence)


def _allowed(wanted: Wanted) -> dict[str, str]:
    """Return the same for a record, as a run's says it."""
    from imgbatch.models.terms import terms

    licence = terms(wanted)
    return {"licence": licence.name, "limits": licence.limits}


def _own(wanted: Wanted) -> list[str]:
    """Return how a recipe names weights of the user's own."""
    from imgbatch.models.registry import Model
    from imgbatch.storage.secrets import scrub

    if isinstance(wanted, Model):
        return []
    return [f'  in a recipe: {{ url = "{scrub(wanted.url)}", sha256 = "{wanted.sha256}" }}']


def _verified_lines(found: list[Kept]) -> list[str]:
    from imgbatch.models import cache
    from imgbatch.report.words import data_size

    if not found:
        return [f"no weights in {cache.folder()}"]
    lines = [f"  {k.state:<10}  {data_size(k.size):>9}  {k.path}" for k in found]
    whole = [k for k in found if k.state == "whole"]
    total = data_size(sum(k.size for k in whole))
    return [*lines, f"{len(whole)} of {len(found)} are whole ({total})"]
