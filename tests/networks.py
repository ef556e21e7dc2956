"""Networks with weights that tests make, and what chooses them in a recipe."""

from __future__ import annotations

import hashlib
import itertools
import tarfile
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from imgbatch.analyzers import classify
from imgbatch.models.weights import Own

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from imgbatch.settings import Settings

# The archive begins with the licence, a table and folders, then the 10,000 test digits.
MNIST_TESTS = 10_013
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def classifier(folder: Path) -> dict[str, Any]:
    """Write a ResNet18 of 10 classes with made weights; return the keys that choose it."""
    import torch
    from torchvision.models import resnet18

    torch.manual_seed(5)
    return {
        "model": "resnet18",
        "weights": saved(resnet18(num_classes=10).state_dict(), folder / "resnet18.pth"),
        "preprocess": {"input": 64, "resize": 70},
    }


def classes(folder: Path) -> Settings:
    names = tuple(f"class {i}" for i in range(10))
    return classify.Settings(**classifier(folder), classes=names, probabilities=True)


def clip_network(folder: Path) -> dict[str, Any]:
    """Write the smallest CLIP of open_clip with made weights; return the keys that choose it."""
    import open_clip
    import torch

    torch.manual_seed(5)
    network = open_clip.create_model("ViT-S-32-alt", load_weights=False).half()
    shown = {"interpolation": "bicubic", "mean": CLIP_MEAN, "std": CLIP_STD}
    return {
        "model": "ViT-S-32-alt",
        "weights": saved(network.state_dict(), folder / "clip.safetensors"),
        "preprocess": {"input": 224, "resize": 224, **shown},
    }


def digits(shared: Path, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return so many of MNIST's test digits, (28, 28) each, and their labels; mixed, by a seed."""
    with tarfile.open(shared / "corpora" / "mnist-png.tar.gz") as tar:
        files = [m for m in itertools.islice(tar, MNIST_TESTS) if m.name.endswith(".png")]
        chosen = np.random.default_rng(11).permutation(len(files))[:count]
        read = [cv2.imdecode(_bytes(tar, files[i]), cv2.IMREAD_GRAYSCALE) for i in chosen]
    labels = [int(files[i].name.split("/")[1]) for i in chosen]
    return np.stack(read).astype(np.uint8), np.array(labels)


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> NDArray[np.uint8]:
    opened = tar.extractfile(member)
    assert opened is not None
    return np.frombuffer(opened.read(), np.uint8)


def trained(digits: NDArray[np.uint8], labels: NDArray[np.int64]) -> Any:
    """Return a ResNet18 that learned digits, shown at 32 x 32, in one round."""
    import torch
    from torchvision.models import resnet18

    torch.manual_seed(3)
    network = resnet18(num_classes=10)
    values = torch.from_numpy(digits)[:, None].expand(-1, 3, -1, -1) / 127.5 - 1
    shown = torch.nn.functional.interpolate(values, 32, mode="bilinear")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for start in range(0, len(shown), 50):
        optimizer.zero_grad()
        found = network(shown[start : start + 50])
        right = torch.from_numpy(labels[start : start + 50])
        torch.nn.functional.cross_entropy(found, right).backward()
        optimizer.step()
    return network.eval()


def saved(state: Mapping[str, Tensor], path: Path) -> Own:
    """Save weights; return what names them in a recipe."""
    import torch
    from safetensors.torch import save_file

    if path.suffix == ".safetensors":
        save_file(dict(state), path)
    else:
        torch.save(dict(state), path)
    return Own(url=str(path), sha256=digest(path))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load(path: Path) -> dict[str, Tensor]:
    """Load weights that `saved` wrote as safetensors."""
    from safetensors.torch import load_file

    return dict(load_file(path))
