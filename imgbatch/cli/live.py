"""The commands that watch a run from any terminal with access to the dataset, and end it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch.errors import DatasetError, InputError, SettingsError
from imgbatch.outputs import heard
from imgbatch.terminal import INTERRUPTED, DatasetUrl, Json, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from imgbatch.dataset import Dataset
    from imgbatch.observe.life import Life
    from imgbatch.observe.lines import Line, Wanted

WATCH_SECONDS = 2.0

RunId = Annotated[
    str | None, typer.Option("--run", help="A run's id or its beginning; the last run by default.")
]
Level = Annotated[str, typer.Option(help="The least level: debug, info, warning or error.")]
OfSource = Annotated[
    str | None, typer.Option("--source", help="Only lines on a source: id, address or path.")
]
OfClasses = Annotated[
    list[str] | None,
    typer.Option("--class", help="Only lines with an error class such as 'decode.*'."),
]


def status(
    dataset: DatasetUrl,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until the run ends.")] = False,
    json: Json = False,
) -> None:
    """Show what is done, what is going on, what failed, and what bounds the run."""
    from imgbatch.cli import live_lines
    from imgbatch.cli.schedule import of_dataset
    from imgbatch.dataset import Dataset
    from imgbatch.observe import life as lives
    from imgbatch.observe.status import status as read

    opened = Dataset.open(dataset)
    found = lives.last(opened)
    if watch and found and found.alive:
        _watch(opened, found, as_json=json)
    # Opened anew: a table stays as it was when it was first looked at.
    record = read(Dataset.open(dataset))
    schedules, told = of_dataset(opened.url)
    say(json, "status", {**record, "schedules": schedules}, [*live_lines.status(record), *told])


def _watch(dataset: Dataset, life: Life, *, as_json: bool) -> None:
    """Show a run until it has ended: in place on a terminal, else a line whenever it says more."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from imgbatch.cli import live_lines
    from imgbatch.observe import life as lives

    def told() -> Iterator[Life]:
        now = life
        while now.alive and heard():
            yield now
            time.sleep(WATCH_SECONDS)
            now = lives.life(dataset, life.run)

    if sys.stdout.isatty() and not as_json:
        with Live(console=Console(highlight=False), transient=True) as screen:
            for now in told():
                screen.update(Text("\n".join(live_lines.going(now.told()))))
        return
    said = None
    for now in told():
        written = now.progress and now.progress["written"]
        if written != said:
            say(as_json, "progress", now.told(), [live_lines.short(now.told())])
        said = written


def tail(
    dataset: DatasetUrl,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="So many to begin with.")] = 20,
    run: RunId = None,
    level: Level = "info",
    source: OfSource = None,
    classes: OfClasses = None,
    json: Json = False,
) -> None:
    """Show the last log lines of all workers by time, and with -f those that come."""
    from imgbatch.dataset import Dataset
    from imgbatch.observe import life as lives
    from imgbatch.observe.lines import Tail

    wanted = _wanted(level, source, classes)
    opened = Dataset.open(dataset)
    life = _life(opened, run)
    end = Tail(opened.store, life.run, wanted)
    last = life

    def ended() -> bool:
        nonlocal last
        last = lives.life(opened, life.run)
        return not last.alive

    def found() -> Iterator[Line]:
        if follow:
            yield from end.follow(ended, last=lines)
        else:
            yield from end.last(lines)

    _print(found(), as_json=json)
    if follow:
        why = f" ({last.why})" if last.why else ""
        sys.stderr.write(f"run {last.run}: {last.state}{why}\n")


def logs(
    dataset: DatasetUrl,
    *,
    out: Annotated[
        str | None, typer.Option(help="Folder for RUN.jsonl; the terminal by default.")
    ] = None,
    run: RunId = None,
    level: Level = "debug",
    source: OfSource = None,
    classes: OfClasses = None,
    json: Json = False,
) -> None:
    """Show or copy all log lines of a run by time."""
    from imgbatch.dataset import Dataset
    from imgbatch.observe.lines import merged

    wanted = _wanted(level, source, classes)
    opened = Dataset.open(dataset)
    life = _life(opened, run)
    found = merged(opened.store, life.run, wanted)
    if out is None:
        _print(found, as_json=json)
        return
    file = Path(out) / f"{life.run}.jsonl"
    count = _copy(found, file)
    say(json, "logs", {"file": str(file), "lines": count}, [f"{count:,} lines in {file}"])


