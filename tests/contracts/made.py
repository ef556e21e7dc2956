"""Settings for analyzers that need weights: each writes tiny ones into a folder and names them.

The contract suite runs every analyzer; one whose defaults name weights that must be downloaded gets
its settings from here instead. A function here may import what its analyzer's extra brings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.analyzers import clip, embed
from tests import detectors, networks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgbatch.settings import Settings


# One line per analyzer: its name, and the function.
SETTINGS: dict[str, Callable[[Path], Settings]] = {
    "classify": networks.classes,
    "clip": lambda folder: clip.Settings(**networks.clip_network(folder)),
    "embed": lambda folder: embed.Settings(**networks.classifier(folder)),
    "objects": detectors.finds,
}
