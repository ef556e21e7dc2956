"""A Network and its verified file of weights enter; a torch module leaves, ready to be asked.

Only processes that run torch import this module: the child that exports, a worker on CUDA, a search
by text.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from imgbatch.errors import SettingsError, WeightsError
from imgbatch.models.state import load_state
from imgbatch.settings import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from imgbatch.models.preprocessing import Preprocess

# Their published weights turn the channels around before the network sees them, which no file of
# weights says; and their training heads are left out of it.
REFUSED = ("googlenet", "inception_v3")
SHOWN = 3
WRAPPED = "module."  # what training on several GPUs puts before each name


class Served(nn.Module):
    """A network that takes pixels as they are decoded: (n, height, width, 3) uint8."""

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module, shown: Preprocess) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("mean", torch.tensor(shown.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(shown.std).view(3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the network's outputs, each (n, ...)."""
        values = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255
        outputs: tuple[Tensor, ...] = self.body((values - self.mean) / self.std)
        return outputs


class Classifier(nn.Module):
    """A classification network of torchvision: its logits, and what its last layer is shown."""

    def __init__(self, network: nn.Module, head: str) -> None:
        super().__init__()
        self.network = network
        self._shown: Tensor | None = None
        network.get_submodule(head).register_forward_pre_hook(self._see)

    def _see(self, _: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        self._shown = arguments[0]

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (n, classes) and features (n, d)."""
        logits = self.network(values)
        features, self._shown = self._shown, None
        assert features is not None, "the last layer is always asked"
        # SqueezeNet's last layer is a convolution: its features are a map.
        return logits, features if features.dim() == 2 else features.mean((2, 3))  # noqa: PLR2004 - rows of numbers


class ImageTower(nn.Module):
    """The image side of a CLIP network: one embedding per picture, of any length."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, values: Tensor) -> tuple[Tensor]:
        """Return embeddings (n, d)."""
        return (self.network.encode_image(values),)


def built(loader: str, builder: str, path: Path, shown: Preprocess) -> Served:
    """Return a network with its weights, as it is asked: `Served`, on the CPU, in eval mode.

    Raises:
        SettingsError: the library has no network of that name.
        WeightsError: the weights are not those of this network; names what differs.
    """
    body: nn.Module
    if loader == "torchvision":
        body = Classifier(*classifier(builder, path))
    else:
        body = ImageTower(clip(builder, path))
    return Served(body, shown).eval()


def classifier(builder: str, path: Path) -> tuple[nn.Module, str]:
    """Return a torchvision classification network with its weights, and its last layer's name.

    It has as many classes as the weights have.

    Raises:
        SettingsError, WeightsError: as for `built`.
    """
    from torchvision import models  # noqa: PLC0415 - a second; CLIP does without

    names = models.list_models(module=models)
    if builder not in names or builder in REFUSED:
        raise SettingsError(
            f"torchvision has no network {builder!r} that can be loaded from a state alone"
            f"{nearest(builder, [name for name in names if name not in REFUSED])}"
        )
    state = tensors(path)
    with torch.device("meta"):
        head = last_layer(models.get_model(builder))
    if f"{head}.weight" not in state:
        raise WeightsError(
            f"{path.name} is not of {builder}: it lacks {head}.weight{_has(state)}",
            f"Save all of it: `torch.save(model.state_dict(), FILE)`, of torchvision's {builder}.",
        )
    if not state[f"{head}.weight"].numel():
        raise WeightsError(
            f"{path.name} has no class: {head}.weight is empty",
            "Take a checkpoint of a network that was trained.",
        )
    network = models.get_model(builder, weights=None, num_classes=len(state[f"{head}.weight"]))
    fill(network, state, said=f"{path.name} is not of {builder}")
    return network.eval(), head


def last_layer(network: nn.Module) -> str:
    """Return the name of the layer that gives the logits: the last linear one, or convolution."""
    modules = list(network.named_modules())
    linear = [name for name, module in modules if isinstance(module, nn.Linear)]
    maps = [name for name, module in modules if isinstance(module, nn.Conv2d)]
    last: str = (linear or maps)[-1]
    return last


def clip(builder: str, path: Path) -> Any:
    """Return a network of open_clip with its weights, images and texts, in eval mode.

    Raises:
        SettingsError: open_clip has none of that name, or it needs a hub.
        WeightsError: as for `built`.
    """
    import open_clip  # noqa: PLC0415 - seconds; torchvision's networks do without

    names = open_clip.list_models()
    # Not asked for its settings before: of a name such as hf-hub:ORG/NAME it asks a hub for them.
    if builder not in names:
        raise SettingsError(f"open_clip has no network {builder!r}{nearest(builder, names)}")
    config = open_clip.get_model_config(builder)
    if "hf_model_name" in config["text_cfg"] or "hf_tokenizer_name" in config["text_cfg"]:
        raise SettingsError(
            f"{builder} takes its texts apart with files of a hub, which no run may need",
            "Choose one whose words come with open_clip, such as ViT-B-32.",
        )
    with _without_its_warning():
        network = open_clip.create_model(builder, pretrained=None, load_weights=False)
    fill(network, tensors(path), said=f"{path.name} is not of {builder}")
    return network.eval()


@contextlib.contextmanager
def _without_its_warning() -> Iterator[None]:
    """Leave out open_clip's warning that a network has no weights: they come next."""
    root = logging.getLogger()

    def other(record: logging.LogRecord) -> bool:
        return "No pretrained weights loaded" not in record.getMessage()

    root.addFilter(other)
    try:
        yield
    finally:
        root.removeFilter(other)


def fill(network: nn.Module, state: Mapping[str, Tensor], *, said: str) -> None:
    """Put weights into a network.

    Raises:
        WeightsError: names or shapes differ; `said`, and which.
    """
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    other = [
        f"{name} is {found[name]}, not {wanted[name]}"
        for name in wanted
        if name in found and found[name] != wanted[name]
    ]
    lacking = [name for name in wanted if name not in found]
    strange = [name for name in found if name not in wanted]
    differs = [
        *([f"it lacks {_some(lacking)}"] if lacking else []),
        *([f"it has {_some(strange)}"] if strange else []),
        *([_some(other)] if other else []),
    ]
    if differs:
        raise WeightsError(
            f"{said}: {'; '.join(differs)}", "Name the architecture that the weights were made for."
        )
    network.load_state_dict(dict(state))


def tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file in float32, under the names that they have without any wrapping.

    Raises:
        WeightsError: as for `load_state`; or one of them holds what is no number.
        MissingExtraError: torch is not installed.
    """
    state = {
        name.removeprefix(WRAPPED): value.float() if value.is_floating_point() else value
        for name, value in load_state(path).items()
    }
    broken = [
        f"{name} ({count:,} of {value.numel():,})"
        for name, value in state.items()
        if value.is_floating_point() and (count := int((~value.isfinite()).sum()))
    ]
    if broken:
        raise WeightsError(
            f"{path.name} holds NaN or infinite numbers: {_some(broken)}",
            "The weights themselves are broken: the training diverged, or they were saved in a "
            "type that is too short for them. Take a checkpoint from before that.",
        )
    return state


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _has(state: Mapping[str, Tensor]) -> str:
    return f"; it has {_some(list(state))}"
