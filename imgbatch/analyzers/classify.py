"""What a classification network says a picture shows: its likeliest classes.

The network is one of torchvision's with its published weights (`imgbatch models list`), or with
weights of your own fine-tuning, of any number of classes:

    [analyzers.classify]
    model = "resnet50"
    weights = { url = "s3://bucket/protest.pth", sha256 = "..." }
    classes = ["no protest", "protest"]        # or the path of a file with a name per line

Probabilities are the softmax over all classes of the network. A class of ImageNet has torchvision's
label and its WordNet id, which says which "crane" is meant.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from imgbatch.analyzers import Column, Needs
from imgbatch.errors import WeightsError
from imgbatch.models.choice import Choice, digests, network
from imgbatch.models.classes import tell_apart
from imgbatch.models.nets import SHARE, Prepared, batch_size, fitted, net_of
from imgbatch.models.registry import imagenet_labels, wordnet_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imgbatch.analyzers import Row
    from imgbatch.records import Picture

GRAIN = "picture"
VERSION = 1
# float32 stays within 1e-5 on one machine, float16 and bfloat16 within this on different GPUs.
TOLERANCE = 5e-3
TASK: Final = "classification"
FEWEST = 2
UNNAMED = "weights of your own, and `classes` does not name them"
COLUMNS = (
    Column("label", pa.string(), "The likeliest class", missing=UNNAMED),
    Column("class_index", pa.int32(), "Its number among the network's classes", range="0 and more"),
    Column(
        "wordnet_id",
        pa.string(),
        "Its WordNet id, for classes of ImageNet",
        range="n and 8 digits",
        missing="weights of your own",
    ),
    Column("probability", pa.float32(), "Its probability", range="0-1"),
    Column(
        "top_labels",
        pa.list_(pa.string()),
        "The `top_k` likeliest classes, the likeliest first",
        missing=UNNAMED,
    ),
    Column("top_class_indices", pa.list_(pa.int32()), "Their numbers among the network's classes"),
    Column(
        "top_wordnet_ids", pa.list_(pa.string()), "Their WordNet ids", missing="weights of your own"
    ),
    Column("top_probabilities", pa.list_(pa.float32()), "Their probabilities", range="0-1"),
)
ALL = Column(
    "probabilities",
    pa.list_(pa.float32()),
    "The probability of every class, in the order of the network; they add up to 1",
    range="0-1",
)
NEEDS = Needs(min_side=232, gpu_if_any=SHARE, memory=2**29)


class Settings(Choice):
    """Which network, and how much of what it says is kept.

    Attributes:
        model: a name of `imgbatch models list`. With weights of your own the architecture: such a
            name, or what torchvision calls it.
        weights: your own, `{ url = ..., sha256 = ... }`, in place of the published ones.
        preprocess: what your own weights were trained on, where that is not what the registry says
            of the model: `{ input = 224, resize = 256, ... }`.
        precision: float32; float16 and bfloat16 are for GPUs.
        classes: names of the classes of your own weights, in their order, or the path of a file
            with one name per line.
        top_k: how many of the likeliest classes are kept.
        probabilities: whether a column holds the probability of every class.
    """

    model: str = "resnet50"
    classes: tuple[str, ...] = ()
    top_k: int = Field(default=5, ge=1)
    probabilities: bool = False

    @field_validator("classes", mode="before")
    @classmethod
    def _read(cls, classes: Any) -> Any:
        """Take the names out of a file: they are part of the fingerprint, its path is not."""
        if not isinstance(classes, str):
            return classes
        try:
            return Path(classes).expanduser().read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot be read: {error}") from error

    @model_validator(mode="after")
    def _of_own_weights(self) -> Settings:
        if self.classes and self.weights is None:
            raise ValueError("classes names those of weights of your own, and there are none")
        return self


def weights(settings: Settings) -> dict[str, str]:
    """Return the digest of the weights."""
    return digests(settings, TASK)


def columns(settings: Settings) -> tuple[Column, ...]:
    """Return the columns that the settings ask for."""
    return (*COLUMNS, ALL) if settings.probabilities else COLUMNS


def needs(settings: Settings) -> Needs:
    """Return what the network needs: pictures that are not to be enlarged."""
    chosen = network(settings, TASK)
    return Needs(
        min_side=chosen.preprocess.resize,
        batch=batch_size(),
        gpu_if_any=SHARE,
        memory=NEEDS.memory,
        network=chosen,
    )


def check(settings: Settings) -> None:
    """Find out whether the weights fit the network; makes its ONNX file, where one will be run.

    Raises:
        WeightsError: they do not.
    """
    _names(settings, fitted(network(settings, TASK))[0])


class Analyzer:
    """Classifies pictures."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._net = net_of(network(settings, TASK))
        self._labels, self._ids = _names(settings, self._net.sizes[0])

    def prepare(self, picture: Picture) -> Prepared:
        """Return what the network is shown of a picture."""
        return self._net.prepare(picture.pixels)

    def infer(self, batch: Sequence[Prepared]) -> list[Row]:
        """Return the rows of pictures."""
        if not batch:
            return []
        logits = np.stack([outputs[0] for outputs in self._net.outputs(batch)])
        likely = softmax(logits)
        # The lower number first where two are alike, so that it is the same one each time.
        order = np.argsort(-likely, axis=1, kind="stable")[:, : self.settings.top_k]
        return [self._row(row, top) for row, top in zip(likely, order, strict=True)]

    def _row(self, likely: NDArray[np.float32], top: NDArray[np.int64]) -> Row:
        indices = top.tolist()
        labels = _named(self._labels, indices)
        ids = _named(self._ids, indices)
        probabilities = likely[top].tolist()
        row = {
            "label": labels and labels[0],
            "class_index": indices[0],
            "wordnet_id": ids and ids[0],
            "probability": probabilities[0],
            "top_labels": labels,
            "top_class_indices": indices,
            "top_wordnet_ids": ids,
            "top_probabilities": probabilities,
        }
        return row | {ALL.name: likely} if self.settings.probabilities else row


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of (n, classes) logits; each row adds up to 1."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    likely: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return likely


def _names(settings: Settings, count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return labels and WordNet ids of so many classes; () where there are none.

    Raises:
        WeightsError: the weights have another number of classes, or less than two; own names do not
            tell them apart.
    """
    if count < FEWEST:
        raise WeightsError(
            f"the weights of {settings.model} have one class: it would have probability 1 in every "
            "picture",
            "Train it with two outputs or more, one for what else a picture may show; a sigmoid's "
            "one output is not enough. `embed` takes such weights as they are.",
        )
    labels = settings.classes if settings.weights else imagenet_labels()
    tell_apart(settings.classes)
    if labels and len(labels) != count:
        raise WeightsError(
            f"the weights of {settings.model} have {count} classes, and {len(labels)} are named",
            "Name each class in `classes`, in the order of the training.",
        )
    return labels, () if settings.weights else wordnet_ids()


def _named(names: tuple[str, ...], indices: list[int]) -> list[str] | None:
    return [names[i] for i in indices] if names else None
