"""The commands of the model store: models list, show, pull, push, verify."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgbatch.terminal import Json, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.models.download import Listener
    from imgbatch.models.weights import Wanted

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME...", help="Models of `imgbatch models list`, or paths or URLs."),
]
OfRecipe = Annotated[
    str | None, typer.Option("--recipe", help="All that this recipe needs, besides.")
]
Sha256 = Annotated[
    str | None,
    typer.Option(
        "--sha256",
        metavar="DIGEST",
        help="What the file of the one NAME must have, in full; a URL of your own needs it.",
    ),
]
# A pipe gets whole lines, for grep.
WIDE = 200
DIGEST = re.compile("[0-9a-f]{64}")
CELLS = ("name", "task", "input", "size", "here", "licence")


def list_(*, json: Json = False) -> None:
    """List the models that imgbatch can get, and which are on this machine."""
    from imgbatch.cli import models_lines
    from imgbatch.models.registry import known

    models = known()
    if json:
        for model in models:
            say(json, "model", models_lines.record(model), [])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for cell in CELLS:
        table.add_column(cell, justify="right" if cell in ("input", "size") else "left")
    for model in models:
        table.add_row(*models_lines.cells(model))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    console.print(table)
    console.print("\n* with limits, which `imgbatch models show NAME` says", soft_wrap=True)


def show(name: Annotated[str, typer.Argument(metavar="NAME")], *, json: Json = False) -> None:
    """Show what a model is, where it comes from, its licence, and whether it is here."""
    from imgbatch.cli import models_lines
    from imgbatch.models import cache
    from imgbatch.models.registry import find
    from imgbatch.models.weights import file_of

    model = find(name)
    record = {**models_lines.record(model), "path": str(cache.path_of(file_of(model)))}
    say(json, "model", record, models_lines.shown(model))


def pull(
    names: Names = None, *, recipe: OfRecipe = None, sha256: Sha256 = None, json: Json = False
) -> None:
    """Bring weights to this machine, and verify them. What is here already stays."""
    from imgbatch.cli import models_lines
    from imgbatch.models.weights import get

    for name, wanted, vouched in _all(names or [], recipe, sha256):
        with _listening(name, wanted, shown=not json) as listener:
            # A copy that the user has at hand is taken, whatever a mirror has.
            mirrored = not wanted.url.startswith("file:")
            had = get(wanted, sha256=vouched, mirrored=mirrored, listener=listener)
        record = {"name": name, "path": str(had.path), "how": had.how, "damaged": had.damaged}
        record |= models_lines.allowed(wanted)
        say(json, "pulled", record, models_lines.pulled(name, wanted, had))


def push(
    words: Annotated[
        list[str],
        typer.Argument(metavar="NAME... STORE-URL", help="As for pull; then a folder or bucket."),
    ],
    *,
    recipe: OfRecipe = None,
    sha256: Sha256 = None,
    json: Json = False,
) -> None:
    """Put weights into a store, from where workers read them: set IMGBATCH_MODEL_MIRROR to it."""
    from imgbatch.cli import models_lines
    from imgbatch.models.mirror import push as send

    *names, store = words
    for name, wanted, vouched in _all(names, recipe, sha256):
        with _listening(name, wanted, shown=not json) as listener:
            pushed = send(wanted, store, listener, sha256=vouched)
        record = {"name": name, "address": pushed.address, "sent": pushed.sent}
        record |= models_lines.allowed(wanted)
        say(json, "pushed", record, models_lines.pushed(name, wanted, pushed))


def verify(*, json: Json = False) -> None:
    """Read all weights of this machine again, and name what is damaged. Nothing is changed."""
    from imgbatch.cli import models_lines
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
    say(json, "verified", record, models_lines.verified(found))
    if damaged:
        raise WeightsError(
            f"{len(damaged)} damaged in {cache.folder()}",
            "It is never used: `imgbatch models pull NAME` replaces it, and so does the next run.",
        )


def _all(names: list[str], recipe: str | None, sha256: str | None) -> list[tuple[str, Wanted, str]]:
    """Return what the command line asks for: its name there, without a secret; what; its digest.

    The digest is the one that the command line says; "" where it says none.
    """
    from imgbatch import analyzers, settings
    from imgbatch.errors import SettingsError
    from imgbatch.ready import needs
    from imgbatch.storage.secrets import scrub

    if not names and recipe is None:
        raise SettingsError(
            "no model is asked for",
            "Name models, or a recipe with --recipe; for push, the store stands after them.",
        )
    vouched = _vouched(names, sha256)
    found = {(scrub(name), _wanted(name, vouched)): vouched for name in names}
    if recipe is not None:
        text = settings.recipe_text(recipe)
        read = settings.read_recipe(text, settings_of=analyzers.settings_of)
        for need in needs(read):
            found.setdefault((need.name, need.wanted), "")
    return [(name, wanted, digest) for (name, wanted), digest in found.items()]


def _vouched(names: list[str], sha256: str | None) -> str:
    """Return the digest that the command line says of its one NAME; "" where it says none."""
    from imgbatch.errors import SettingsError

    if sha256 is None:
        return ""
    if len(names) != 1:
        count = f"{len(names)} are named" if names else "none is named"
        raise SettingsError(
            f"--sha256 is the digest of one file, and {count}",
            "Ask for each by itself, with its own digest; a recipe says those of its weights.",
        )
    digest = sha256.lower()  # some tools show capitals
    if not DIGEST.fullmatch(digest):
        raise SettingsError(
            f"--sha256 {sha256!r} is no digest: 64 hex digits",
            "`sha256sum FILE` shows it.",
        )
    return digest


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
        # One with another digest than it is said to have is no copy: whoever gets it says so.
        copied = of_file(digest, path.absolute().as_uri()) if sha256 in ("", digest) else None
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
