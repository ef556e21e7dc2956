"""`python -m imgbatch` and the command `imgbatch`."""

from imgbatch.cli import app
from imgbatch.terminal import guarded, process


def main() -> None:
    """Run the command line and exit; the caller's process may go on."""
    guarded(app)


def command() -> None:
    """Run the command line as a process of its own."""
    process(app)


if __name__ == "__main__":
    command()
