"""A user's own classifier of faces enters as settings: an ONNX file and its class names.

What a class is called is the user's word for what a network perceives: none comes along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from pydantic import Field, model_validator

from imgbatch.errors import WeightsError
from imgbatch.models.classes import tell_apart
from imgbatch.models.faces import crops
from imgbatch.models.faces.parts import finite, fixed_batch, perceived, perceived_names, softmax
from imgbatch.models.sessions import onnx_session
from imgbatch.models.weights import Own, fetch
from imgbatch.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imgbatch.models.faces import RGB, Face
    from imgbatch.models.faces.parts import Columns

CONVERSIONS = {"bgr": cv2.COLOR_RGB2BGR, "grey": cv2.COLOR_RGB2GRAY}


class Head(Settings):
    """A classifier of faces of the user's own.

    Attributes:
        weights: its ONNX file.
        classes: what its outputs are called, in their order.
        crop: it sees the square around the box, or the face aligned as ArcFace wants it; that takes
            a detector that gives landmarks.
        margin: of the box, the side of that square is so many times its longer side.
        colors: what its channels are; one channel for grey.
        mean, std: values of 0 to 255 become (value - mean) / std; one for all channels or each.
        scores: it says logits, which a softmax makes probabilities, or probabilities.
    """

    weights: Own
    classes: tuple[str, ...] = Field(min_length=2)
    crop: Literal["box", "aligned"] = "box"
    margin: float = Field(default=1.0, gt=0)
    colors: Literal["rgb", "bgr", "grey"] = "rgb"
    mean: tuple[float, ...] = (127.5,)
    std: tuple[float, ...] = (127.5,)
    scores: Literal["logits", "probabilities"] = "logits"

    @model_validator(mode="after")
    def _fits(self) -> Head:
        channels = 1 if self.colors == "grey" else 3
        if not {len(self.mean), len(self.std)} <= {1, channels}:
            raise ValueError(f"mean and std have 1 or {channels} numbers each")
        if 0 in self.std:
            raise ValueError("std is not 0: values are divided by it")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("two classes have the same name")
        return self


class OwnHead:
    """The same, loaded: one of the `parts`.

    Raises:
        WeightsError: its file cannot be had, or does not fit to what the settings say of it.
    """

    def __init__(self, name: str, head: Head) -> None:
        self.names: tuple[str, ...] = perceived_names(name)
        self._name = name
        self._head = head
        self._session = onnx_session(fetch(head.weights))
        self._input = self._session.get_inputs()[0]
        self._last, self._side = self._layout()
        self.batch = fixed_batch(self._input.shape, name)
        self._check_classes()

    def crop(self, pixels: RGB, face: Face) -> RGB | None:
        """Cut out what the head sees of a face."""
        if self._head.crop == "box":
            return crops.framed(pixels, face.box, self._side, self._head.margin)
        return None if face.points is None else crops.aligned(pixels, face.points, self._side)

    def run(self, faces: Sequence[RGB]) -> list[Columns]:
        """Return the likeliest class and all probabilities of each face."""
        found = finite(self._outputs(faces))
        shares = softmax(found) if self._head.scores == "logits" else found
        return perceived(self._name, self._head.classes, shares)

    def _outputs(self, faces: Sequence[RGB]) -> NDArray[Any]:
        seen = np.stack([self._channels(face) for face in faces]).astype(np.float32)
        blob = (seen - np.array(self._head.mean, np.float32)) / np.array(self._head.std, np.float32)
        if not self._last:
            blob = np.ascontiguousarray(blob.transpose(0, 3, 1, 2))
        found = self._session.run(None, {self._input.name: blob})[0]
        return np.asarray(found).reshape(len(faces), -1)

    def _channels(self, face: RGB) -> NDArray[Any]:
        conversion = CONVERSIONS.get(self._head.colors)
        turned = face if conversion is None else cv2.cvtColor(face, conversion)
        return np.asarray(turned).reshape(*face.shape[:2], -1)

    def _layout(self) -> tuple[bool, int]:
        """Return whether channels come last, and the side of the square that the head sees."""
        channels = 1 if self._head.colors == "grey" else 3
        shape = list(self._input.shape)
        for last, order in ((False, shape[1:]), (True, [*shape[3:], *shape[1:3]])):
            if len(shape) == 4 and order[0] == channels and order[1] == order[2]:  # noqa: PLR2004 - batch, channels, height, width
                if not isinstance(order[1], int):
                    break
                return last, order[1]
        raise WeightsError(
            f"head {self._name}: its input is {shape}, which is no square of a fixed size with "
            f"{channels} channels",
            f"Set colors as it is, or export it with [batch, {channels}, side, side].",
        )

    def _check_classes(self) -> None:
        tell_apart(self._head.classes)
        blank = np.zeros((self._side, self._side, 3), np.uint8)
        found = self._outputs([blank]).shape[1]
        if found != len(self._head.classes):
            raise WeightsError(
                f"head {self._name} says {found} numbers of a face, and classes names "
                f"{len(self._head.classes)}",
                "Name each of its outputs in classes, in their order.",
            )
