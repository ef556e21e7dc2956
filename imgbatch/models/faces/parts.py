"""Models that see cut-out faces, many at once: what to cut out, and what to make of it.

A part cuts its own picture of a face out of the whole (`crop`), while that is there, and later says
the columns of many such crops (`run`). So one call of its network sees faces of many pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from imgbatch.errors import WeightsError
from imgbatch.models.devices import need
from imgbatch.models.faces import crops, packs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imgbatch.models.faces import RGB, Face
    from imgbatch.models.faces.packs import Pack

Columns = dict[str, Any]
# What an attribute model of InsightFace sees around a box, and a mean head's pose with it.
MARGIN = 1.5
GENDERS = ("female", "male")


class Part(Protocol):
    """One model that sees cut-out faces.

    Attributes:
        names: of the columns that it says.
        batch: how many crops `run` takes at most; 0: as many as there are.
    """

    names: tuple[str, ...]
    batch: int

    def crop(self, pixels: RGB, face: Face) -> RGB | None:
        """Cut out what the model sees; None where that cannot be. Called from several threads."""

    def run(self, faces: Sequence[RGB]) -> list[Columns]:
        """Return the columns of each crop, in order."""


class Recognition:
    """Embeddings of a pack: aligned faces in, vectors of length 1 out."""

    names: tuple[str, ...] = ("embedding",)

    def __init__(self, pack: Pack) -> None:
        self._model = pack.model(packs.RECOGNITION)
        self.batch = fixed_batch(self._model.input_shape, packs.RECOGNITION)

    def crop(self, pixels: RGB, face: Face) -> RGB | None:
        """Return the face aligned to ArcFace's template."""
        return None if face.points is None else _aligned(pixels, face, self._model.input_size[0])

    def run(self, faces: Sequence[RGB]) -> list[Columns]:
        """Return the embedding of each face."""
        found = self._model.get_feat([cv2.cvtColor(face, cv2.COLOR_RGB2BGR) for face in faces])
        lengths = np.linalg.norm(finite(found), axis=1)
        return [
            {"embedding": (vector / length).astype(np.float32) if length else None}
            for vector, length in zip(found, lengths, strict=True)
        ]


class Attributes:
    """Perceived age and gender of a pack.

    Args:
        pack: has the model.
        wanted: of "age" and "gender", what is said.
    """

    def __init__(self, pack: Pack, wanted: Sequence[str]) -> None:
        self._model = pack.model(packs.ATTRIBUTES)
        self.batch = fixed_batch(self._model.input_shape, packs.ATTRIBUTES)
        told = {"age": ("perceived_age",), "gender": perceived_names("gender")}
        self.names = tuple(name for word in wanted for name in told[word])

    def crop(self, pixels: RGB, face: Face) -> RGB | None:
        """Return the face and half as much around it."""
        return crops.framed(pixels, face.box, self._model.input_size[0], MARGIN)

    def run(self, faces: Sequence[RGB]) -> list[Columns]:
        """Return what is asked for of each face."""
        found = finite(_outputs(self._model, faces))
        rows = perceived("gender", GENDERS, softmax(found[:, :2]))
        for row, age in zip(rows, found[:, 2], strict=True):
            row["perceived_age"] = float(age) * 100
        return [{name: row[name] for name in self.names} for row in rows]


class Pose:
    """How heads are turned, by the 68 points in space that a pack finds."""

    names: tuple[str, ...] = ("yaw", "pitch", "roll")

    def __init__(self, pack: Pack) -> None:
        self._model = pack.model(packs.POSE)
        self._geometry = need("insightface.utils.transform")
        self.batch = fixed_batch(self._model.input_shape, packs.POSE)

    def crop(self, pixels: RGB, face: Face) -> RGB | None:
        """Return the face and half as much around it."""
        return crops.framed(pixels, face.box, self._model.input_size[0], MARGIN)

    def run(self, faces: Sequence[RGB]) -> list[Columns]:
        """Return the pose of each face."""
        found = _outputs(self._model, faces)
        points = found.reshape(len(found), -1, 3)[:, -self._model.lmk_num :]
        # From -1..1 to the pixels of the crop; where that lies in the picture turns nothing.
        points = (points + np.array([1, 1, 0])) * (self._model.input_size[0] // 2)
        return [self._pose(head) for head in points]

    def _pose(self, points: NDArray[Any]) -> Columns:
        fitted = self._geometry.estimate_affine_matrix_3d23d(self._model.mean_lmk, points)
        _, turn, _ = self._geometry.P2sRt(fitted)
        told = crops.angles(turn)
        return dict(zip(self.names, told if np.isfinite(told).all() else (None,) * 3, strict=True))


def _aligned(pixels: RGB, face: Face, side: int) -> RGB | None:
    return None if face.points is None else crops.aligned(pixels, face.points, side)


def _outputs(model: Any, faces: Sequence[RGB]) -> NDArray[np.float32]:
    """Return what an attribute model of InsightFace says of crops that came as RGB."""
    mean = (model.input_mean,) * 3
    blob = cv2.dnn.blobFromImages(list(faces), 1 / model.input_std, model.input_size, mean)
    found: NDArray[np.float32] = model.session.run(model.output_names, {model.input_name: blob})[0]
    return found


def finite(found: NDArray[Any]) -> NDArray[Any]:
    """Return what a network gave; of what is no number, each face would be of the first class.

    Raises:
        ArithmeticError: some of it is no number.
    """
    if not np.isfinite(found).all():
        raise ArithmeticError("a network gave of a face what is no number: its weights are broken")
    return found


def perceived_names(name: str) -> tuple[str, str]:
    """Return the columns of a head: the likeliest class, and the probabilities of all."""
    return f"perceived_{name}", f"perceived_{name}_probabilities"


def perceived(name: str, classes: Sequence[str], shares: NDArray[Any]) -> list[Columns]:
    """Return the columns of a head for (n, classes) probabilities."""
    best, all_ = perceived_names(name)
    return [{best: classes[int(row.argmax())], all_: row.astype(np.float32)} for row in shares]


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return (n, classes) probabilities that sum to 1."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def fixed_batch(shape: Sequence[Any], name: str) -> int:
    """Return how many faces at once a model's input takes; 0 where that is open.

    Raises:
        WeightsError: it takes exactly so many, which there need not be.
    """
    if not isinstance(shape[0], int):
        return 0
    if shape[0] != 1:
        raise WeightsError(
            f"the model for {name} takes exactly {shape[0]} faces at once",
            "Export it with an open batch, or for one face.",
        )
    return 1
