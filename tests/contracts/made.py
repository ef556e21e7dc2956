"""Settings for analyzers that need weights: each writes tiny ones into a folder and names them.

The contract suite runs every analyzer; one whose defaults name weights that must be downloaded gets
its settings from here instead. A function here may import what its analyzer's extra brings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.analyzers import clip, embed, objects
from tests import networks
from tests.detectors import CLASSES, SMALL, saved, small_detector

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgbatch.settings import Settings


def detector(folder: Path) -> Settings:
    own = saved(small_detector(), folder / "own.pth")
    chosen = {"min_score": 0.2, "max_regions": 5, "classes": CLASSES}
    return objects.Settings(model=SMALL, weights=own, **chosen)


# One line per analyzer: its name, and the function.
SETTINGS: dict[str, Callable[[Path], Settings]] = {
    "classify": networks.classes,
    "clip": lambda folder: clip.Settings(**networks.clip_network(folder)),
    "embed": lambda folder: embed.Settings(**networks.classifier(folder)),
    "objects": detector,
}
