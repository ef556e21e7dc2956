"""What the section `gpu` has done in processes of its own, in torch.

    gpu_ways device                      whether torch shows CUDA, its name and UUID
    gpu_ways make FOLDER NETWORK ...     random weights and their digests
    gpu_ways forward WEIGHTS NETWORK PRECISION DEVICE BATCH IMAGES    the pure pass: images, seconds
    gpu_ways agree DEVICE DIGITS         how often float16 says what float32 says, of digits

DEVICE is cuda or cpu.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

SIDE = 224
WARM = 3
# Of scikit-learn's 1,797 digits so many are learned, in so many rounds; the others are asked.
LEARNED, ROUNDS = 1000, 4
LEAST_RIGHT = 0.9


def device() -> dict[str, Any]:
    """Say whether torch shows CUDA."""
    if not torch.cuda.is_available():
        return {"cuda": False}
    told = torch.cuda.get_device_properties(0)
    uuid = str(told.uuid)
    return {
        "cuda": True,
        "name": told.name,
        "uuid": uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}",
    }


def make(folder: Path, names: list[str]) -> dict[str, Any]:
    """Write random weights of torchvision's networks; beside each, where it lies and its digest."""
    from torchvision.models import get_model

    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        torch.manual_seed(1)
        path = folder / f"{name}.pth"
        torch.save(get_model(name, weights=None).state_dict(), path)
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        told = {"path": str(path.absolute()), "sha256": digest}
        (folder / f"{name}.json").write_text(json.dumps(told))
    return {"networks": names}


def forward(
    weights: Path, name: str, precision: str, where: str, batch: int, images: int
) -> dict[str, Any]:
    """Run as many full batches as the images fill; what lies ready is the same each time."""
    from torchvision.models import get_model

    kind = getattr(torch, precision)
    # float32 as imgbatch has it, and not TensorFloat-32.
    torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined] # set by torch when it runs
    network = get_model(name, weights=None).eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    network = network.to(where, kind).to(memory_format=torch.channels_last)
    torch.manual_seed(0)
    ready = torch.randn(batch, 3, SIDE, SIDE).to(where, kind)
    ready = ready.to(memory_format=torch.channels_last)
    rounds = max(1, images // batch)
    with torch.inference_mode():
        for _ in range(WARM):
            network(ready)
        _finished(where)
        start = time.perf_counter()
        for _ in range(rounds):
            network(ready)
        _finished(where)
    return {"images": rounds * batch, "seconds": time.perf_counter() - start}


def _finished(where: str) -> None:
    if where == "cuda":
        torch.cuda.synchronize()


def agree(where: str, most: int) -> dict[str, Any]:
    """Ask imgbatch's engine of so many digits, in both precisions.

    Raises:
        SystemExit: the network did not learn to tell them apart.
    """
    from sklearn.datasets import load_digits

    from imgbatch.models.preprocessing import Preprocess
    from imgbatch.models.torch_engine import TorchEngine
    from tests.networks import trained

    pixels, classes = load_digits(return_X_y=True)
    small = (pixels.reshape(-1, 8, 8) * 15).astype(np.uint8)
    digits = small.repeat(4, axis=1).repeat(4, axis=2)
    shown = np.tile(digits[:LEARNED], (ROUNDS, 1, 1)), np.tile(classes[:LEARNED], ROUNDS)
    state = trained(*shown).state_dict()
    digits, classes = digits[LEARNED:][:most], classes[LEARNED:][:most]
    asked = list(np.stack([digits] * 3, axis=-1))
    how = Preprocess(input=32, resize=32, mean=(0.5,) * 3, std=(0.5,) * 3)
    top = {}
    for precision in ("float32", "float16"):
        # A network each: an engine keeps the one that it is given.
        engine = TorchEngine(_served(state, how), torch.device(where), precision=precision)
        top[precision] = np.array([outputs[0].argmax() for outputs in engine.run(asked)])
    right = float(np.mean(top["float32"] == classes))
    if right < LEAST_RIGHT:
        raise SystemExit(f"bench: the network names {right:.0%} of the digits")
    same = float(np.mean(top["float16"] == top["float32"]))
    return {"pictures": len(asked), "right": right, "agreement": same}


def _served(state: dict[str, Any], how: Any) -> Any:
    from torchvision.models import resnet18

    from imgbatch.models.networks import Classifier, Served

    network = resnet18(num_classes=10)
    network.load_state_dict(state)
    return Served(Classifier(network.eval(), "fc"), how).eval()


def main(way: str, *words: str) -> dict[str, Any]:
    """Do one of the ways."""
    if way == "device":
        return device()
    if way == "make":
        return make(Path(words[0]), list(words[1:]))
    if way == "forward":
        weights, name, precision, where, batch, images = words
        return forward(Path(weights), name, precision, where, int(batch), int(images))
    return agree(words[0], int(words[1]))


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