def _copy(lines: Iterable[Line], file: Path) -> int:
    count = 0
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="utf-8") as opened:
            for line in lines:
                opened.write(line.text + "\n")
                count += 1
    except OSError as error:
        raise InputError(f"--out {file}: {error}", "Give a folder that can be written to.") from (
            error
        )
    return count


def _wanted(level: str, source: str | None, classes: list[str] | None) -> Wanted:
    from imgbatch.observe.explain import ids_of
    from imgbatch.observe.lines import LEVELS, Wanted
    from imgbatch.settings import nearest

    if level not in LEVELS:
        raise SettingsError(f"--level {level!r} is none{nearest(level, list(LEVELS))}")
    ids = frozenset(ids_of(source)) if source else frozenset()
    return Wanted(level, ids, tuple(classes or ()))


def _life(dataset: Dataset, run: str | None) -> Life:
    """Return the run that is meant.

    Raises:
        DatasetError: there was none yet.
    """
    from imgbatch.observe import life as lives

    if run is not None:
        return lives.life(dataset, lives.named(dataset, run))
    found = lives.last(dataset)
    if found is None:
        raise DatasetError(
            f"no run has worked on {dataset.url} yet", "`imgbatch run INPUT DATASET` begins one."
        )
    return found


def _print(lines: Iterable[Line], *, as_json: bool) -> None:
    """Print lines as they come; a reader that goes away (`| head`) ends it."""
    from rich.console import Console
    from rich.text import Text

    from imgbatch.cli import live_lines

    console = Console(highlight=False, soft_wrap=True)
    write: Callable[[str], Any] = sys.stdout.write
    try:
        for line in lines:
            if as_json:
                write(line.text + "\n")
            else:
                text, color = live_lines.log_line(line)
                if color and console.is_terminal:
                    console.print(Text(text, style=color))
                else:
                    write(text + "\n")
            sys.stdout.flush()
            if not heard():
                return
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def cancel(
    dataset: DatasetUrl,
    *,
    run: RunId = None,
    wait: Annotated[bool, typer.Option("--wait", help="Come back when it has ended.")] = False,
    json: Json = False,
) -> None:
    """Ask the run that is at work to end: it commits what is finished, and exits with code 20."""
    from imgbatch.dataset import Dataset
    from imgbatch.observe import cancel as requests

    opened = Dataset.open(dataset)
    life = _life(opened, run)
    if not life.alive:
        raise _nothing_to_cancel(life)
    new = requests.ask(opened.store, life.run)
    said = f"run {life.run} is asked to end" + ("" if new else ", as it was before")
    if not wait:
        record = {"run": life.run, "state": life.state, "new": new}
        hint = "it ends within seconds; see it with `imgbatch status DATASET`, or add --wait"
        say(json, "cancel", record, [said, hint])
        return
    if not json:
        sys.stdout.write(said + "\n")
        sys.stdout.flush()
    ended = _ended(opened, life.run)
    say(json, "cancelled", ended.told(), [_end(ended)])


def _ended(dataset: Dataset, run: str) -> Life:
    """Wait until a run has ended or is dead."""
    from imgbatch.observe import life as lives

    while True:
        found = lives.life(dataset, run)
        if not found.alive:
            return found
        time.sleep(WATCH_SECONDS / 2)


def _end(life: Life) -> str:
    why = f" ({life.why})" if life.why else ""
    if life.state == "finished":
        return f"run {life.run} finished before it saw that"
    again = "what it finished is committed; run again to go on"
    return f"run {life.run}: {life.state}{why}; {again}"


def _nothing_to_cancel(life: Life) -> DatasetError:
    why = f" ({life.why})" if life.why else ""
    remedy = "There is nothing to end."
    if life.state not in ("finished", "cancelled"):
        remedy += " Run again to go on: a run that is dead is taken over."
    return DatasetError(f"no run is at work: run {life.run} {life.state}{why}", remedy)
