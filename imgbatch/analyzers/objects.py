"""What objects are in a picture: one row per detection, with its box, class and score.

The network is one of torchvision's with its published weights, which know 80 classes of COCO, or
with weights of your own fine-tuning:

    [analyzers.objects]
    model = "fasterrcnn_resnet50_fpn_v2"
    weights = { url = "s3://bucket/flags.pth", sha256 = "..." }
    classes = ["flag", "banner"]              # of the numbers 1, 2, ...; 0 is the ground

A larger network finds more. Box mAP on COCO, as torchvision says it: 46.7 at 280 GFLOPS for
fasterrcnn_resnet50_fpn_v2, which sees pictures of 800 pixels and is for GPUs; 22.8 at 0.7 GFLOPS
for the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from imgbatch.analyzers import Column, Needs
from imgbatch.errors import SettingsError, WeightsError
from imgbatch.models.classes import tell_apart
from imgbatch.models.devices import cuda_devices, need
from imgbatch.models.registry import find, known
from imgbatch.models.weights import Own, digest_of
from imgbatch.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imgbatch.analyzers import Row
    from imgbatch.models.detectors import Found
    from imgbatch.models.registry import Model
    from imgbatch.records import Picture

GRAIN = "picture"
VERSION = 1
# Scores and shares; boxes are in pixels, and a picture has thousands of them.
TOLERANCE = 5e-3
TASK: Final = "detection"
BATCH = 8
FEWEST = 2  # the ground, and one that is found
COLUMNS = (
    Column("n_objects", pa.int32(), "Objects found, up to `max_regions`", range=">= 0"),
    Column(
        "labels",
        pa.list_(pa.string()),
        "Their classes, each once, in the order of the alphabet",
        missing="weights of your own, and `classes` does not name them",
    ),
)
_SHARE = "share of the picture's"
REGIONS = (
    Column(
        "label",
        pa.string(),
        "Class of the object",
        missing="weights of your own, and `classes` does not name them",
    ),
    Column("class_index", pa.int32(), "Its number among the network's classes", range="1 and more"),
    Column("coco_id", pa.int32(), "Its category in COCO", "", "1-90", "weights of your own"),
    Column("score", pa.float32(), "How certain the network is", range="0-1"),
    Column("x", pa.float32(), "Left side of the box at full size, upright", "pixels", ">= 0"),
    Column("y", pa.float32(), "Top side of the box at full size, upright", "pixels", ">= 0"),
    Column("width", pa.float32(), "Width of the box at full size", "pixels", ">= 0"),
    Column("height", pa.float32(), "Height of the box at full size", "pixels", ">= 0"),
    Column("x_share", pa.float32(), f"Left side of the box, {_SHARE} width", range="0-1"),
    Column("y_share", pa.float32(), f"Top side of the box, {_SHARE} height", range="0-1"),
    Column("width_share", pa.float32(), f"Width of the box, {_SHARE} width", range="0-1"),
    Column("height_share", pa.float32(), f"Height of the box, {_SHARE} height", range="0-1"),
    Column("area_share", pa.float32(), f"Area of the box, {_SHARE} area", range="0-1"),
)
# Measured with torch on a CPU: 0.9 GB with a network of 320 pixels, 1.7 GB with the largest.
SMALL, MEMORY = 320, (2**30, 2 * 2**30)
# Four workers to a GPU: it takes the cores of several to decode for it. Not measured on one.
SHARE = 1 / 4
NEEDS = Needs(min_side=SMALL, gpu_if_any=SHARE, memory=MEMORY[0])


class Settings(BaseSettings):
    """Which network, and what of what it finds is kept.

    Attributes:
        model: a name of `imgbatch models list`, for detection.
        weights: your own, `{ url = ..., sha256 = ... }`, in place of the published ones.
        classes: names of the classes of your own weights, from number 1 on.
        min_score: what is less certain is left out. Each network has a bound of its own below that.
        max_regions: so many are kept at most, the most certain ones.
    """

    model: str = "fasterrcnn_mobilenet_v3_large_320_fpn"
    weights: Own | None = None
    classes: tuple[str, ...] = ()
    min_score: float = Field(default=0.5, ge=0, le=1)
    max_regions: int = Field(default=100, ge=1)

    @field_validator("model")
    @classmethod
    def _detects(cls, name: str) -> str:
        if find(name).task != TASK:
            names = ", ".join(model.name for model in known() if model.task == TASK)
            raise SettingsError(
                f"model {name!r} is for {find(name).task}, not for {TASK}",
                f"For {TASK} there are {names}.",
            )
        return name

    @model_validator(mode="after")
    def _of_own_weights(self) -> Settings:
        if self.classes and self.weights is None:
            raise ValueError("classes names those of weights of your own, and there are none")
        return self


def weights(settings: Settings) -> dict[str, str]:
    """Return the digest of the weights."""
    return {settings.model: digest_of(_wanted(settings))}


def needs(settings: Settings) -> Needs:
    """Return what the network needs: pictures that are not to be enlarged."""
    side = find(settings.model).input
    batch = BATCH if cuda_devices() else 1
    memory = MEMORY[side > SMALL]
    return Needs(min_side=side, batch=batch, gpu_if_any=SHARE, memory=memory)


def check(settings: Settings) -> None:
    """Find out whether weights of one's own fit the network; published ones are known to.

    Raises:
        WeightsError: they do not.
    """
    if settings.weights is not None:
        need("torchvision")
        from imgbatch.models.detectors import loaded  # noqa: PLC0415 - imports torch

        _, classes = loaded(find(settings.model), settings.weights)
        _own_names(settings, classes)


def _wanted(settings: Settings) -> Model | Own:
    return settings.weights or find(settings.model)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture as it waits for the network.

    Attributes:
        pixels: as decoded.
        width, height: at full size.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int

    @property
    def nbytes(self) -> int:
        """Bytes that it holds: whoever collects a batch counts them."""
        return self.pixels.nbytes


class Analyzer:
    """Finds objects."""

    def __init__(self, settings: Settings) -> None:
        need("torchvision")
        from imgbatch.models.detectors import coco_names, detector_of  # noqa: PLC0415 - imports torch

        self.settings = settings
        model = find(settings.model)
        self._detector = detector_of(model, _wanted(settings), batch=BATCH)
        self._is_coco = settings.weights is None
        own = _own_names(settings, self._detector.classes)
        self._names = coco_names(model) if self._is_coco else own

    def prepare(self, picture: Picture) -> Prepared:
        """Return what the network is shown of a picture."""
        return Prepared(picture.pixels, picture.facts.width, picture.facts.height)

    def infer(self, batch: Sequence[Prepared]) -> list[Row]:
        """Return the rows of pictures, each with its regions."""
        found = self._detector.run([one.pixels for one in batch])
        return [self._row(one, told) for one, told in zip(batch, found, strict=True)]

    def _row(self, picture: Prepared, told: Found) -> Row:
        certain = told.scores >= self.settings.min_score
        kept = np.flatnonzero(certain)[: self.settings.max_regions]
        boxes = shares(told.boxes[kept], picture.pixels.shape)
        regions = [
            self._region(int(told.labels[i]), float(told.scores[i]))
            | _box(box, picture.width, picture.height)
            for i, box in zip(kept, boxes, strict=True)
        ]
        labels = {region["label"] for region in regions}
        named = sorted(labels) if self._names else None
        return {"n_objects": len(regions), "labels": named, "regions": regions}

    def _region(self, index: int, score: float) -> Row:
        return {
            "label": self._names[index] if self._names else None,
            "class_index": index,
            "coco_id": index if self._is_coco else None,
            "score": score,
        }


def shares(boxes: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return boxes cut at the rim of a picture of that shape, in shares of its sides.

    Args:
        boxes: (n, 4): left, top, right, bottom, in pixels.
        shape: of the picture, height first.

    Returns:
        (n, 4): left, top, width, height.
    """
    height, width = shape[:2]
    corners = np.clip(boxes.astype(np.float64) / (width, height, width, height), 0, 1)
    return np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])


def _box(box: NDArray[np.float64], full_width: int, full_height: int) -> Row:
    x, y, width, height = box.tolist()
    return {
        "x": x * full_width,
        "y": y * full_height,
        "width": width * full_width,
        "height": height * full_height,
        "x_share": x,
        "y_share": y,
        "width_share": width,
        "height_share": height,
        "area_share": width * height,
    }


def _own_names(settings: Settings, classes: int) -> tuple[str, ...]:
    """Return the names of the classes of own weights, the ground's first; () where they have none.

    Raises:
        WeightsError: the weights have another number of classes, or none beside the ground; the
            names do not tell them apart.
    """
    if classes < FEWEST:
        raise WeightsError(
            f"the weights of {settings.model} know no class beside the ground, which is class 0: "
            "nothing would be found",
            "Train it with one class more than there are kinds of objects: theirs are 1, 2, ...",
        )
    if not settings.classes:
        return ()
    tell_apart(settings.classes)
    if len(settings.classes) != classes - 1:
        raise WeightsError(
            f"the weights of {settings.model} have {classes - 1} classes beside the ground, and "
            f"{len(settings.classes)} are named",
            "Name each class in `classes`, from number 1 on.",
        )
    return ("", *settings.classes)
