"""`python -m imgbatch` and the command `imgbatch`."""

from imgbatch.cli import app
from imgbatch.terminal import guarded


def main() -> None:
    """Run the command line and exit."""
    guarded(app)


if __name__ == "__main__":
    main()
