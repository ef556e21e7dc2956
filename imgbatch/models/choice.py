"""A recipe's choice of a model enters; the network to run leaves, and all that its rows come of.

Analyzers that choose alike get equal Networks, and by them one copy and one pass; see `nets`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from imgbatch.errors import SettingsError
from imgbatch.models.preprocessing import Preprocess
from imgbatch.models.registry import Model, find, known
from imgbatch.models.weights import Own, digest_of
from imgbatch.settings import Settings, nearest

if TYPE_CHECKING:
    from imgbatch.models.registry import Task

Precision = Literal["float32", "float16", "bfloat16"]
LOADERS = {"classification": "torchvision", "clip": "open_clip"}


class Choice(Settings):
    """Which model an analyzer runs, and how; analyzers add their own keys.

    Attributes:
        model: a name of `imgbatch models list`. With weights of your own the architecture: such a
            name, or what the library calls it.
        weights: your own, `{ url = ..., sha256 = ... }`, in place of the published ones.
        preprocess: what your own weights were trained on, where that is not what the registry says
            of the model: `{ input = 224, resize = 256, ... }`.
        precision: float16 and bfloat16 are twice to four times as fast on a GPU, and slow without
            one; probabilities differ by up to 0.005.
    """

    model: str
    weights: Own | None = None
    preprocess: Preprocess | None = None
    precision: Precision = "float32"


@dataclass(frozen=True, slots=True)
class Network:
    """A network with its weights, and what it is shown.

    Attributes:
        name: of the model, for messages.
        loader: the library that builds it.
        builder: what that library calls it.
        weights: its weights, of the registry or the user's own.
    """

    name: str
    loader: str
    builder: str
    weights: Model | Own
    preprocess: Preprocess
    precision: Precision


def network(choice: Choice, task: Task) -> Network:
    """Return the network of a choice; reads no file.

    Raises:
        SettingsError: there is no such model, or it is for another task; own weights of a model
            that the registry lacks say not what they are shown.
    """
    model = _model(choice, task)
    shown = choice.preprocess or (Preprocess.of(model) if model else None)
    if shown is None:
        raise SettingsError(
            f"model {choice.model!r} is not in the registry, so nothing says what it is shown"
            f"{nearest(choice.model, _names(task))}",
            "Say it: preprocess = { input = 224, resize = 256 }, and mean, std and interpolation "
            "where they are not ImageNet's and bilinear.",
        )
    builder = model.builder if model else choice.model
    weights = choice.weights or model
    assert weights is not None, "without weights of one's own the model is in the registry"
    return Network(choice.model, LOADERS[task], builder, weights, shown, choice.precision)


def digests(choice: Choice, task: Task) -> dict[str, str]:
    """Return the digest of the weights of a choice, as an analyzer's `weights` does.

    Raises:
        SettingsError: as for `network`.
        WeightsError: the user's own have no digest.
    """
    return {choice.model: digest_of(network(choice, task).weights)}


def _model(choice: Choice, task: Task) -> Model | None:
    """Return what the registry has of a model; None where own weights do without."""
    if choice.weights is not None and choice.model not in {model.name for model in known()}:
        return None
    model = find(choice.model)
    if model.task != task:
        raise SettingsError(
            f"model {choice.model!r} is for {model.task}, not for {task}",
            f"For {task} there are {', '.join(_names(task))}.",
        )
    if choice.preprocess is not None and choice.weights is None:
        raise SettingsError(
            f"model {choice.model!r} has a preprocessing of its own, published with its weights",
            "Leave preprocess out; it is for weights of your own.",
        )
    return model


def _names(task: Task) -> list[str]:
    return [model.name for model in known() if model.task == task]
