"""Faces in pictures: pixels enter; boxes, scores and landmarks leave (`Detector`).

`lbp`, `ultraface` and `packs` detect; `crops` cuts faces out and measures them; `parts` are the
models that see many cut-out faces at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

RGB = NDArray[np.uint8]
Numbers = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face in a picture, in pixels of the picture as it was given.

    Attributes:
        box: left, top, right, bottom; may reach beyond the picture's edges.
        score: of the detector, 0 to 1; None where it gives none.
        points: (5, 2): the eye that is left in the picture, the other eye, the tip of the nose,
            the corner of the mouth that is left in the picture, the other; None where the detector
            gives none.
    """

    box: Numbers
    score: float | None = None
    points: Numbers | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The faces of one picture, the surest first.

    Attributes:
        boxes: (n, 4): left, top, right, bottom.
        scores: (n,).
        points: (n, 5, 2), as in `Face`.
    """

    boxes: Numbers
    scores: Numbers | None = None
    points: Numbers | None = None

    def __iter__(self) -> Iterator[Face]:
        for i, box in enumerate(self.boxes):
            yield Face(
                box,
                None if self.scores is None else float(self.scores[i]),
                None if self.points is None else self.points[i],
            )

    def __len__(self) -> int:
        return len(self.boxes)


class Detector(Protocol):
    """Finds the faces of one picture."""

    def detect(self, pixels: RGB) -> Found:
        """Return the faces of (height, width, 3) RGB. Called from several threads at once."""
