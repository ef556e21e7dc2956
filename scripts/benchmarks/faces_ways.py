"""Eight faces a picture, seen by the same pack in two ways; and the making of both.

Run as a process of its own:

    faces_ways make FOLDER COUNT                a pack of usual size, and COUNT JPEGs of 8 faces
    faces_ways loop FOLDER PHOTOS               FaceAnalysis of InsightFace, one by one
    faces_ways imgbatch FOLDER PHOTOS DATASET   the same by imgbatch, its calls of networks counted

The detector fires on red squares and computes as much beside as a usual one; recognition is a
ResNet50 on 112 x 112 pixels that is reduced once less, which costs about what ArcFace's does.
Weights are random: speed does not depend on them.
"""

from __future__ import annotations

import json
import math
import sys
import time
import warnings
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2

SIZE = (640, 480)
# Two rows of four faces, farther apart than the made detector reaches.
FACES = [(40 + 150 * i, 60 + 230 * j, 60, 72) for i in range(4) for j in range(2)]
REACH = 40
SIDE = 640
MODULES = ["detection", "recognition", "genderage"]


def make(folder: Path, pictures: int) -> None:
    """Write the pack as a folder and as a zip file, its digest, and the pictures."""
    from tests import facemodels

    pack, photos = folder / "pack", folder / f"photos-{pictures}"
    for each in (pack, photos):
        each.mkdir(parents=True, exist_ok=True)
    facemodels.scrfd(pack / "det.onnx", reach=REACH, ballast=6)
    facemodels.genderage(pack / "genderage.onnx")
    _recognition(pack / "w.onnx")
    with zipfile.ZipFile(folder / "pack.zip", "w") as archive:
        for file in pack.iterdir():
            archive.write(file, file.name)
    digest = sha256((folder / "pack.zip").read_bytes()).hexdigest()
    (folder / "made.json").write_text(json.dumps({"sha256": digest}))
    for i in range(pictures):
        shifted = [(x + i % 30, y + i % 7, w, h) for x, y, w, h in FACES]
        pixels = facemodels.red_squares(SIZE, shifted, grain=1 + i % 100)
        path = photos / f"{i:05}.jpg"
        cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def _recognition(path: Path) -> None:
    import torch
    from torchvision.models import resnet50

    torch.manual_seed(1)
    network = resnet50(num_classes=512).eval()
    network.conv1.stride = (1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, 112, 112),),
            path,
            input_names=["input"],
            output_names=["embedding"],
            dynamic_axes={"input": {0: "n"}, "embedding": {0: "n"}},
            dynamo=False,
        )


def loop(folder: Path, photos: Path) -> dict[str, Any]:
    """Show each picture to FaceAnalysis, as its documentation does it."""
    from insightface.app import FaceAnalysis

    warnings.simplefilter("ignore")
    app = FaceAnalysis(name=str(folder / "pack"), allowed_modules=MODULES)
    app.prepare(0, det_size=(SIDE, SIDE))
    files = sorted(photos.iterdir())
    app.get(cv2.imread(str(files[0])))
    start = time.perf_counter()
    faces = sum(len(app.get(cv2.imread(str(file)))) for file in files)
    (provider,) = {_provider(model) for model in app.models.values()}
    return {"faces": faces, "seconds": time.perf_counter() - start, "provider": provider}


def ours(folder: Path, photos: Path, dataset: Path) -> dict[str, Any]:
    """Run imgbatch inline; says how often each network was called."""
    from imgbatch import crew
    from imgbatch.analyzers.faces import BATCH
    from imgbatch.dataset import Dataset
    from imgbatch.models.devices import device
    from imgbatch.models.faces import parts
    from imgbatch.run import run
    from imgbatch.settings import read_limits
    from imgbatch.summary import Request
    from scripts.benchmarks.silent import Silent

    providers: set[str] = set()
    calls = {
        part.__name__: _counted(part, providers) for part in (parts.Recognition, parts.Attributes)
    }
    request = Request(str(photos), str(dataset), _recipe(folder), "inline")
    run(request, read_limits(), crew.inline, Silent())
    (record,) = Dataset.open(str(dataset)).runs()
    rows = Dataset.open(str(dataset)).read("faces", columns=["n_faces"])
    faces = sum(rows["n_faces"].to_pylist())
    (provider,) = providers
    return {
        "faces": faces,
        "seconds": record["work_seconds"],
        "calls": {name: len(sizes) for name, sizes in calls.items()},
        "least_calls": math.ceil(faces / BATCH[device()]),
        "provider": provider,
    }


def _provider(model: Any) -> str:
    """Return what ONNX Runtime runs a model of InsightFace on."""
    return str(model.session.get_providers()[0])


def _counted(part: Any, providers: set[str]) -> list[int]:
    sizes: list[int] = []
    original = part.run

    def run(self: Any, faces: Any) -> Any:
        sizes.append(len(faces))
        providers.add(_provider(self._model))
        return original(self, faces)

    part.run = run
    return sizes


def _recipe(folder: Path) -> str:
    digest = json.loads((folder / "made.json").read_bytes())["sha256"]
    return (
        f"[media]\nmin_side = {min(SIZE)}\n[analyzers.faces]\ndetector = 'pack'\n"
        f"weights = {{ url = '{folder / 'pack.zip'}', sha256 = '{digest}' }}\n"
        f"sides = [{SIDE}]\nrecognition = true\nperceived = ['age', 'gender']\n"
    )


if __name__ == "__main__":
    way, place, *rest = sys.argv[1:]
    if way == "make":
        make(Path(place), int(rest[0]))
    elif way == "loop":
        print(json.dumps(loop(Path(place), Path(rest[0]))))
    else:
        print(json.dumps(ours(Path(place), Path(rest[0]), Path(rest[1]))))
