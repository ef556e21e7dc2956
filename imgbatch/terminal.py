"""What command line and jobs share: the one `except`, the words of a run, its last lines."""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import math
import os
import sys
import traceback
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from imgbatch.errors import DamageError, OutputError, RunError, SettingsError
from imgbatch.outputs import outlive_readers, unwritten
from imgbatch.summary_lines import retried_lines, run_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from imgbatch.dataset.ordered import Spread
    from imgbatch.driver import Engine
    from imgbatch.grouping import Wish
    from imgbatch.observe.recorder import Watcher
    from imgbatch.retry import Again
    from imgbatch.settings import Limits
    from imgbatch.summary import Request, Summary

BUG, INTERRUPTED = 1, 130
BY_HAND = (
    "Each problem says what mends it; no `imgbatch run INPUT DATASET --repair` does it by itself."
)

# What leaves out sources of INPUT leaves out none of those that were taken in before.
STILL = "; a changed recipe still redoes all that DATASET has."

Input = Annotated[str, typer.Argument(metavar="INPUT", help="Folder, archive, file or bucket URL.")]
DatasetUrl = Annotated[str, typer.Argument(metavar="DATASET", help="Folder or bucket URL.")]
RecipeName = Annotated[
    str, typer.Option("--recipe", help="Name (see `imgbatch recipe list`) or path of a .toml file.")
]
Workers = Annotated[
    int,
    typer.Option("--workers", min=0, help="Worker processes at most; 0: by cores, memory, GPUs."),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help=f"Take in only the first N sources, by address{STILL}"),
]
Sample = Annotated[
    float | None,
    typer.Option(
        "--sample",
        min=0.0,
        max=1.0,
        help=f"Take in only this share of sources, drawn by id{STILL}",
    ),
]
MaxFailed = Annotated[
    str | None,
    typer.Option("--max-failed", help="Stop as soon as more have failed: a count, or 5%."),
]
Repair = Annotated[
    bool, typer.Option("--repair", help="First look for damage; do again exactly what is damaged.")
]
AddInput = Annotated[
    bool, typer.Option("--add-input", help="Keep INPUT beside the input that DATASET has already.")
]
Classes = Annotated[
    list[str],
    typer.Option("--class", help="Error class to do again, such as 'decode.*'; may be repeated."),
]
Follow = Annotated[
    bool, typer.Option("--follow", help="Show its output, and end with its exit code.")
]
Ship = Annotated[
    bool, typer.Option("--ship", help="Send this imgbatch along: the cluster's is another or none.")
]
Grouper = Annotated[str, typer.Argument(metavar="NAME", help="See `imgbatch groupers`.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting of it; may be repeated."),
]
LabelName = Annotated[
    str, typer.Option("--name", help="Keep these labels beside others, as groups/NAME-<this>.")
]
Anew = Annotated[
    bool, typer.Option("--anew", help="Take nothing over from the labels that are there.")
]
DumpName = Annotated[
    str | None,
    typer.Option("--dump", help="Format of INPUT's posts (see `imgbatch dumps`), auto or none."),
]
MediaColumn = Annotated[
    str | None,
    typer.Option("--media-column", help="Of a table of posts: column of paths or URLs of media."),
]
IdColumn = Annotated[
    str | None, typer.Option("--id-column", help="Of a table of posts: column of post ids.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]


def words_of(flags: Mapping[str, str | float | bool | None]) -> list[str]:
    """Return flags as the words of a command line: none for None and False, `--json` for True."""
    words = []
    for name, value in flags.items():
        if value is not None and value is not False:
            words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return words


def process(app: Callable[[], Any]) -> None:
    """Run an app as all that this process is for: end with the code of what it raised."""
    outlive_readers()
    code = [BUG]
    # Registered before all that the app will register, so it comes after them.
    atexit.register(_leave, code)
    try:
        guarded(app)
        code[0] = 0
    except SystemExit as ended:
        code[0] = ended.code if isinstance(ended.code, int) else BUG if ended.code else 0
        raise


def _leave(code: list[int]) -> None:
    """End the process with its code, once all is done and told.

    Decision, 2026-11: not by Python's own way. Arrow's threads may still be in a scan when the
    interpreter takes down what they use, and the process aborts after it did its work (seen once
    in some hundred commands over buckets, "terminate called without an active exception"); whoever
    schedules it then believes that it failed. Drawback: what libraries do at the very end of an
    interpreter, after its exit handlers, is not done.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    ended = code[0]
    if lost := unwritten():
        error = OutputError(f"what it printed could not be written: {lost}")
        _tell(error)
        ended = ended or error.exit_code
    os._exit(ended)


def guarded(app: Callable[[], Any]) -> None:
    """Run an app and exit with the code of what it raised; every command goes through here."""
    try:
        app()
    except RunError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # before the command began
        sys.exit(INTERRUPTED)
    except Exception:  # noqa: BLE001 - whatever else comes here is a bug of ours, and said so
        # An error of a library that we did not foresee may tell what it was sent.
        _say_scrubbed(traceback.format_exc())
        _say_scrubbed("This is a bug in imgbatch. Committed shards are safe.")
        sys.exit(BUG)


def _tell(error: RunError) -> None:
    # It repeats what was given: a flag, a variable, an address with a password in it.
    _say_scrubbed(f"error: {type(error).__name__}: {error}", style="red")
    _say_scrubbed(f"to do: {error.remedy}")


def _say_scrubbed(text: str, style: str | None = None) -> None:
    from imgbatch.storage.secrets import scrub  # noqa: PLC0415 - keeps `--help` quick

    _stderr().print(scrub(text), markup=False, style=style)


def _stderr() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Import what a command needs in here: nothing of it is ever garbage, so none is looked for.

    Python would go through all that was loaded so far ten times over: a tenth of a second of every
    run, and again at each later look.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def max_failed(text: str | None) -> float | None:
    """Read --max-failed: a count, or a share such as 5%.

    Raises:
        SettingsError: it is neither.
    """
    if text is None:
        return None
    try:
        value = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(int(text))
    except ValueError:
        value = -1.0
    if value < 0 or (text.endswith("%") and value > 1):
        raise SettingsError(f"--max-failed {text!r} is neither a count nor a share such as 5%")
    # A value of 1 would be a count.
    return math.inf if text.endswith("%") and value == 1 else value


def analyze(request: Request, engine: Engine, *, as_json: bool) -> None:
    """Do a run, show it going, and say what it came to.

    Raises:
        DamageError: a repair did what it could, and something is left that no run mends.
    """
    with loading():
        from imgbatch.run import run  # noqa: PLC0415 - keeps `--help` quick

    summary = _watched(partial(run, request), engine, as_json=as_json)
    say(as_json, "finished", summary.record(), run_lines(summary))
    if summary.by_hand:
        raise DamageError(f"problems left in {request.dataset}: {len(summary.by_hand)}", BY_HAND)


def redo(again: Again, engine: Engine, *, as_json: bool) -> None:
    """Do failed sources again, show it going, and say what it came to."""
    with loading():
        from imgbatch.retry import retry  # noqa: PLC0415 - keeps `--help` quick

    summary = _watched(partial(retry, again), engine, as_json=as_json)
    say(as_json, "retried", summary.record(), retried_lines(summary))


def group(wish: Wish, spread: Spread, *, as_json: bool) -> None:
    """Label rows of a dataset's tables, and say what it came to."""
    from imgbatch.grouping import group as label  # noqa: PLC0415 - keeps `--help` quick
    from imgbatch.settings import read_limits  # noqa: PLC0415 - keeps `--help` quick

    def tell(text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    made = label(wish, read_limits(), spread=spread, say=tell)
    place = f"{wish.dataset.rstrip('/')}/groups/{made['name']}"
    counts = f"{made['grouped']:,} of {made['rows']:,} rows are in {made['groups']:,} groups"
    lines = [
        f"{counts} ({made['seconds']:.1f} s)",
        *(f"  {place}/_files/{made['run']}/{file}" for file in made["files"]),
        f"labels: {place}",
    ]
    say(as_json, "grouped", made, lines)


def _watched(
    drive: Callable[[Limits, Engine, Watcher], Summary], engine: Engine, *, as_json: bool
) -> Summary:
    from imgbatch.observe.progress import watcher  # noqa: PLC0415 - keeps `--help` quick
    from imgbatch.settings import read_limits  # noqa: PLC0415 - keeps `--help` quick

    try:
        with contextlib.closing(watcher(as_json=as_json)) as shown:
            return drive(read_limits(), engine, shown)
    except KeyboardInterrupt:
        # Told here: what reads the command line ends a command that is interrupted without a word.
        _stderr().print("interrupted: finished shards stay; run again to go on", markup=False)
        raise


def say(as_json: bool, event: str, record: dict[str, Any], lines: list[str]) -> None:  # noqa: FBT001 - a flag of the command line, passed on
    """Print a result: text for people, one JSON line on request."""
    out = json.dumps({"event": event, **record}, default=str) if as_json else "\n".join(lines)
    sys.stdout.write(out + "\n")
    sys.stdout.flush()


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines
