"""What imgbatch knows of models: `registry.toml` in, frozen Models out.

Decision, 2026-11: only weights whose digest is published are in the registry, in full or, as
torchvision publishes them, its first eight digits in the file's name. Who computes a fingerprint
then needs no download, and what was pulled can be checked. Drawback: weights whose digest nobody
publishes are used as a user's own, with a digest that the user vouches for.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from imgbatch.errors import SettingsError
from imgbatch.settings import Settings, check, nearest

Task = Literal["classification", "detection", "clip", "faces"]
Loader = Literal["torchvision", "open_clip", "onnx", "insightface-pack"]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,64}$")]


class Licence(Settings):
    """Under which terms weights may be used.

    Attributes:
        name: of the licence, as its makers call it.
        limits: what it does not allow, or leaves to the user to find out; "" where nothing.
        url: where it is read.
    """

    name: str
    limits: str = ""
    url: str


class Model(Settings):
    """Weights that imgbatch can get and load.

    Attributes:
        task: what it is for.
        loader: who builds the network.
        builder: what the loader calls the network, such as `resnet50` or `ViT-B-32`.
        variant: what the loader calls these weights, such as `IMAGENET1K_V2` or `openai`.
        url: where they come from.
        file: what they are called in cache and mirror; "": as at the URL.
        sha256: digest of the file, as it is published: in full, or its first digits.
        size: of the file, in bytes, to the precision of who publishes it; 0: nobody does.
        licence: its terms.
        input: side of the square that the network sees, in pixels; of a detector the shorter
            side.
        resize: the shorter side is made this long before the centre is cropped; 0: no cropping.
        interpolation: by which it is resized; "" where the network does that itself.
        mean, std: of the channels in RGB, for values of 0 to 1.
    """

    name: str
    task: Task
    loader: Loader
    builder: str
    variant: str = ""
    url: str
    file: str = ""
    sha256: Digest
    size: int = Field(default=0, ge=0)
    licence: Licence
    input: int = Field(ge=1)
    resize: int = Field(default=0, ge=0)
    interpolation: Literal["", "bilinear", "bicubic"] = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


def known() -> list[Model]:
    """Return all models, by task, then as the registry orders them."""
    return list(_read().values())


def find(name: str) -> Model:
    """Return a model by its name.

    Raises:
        SettingsError: there is none of that name; says which are near.
    """
    found = _read().get(name)
    if found is None:
        raise SettingsError(
            f"no model {name!r}{nearest(name, list(_read()))}",
            "`imgbatch models list` shows all. Weights of your own: { url = ..., sha256 = ... }.",
        )
    return found


def of_file(sha256: str, url: str) -> Model | None:
    """Return the model that a file is the weights of, as it would be had from there.

    Args:
        sha256: of the file, in full.
        url: of the file.
    """
    for model in known():
        if sha256.startswith(model.sha256):
            name = model.url.rpartition("/")[2]
            return model.model_copy(update={"url": url, "file": name})
    return None


@cache
def _read() -> dict[str, Model]:
    text = (resources.files(__package__) / "registry.toml").read_text("utf-8")
    raw = tomllib.loads(text)
    models = {}
    for name, table in raw["models"].items():
        licence = check(Licence, raw["licences"][table["licence"]], where=table["licence"])
        told = {**table, "name": name, "licence": licence}
        models[name] = check(Model, told, where=f"model {name}")
    return models


@cache
def wordnet_ids() -> tuple[str, ...]:
    """Return the WordNet ids of ImageNet's 1,000 classes, in the order of the classes."""
    text = (resources.files(__package__) / "imagenet_wnids.txt").read_text("ascii")
    return tuple(text.split())


@cache
def imagenet_labels() -> tuple[str, ...]:
    """Return what torchvision calls ImageNet's 1,000 classes, in their order."""
    text = (resources.files(__package__) / "imagenet_labels.txt").read_text("ascii")
    return tuple(text.splitlines())
