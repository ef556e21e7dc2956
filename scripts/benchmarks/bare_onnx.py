"""A ResNet50 in ONNX Runtime on tensors that lie ready, and its making. Processes of their own.

`bare_onnx make FOLDER` writes random weights, their digest and their plain ONNX file, as torch's
documentation exports it; `bare_onnx run FOLDER IMAGES THREADS BATCH` prints images and seconds.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np

SIDE = 224
WARM = 2


def make(folder: Path) -> None:
    """Write the weights and the ONNX file."""
    import torch
    from torchvision.models import resnet50

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    network = resnet50().eval()
    weights = folder / "resnet50.pth"
    torch.save(network.state_dict(), weights)
    network.fc = torch.nn.Identity()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, SIDE, SIDE),),
            folder / "bare.onnx",
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
            dynamo=False,
        )
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    (folder / "made.json").write_text(json.dumps({"sha256": sha256}))


def run(folder: Path, images: int, threads: int, batch: int) -> None:
    """Run as many full batches as the images fill; prints images and seconds."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        folder / "bare.onnx", options, providers=["CPUExecutionProvider"]
    )
    ready = np.random.default_rng(0).normal(size=(batch, 3, SIDE, SIDE)).astype(np.float32)
    for _ in range(WARM):
        session.run(None, {"x": ready})
    rounds = max(1, images // batch)
    start = time.perf_counter()
    for _ in range(rounds):
        session.run(None, {"x": ready})
    print(json.dumps({"images": rounds * batch, "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    else:
        run(Path(sys.argv[2]), *map(int, sys.argv[3:]))
