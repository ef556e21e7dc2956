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


def faces(folder: Path) -> Settings:
    from imgbatch.analyzers.faces import Settings as Faces
    from imgbatch.models.weights import adopt
    from imgbatch.settings import Limits
    from tests import facemodels

    adopt(Limits(model_cache=str(folder / "cache"), threads=1))
    weights = facemodels.own(facemodels.pack(folder, reach=16))
    mood = facemodels.mood(folder / "mood.onnx")
    return Faces(
        detector="pack",
        weights=weights,
        min_score=0.3,  # so that the red and orange of photographs count as faces
        sides=(128,),
        recognition=True,
        perceived=("age", "gender"),
        pose="model",
        heads={"mood": mood},
    )


# One line per analyzer: its name, and the function.
SETTINGS: dict[str, Callable[[Path], Settings]] = {
    "classify": networks.classes,
    "clip": lambda folder: clip.Settings(**networks.clip_network(folder)),
    "embed": lambda folder: embed.Settings(**networks.classifier(folder)),
    "objects": detectors.finds,
    "faces": faces,
}
