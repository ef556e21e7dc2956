"""What `imgbatch submit` starts on the cluster: `python -m jobs.submitted ORDER`.

ORDER is JSON: the words of `jobs.analyze`, the text of the recipe, and who asks for it. The driver
is a child of this process and is started again when a signal kills it.

Decision, 2026-11: Ray 2.60 runs a submitted job once ("retries should be handled by the submitter",
says its `submit_job`), and the submitter may be a laptop that is closed by then. So this small
process stays beside the driver. It holds nothing that memory limits could end it for; what ends the
whole machine ends the job, and the same `imgbatch submit` again goes on with it. Drawback: one more
process, and a driver that dies of the same thing each time is started a few times for nothing.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgbatch import terminal
from imgbatch.errors import CancelledError, JobError
from imgbatch.release import read, refuse_other, release

if TYPE_CHECKING:
    from types import FrameType

# Started again so often after short lives; one that lived for LONG starts the count anew.
AGAIN = 5
LONG = 600.0
PAUSE = 1.0
# The first word that a job says, and its event with --json: whoever submitted waits for it.
ACCEPTED = "accepted"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class Order:
    """What is submitted.

    Attributes:
        words: of `jobs.analyze`, without the recipe.
        recipe: its text: the cluster does not have the file.
        release: of whoever submits.
        json: whether output is JSON lines.
    """

    words: list[str]
    recipe: str
    release: dict[str, str]
    json: bool

    def encoded(self) -> str:
        """Return it as one line."""
        return json.dumps(
            {k: getattr(self, k) for k in ("release", "json", "words", "recipe")}, ensure_ascii=True
        )


@app.command()
def submitted(order: Annotated[str, typer.Argument(metavar="ORDER")]) -> None:
    """Compare versions, then run the driver until it ends by itself."""
    told = Order(**json.loads(order))
    here = release()
    refuse_other(read(told.release), here, places=("the submitting machine", "the cluster"))
    terminal.say(told.json, ACCEPTED, here.record(), [f"{ACCEPTED}: {here}"])
    with tempfile.TemporaryDirectory(prefix="imgbatch-") as folder:
        recipe = Path(folder) / "recipe.toml"
        recipe.write_text(told.recipe, "utf-8")
        words = ["--recipe", str(recipe), *told.words]
        raise typer.Exit(Watchman().watch([sys.executable, "-P", "-m", "jobs.analyze", *words]))


class Watchman:
    """Starts a driver, and again when it is killed."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def watch(self, words: list[str]) -> int:
        """Return the driver's own exit code, whichever of its lives it comes from.

        Raises:
            CancelledError: the job was stopped.
            JobError: it was killed too often.
        """
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        deaths = 0
        while True:
            began = time.monotonic()
            self._child = subprocess.Popen(words)  # noqa: S603 - our own module, no shell
            code = self._child.wait()
            if code >= 0:
                return code
            name = signal.Signals(-code).name
            if self._stopped:
                raise CancelledError(f"the job was stopped ({name})")
            deaths = 1 if time.monotonic() - began > LONG else deaths + 1
            if deaths > AGAIN:
                raise JobError(f"the driver was killed {deaths} times in a row, last by {name}")
            pause = PAUSE * 2 ** (deaths - 1)
            said = f"the driver was killed ({name}): it starts again in {pause:g} s"
            sys.stderr.write(f"{said}, time {deaths} of {AGAIN}\n")
            time.sleep(pause)
            if self._stopped:
                raise CancelledError("the job was stopped")

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - what signal gives
        self._stopped = True
        if self._child is not None and self._child.poll() is None:
            # It commits what is finished. Ray tells it too; it heeds the first.
            self._child.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    terminal.process(app)
