"""What several tests need: the checkout and its README."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the checkout."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def readme(root: Path) -> str:
    """The text of README.md."""
    return (root / "README.md").read_text("utf-8")
