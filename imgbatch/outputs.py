"""What a process prints leaves; who should take it may fail (`| head`, a full disk), the work not.

Decision, 2026-11: a command goes on to its end without readers, and its exit code is its own: a run
that is printed into `| head` is finished, and `verify | head -1` tells of damage by its code. Where
the output cannot be written (a full disk) it goes on too, and `unwritten` tells that at its end.
Those that only pass on what comes ask `heard` and end. Drawback: where nobody reads any more, a
command is not ended by that, as other programs are.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

    from _typeshed import ReadableBuffer

STDERR = 2
# Descriptors whose readers went away, or that take nothing any more, and why not.
_unheard: set[int] = set()
_unwritten: dict[int, str] = {}


def outlive_readers() -> None:
    """Let this process print on when the readers of its outputs go away; theirs it must be."""
    # What is closed (`2>&-`) would be the number of the next file: libraries would print into it.
    while (spare := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(spare, True)  # noqa: FBT003 - so it is called
    os.close(spare)
    for name in ("stdout", "stderr"):
        setattr(sys, name, _lasting(getattr(sys, name)))


def heard() -> bool:
    """Return whether somebody still reads what is printed, as far as the last line told."""
    return 1 not in _unheard


def unwritten() -> str | None:
    """Return which outputs could not be written and why; None where it was readers that left."""
    names = {1: "standard output", 2: "standard error"}
    return ", ".join(f"{names[of]}: {why}" for of, why in sorted(_unwritten.items())) or None


def _lasting(stream: TextIO | None) -> TextIO:
    if stream is None:  # its descriptor was closed before the process began (`>&-`)
        return Path(os.devnull).open("w", encoding="utf-8")
    stream.flush()
    raw = _Output(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=True,  # whoever reads is told at once, and we of readers that are gone
    )


class _Output(io.FileIO):
    """A descriptor; what is written after it took something no more goes nowhere."""

    def write(self, data: ReadableBuffer, /) -> int:
        if self.fileno() not in _unheard:
            try:
                return super().write(data)
            except BrokenPipeError:
                pass
            except OSError as error:
                _unwritten[self.fileno()] = error.strerror or str(error)
            _unheard.add(self.fileno())
        return memoryview(data).nbytes
