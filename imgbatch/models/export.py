"""A Network enters; its ONNX file in this machine's cache leaves, made from torch once.

Torch is imported by a child process only, which ends: a worker that runs ONNX never holds it. Run
as that child: `python -m imgbatch.models.export ORDER`, an Order as JSON; what it has to say is one
line of JSON on its standard output.

Decision, 2026-11: torch's exporter by tracing (`dynamo=False`). The newer one takes onnxscript and
onnx-ir besides, and for these networks gives nothing more: no control flow, one open dimension.
Drawback: torch calls it deprecated; the pinned torch has it, and the parity check below finds out
should a later one trace otherwise.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from dataclasses import asdict, dataclass
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imgbatch.errors import MissingExtraError, RunError, SettingsError, WeightsError
from imgbatch.models import cache
from imgbatch.models.devices import threads
from imgbatch.models.preprocessing import Preprocess
from imgbatch.models.weights import digest_of, fetch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imgbatch.models.choice import Network

# Grows when the same weights would be exported otherwise.
VERSION = 1
EXPORTERS = ("torch", "torchvision", "open_clip_torch", "onnx")
OPSET = 18
# Largest difference between ONNX Runtime and torch, by the largest value that torch gives.
PARITY = 1e-4
INPUT = "pixels"
ERRORS = {kind.__name__: kind for kind in (SettingsError, WeightsError, MissingExtraError)}
TAIL = 2000


@dataclass(frozen=True, slots=True)
class Order:
    """What the child is asked for.

    Attributes:
        weights: the verified file.
        out: where the ONNX file is written.
        threads: that it may take.
    """

    loader: str
    builder: str
    weights: str
    shown: dict[str, Any]
    out: str
    threads: int


def exported(network: Network) -> Path:
    """Return the ONNX file of a network; makes it where this machine's cache has no whole one.

    Several processes may ask at once: one makes it, the others wait.

    Raises:
        WeightsError: the weights cannot be had or do not fit; ONNX Runtime computes something else
            than torch.
        MissingExtraError: torch is not installed.
    """
    # Only its last part: a recipe's word for a network that nobody knows yet may hold slashes.
    name = f"{Path(network.builder).name}.onnx"
    path = cache.folder().parent / "onnx" / _key(network) / name
    if cache.is_sealed(path):
        return path
    weights = fetch(network.weights)
    with cache.writing(path) as partial:
        if not cache.is_sealed(path):
            shown = network.preprocess.model_dump()
            _in_child(
                Order(network.loader, network.builder, str(weights), shown, str(partial), threads())
            )
            cache.seal(partial, path)
    return path


def _key(network: Network) -> str:
    """Return the digest of all that the file's bytes come of."""
    try:
        versions = {name: metadata.version(name) for name in EXPORTERS}
    except metadata.PackageNotFoundError as error:
        raise MissingExtraError(
            f"models need the package {error.name}, which is not installed"
        ) from error
    seed = {
        "version": VERSION,
        "exporters": versions,
        "loader": network.loader,
        "builder": network.builder,
        "weights": digest_of(network.weights),
        "shown": network.preprocess.model_dump(mode="json"),
    }
    return blake2b(json.dumps(seed, sort_keys=True).encode(), digest_size=16).hexdigest()


def _in_child(order: Order) -> None:
    words = [sys.executable, "-P", "-m", "imgbatch.models.export", json.dumps(asdict(order))]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    if ended.returncode == 0:
        return
    if ended.returncode == RunError.exit_code or not ended.stdout.strip():
        raise WeightsError(
            f"{order.builder} could not be exported to ONNX (exit code {ended.returncode}): "
            f"{ended.stderr[-TAIL:]}",
            "Where memory ran out, give the machine more; else report what it printed.",
        )
    said = json.loads(ended.stdout.splitlines()[-1])
    raise ERRORS[said["error"]](said["message"], said["remedy"])


def main(order: Order) -> None:
    """Export one network, and compare what ONNX Runtime makes of it with what torch does.

    Raises:
        SettingsError, WeightsError: as for `networks.built`; or what it gives of a picture is no
            number; or the two differ.
    """
    import torch  # noqa: PLC0415 - in the child only

    from imgbatch.models.networks import built  # noqa: PLC0415 - loads torch

    torch.set_num_threads(order.threads)
    module = built(
        order.loader, order.builder, Path(order.weights), Preprocess.model_validate(order.shown)
    )
    side = order.shown["input"]
    traced = torch.from_numpy(_pictures(2, side))
    with torch.inference_mode():
        count = len(module(traced))
    names = [f"output{i}" for i in range(count)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated, and of shapes that are fixed here
        torch.onnx.export(
            module,
            (traced,),
            order.out,
            input_names=[INPUT],
            output_names=names,
            dynamic_axes={name: {0: "n"} for name in (INPUT, *names)},
            opset_version=OPSET,
            dynamo=False,
        )
    pictures = _pictures(3, side)  # another number than was traced
    with torch.inference_mode():
        right = [output.numpy() for output in module(torch.from_numpy(pictures))]
    _compare(order, right, _run(order.out, pictures))


def _run(path: str, pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    import onnxruntime  # noqa: PLC0415 - in the child only

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found: list[NDArray[np.float32]] = session.run(None, {INPUT: pictures})
    return found


def _compare(
    order: Order, right: list[NDArray[np.float32]], found: list[NDArray[np.float32]]
) -> None:
    if not all(np.isfinite(output).all() for output in right):
        raise WeightsError(
            f"{order.builder} gives NaN or infinite numbers of a picture in torch, and its weights "
            "hold none",
            "They do not fit together: a variance below 0, or numbers too large for float32. Take "
            "another checkpoint; `preprocess` says what mean and std it was trained with.",
        )
    for mine, theirs in zip(found, right, strict=True):
        scale = max(1.0, float(np.abs(theirs).max()))
        apart = float(np.abs(mine - theirs).max()) / scale
        if not apart <= PARITY:
            raise WeightsError(
                f"{order.builder} gives something else in ONNX Runtime than in torch: "
                f"{apart:.2g} apart, {PARITY:g} are allowed",
                "It is not used. Report the model; IMGBATCH_DEVICE=cuda runs it in torch.",
            )


def _pictures(count: int, side: int) -> NDArray[np.uint8]:
    """Return pictures to compare by: gradients with noise over them."""
    random = np.random.default_rng(side)
    ramps = np.linspace(0, 255, side)[None, :, None, None] * random.random((count, 1, 1, 3))
    noise = random.normal(0, 40, (count, side, side, 3))
    return (ramps + noise).clip(0, 255).astype(np.uint8)


def _child() -> int:
    try:
        main(Order(**json.loads(sys.argv[1])))
    except RunError as error:
        said = {"error": type(error).__name__, "message": str(error), "remedy": error.remedy}
        print(json.dumps(said))  # noqa: T201 - for the parent
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_child())
