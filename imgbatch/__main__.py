"""`python -m imgbatch` and the command `imgbatch`.

A worker's process reads this module too (`imgbatch.crew.child`), and needs no command line.
"""

# ruff: noqa: PLC0415 - a tenth of a second of each worker's start

from __future__ import annotations


def main() -> None:
    """Run the command line and exit; the caller's process may go on."""
    from imgbatch.cli import app
    from imgbatch.terminal import guarded

    guarded(app)


def command() -> None:
    """Run the command line as a process of its own."""
    from imgbatch.cli import app
    from imgbatch.terminal import process

    process(app)


if __name__ == "__main__":
    command()
