"""Pictures enter; a network's outputs for each leave: one network in a process, one pass a picture.

A `Net` prepares a picture in the decoding thread and runs batches. Analyzers that chose the same
network hold the same Net, are given the same `Prepared` for a picture, and whoever asks first for
its outputs has them computed: labels and embedding of one network cost one pass.

Decision, 2026-11: what is shared is kept with the picture itself, not in a cache beside it. It goes
when the last analyzer lets go, and batches need not be the same for both. Drawback: a thread keeps
its last prepared picture (150 KB) until the next one.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol
from weakref import ReferenceType, WeakValueDictionary, ref

import numpy as np

from imgbatch.models.batches import Batches, Room, let_go, out_of_memory
from imgbatch.models.cache import told
from imgbatch.models.devices import cuda_devices, device, need, threads
from imgbatch.models.export import INPUT, exported
from imgbatch.models.preprocessing import square
from imgbatch.models.sessions import onnx_session
from imgbatch.models.weights import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from imgbatch.models.choice import Network
    from imgbatch.models.preprocessing import Preprocess

    Pixels = NDArray[np.uint8]
    Outputs = tuple[NDArray[np.float32], ...]

# Of a GPU, for one network: workers of few cores each feed it, as they feed a CPU.
#
# Decision, 2026-11: so there is one copy of a network in a process, and up to eight on a GPU, not
# one per device. Drawback: each holds its weights, its activations and CUDA's own half gigabyte
# there, and the eight take turns. What would change it: a network of which eight do not fit, or a
# measurement in which fewer workers, fed by more decoding processes each, keep the GPU busier; then
# one process computes for a device, and pictures go to it through shared memory.
SHARE = 1 / 8
# More pictures at once are no quicker on a CPU; on a GPU they are.
BATCH = {"cpu": 32, "cuda": 128}


class Engine(Protocol):
    """What computes: (n, side, side, 3) uint8 in, the outputs of each picture out."""

    def run(self, pixels: Sequence[Pixels]) -> list[Outputs]:
        """Return the outputs of pictures, in order."""


class Prepared:
    """A picture as a network is shown it; once it was, what the network gave.

    Attributes:
        pixels: (side, side, 3); None once the outputs are there.
        outputs: the network's, each of this picture alone.
    """

    __slots__ = ("outputs", "pixels")

    def __init__(self, pixels: Pixels) -> None:
        self.pixels: Pixels | None = pixels
        self.outputs: Outputs | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that it holds: whoever collects a batch counts them."""
        return 0 if self.pixels is None else self.pixels.nbytes


class Net:
    """A network on this machine's device. Called from several threads at once.

    Attributes:
        sizes: how many numbers each of its outputs has for a picture.
    """

    def __init__(self, engine: Engine, shown: Preprocess, *, batch: int) -> None:
        self._engine = engine
        self._shown = shown
        self._batches = Batches(batch)
        self._lock = threading.Lock()
        self._last = _Last()
        self.sizes = _sizes(engine, shown)

    def prepare(self, pixels: Pixels) -> Prepared:
        """Return what the network is shown of a picture: the same for the same picture."""
        last = self._last
        if last.of is not None and last.of() is pixels and last.prepared is not None:
            return last.prepared
        last.prepared = Prepared(square(pixels, self._shown))
        last.of = ref(pixels)
        return last.prepared

    def outputs(self, pictures: Sequence[Prepared]) -> list[Outputs]:
        """Return the network's outputs for each picture; computes those that nobody asked for yet.

        Raises:
            ArithmeticError: what it gave for one of them is no number.
            Exception: what the engine raises; where memory runs out, for one picture alone.
        """
        with self._lock:
            todo = list({id(p): p for p in pictures if p.outputs is None}.values())
            shown = [p.pixels for p in todo if p.pixels is not None]
            found = self._batches.run(self._engine.run, shown)
            for picture, outputs in zip(todo, found, strict=True):
                picture.outputs, picture.pixels = outputs, None
        return [_finite(p.outputs) for p in pictures if p.outputs is not None]


def _sizes(engine: Engine, shown: Preprocess) -> tuple[int, ...]:
    black = np.zeros((shown.input, shown.input, 3), np.uint8)
    return tuple(len(output) for output in engine.run([black])[0])


def _finite(outputs: Outputs) -> Outputs:
    if not all(np.isfinite(output).all() for output in outputs):
        raise ArithmeticError("no number: the weights are broken, or float16 is too short for them")
    return outputs


def unit_rows(rows: NDArray[np.float32]) -> list[NDArray[np.float32] | None]:
    """Return each of (n, d) rows brought to length 1; None for one that is 0 throughout."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
    return [
        (row / length).astype(np.float32) if length else None
        for row, length in zip(rows, lengths, strict=True)
    ]


class _Last(threading.local):
    """The picture that a thread prepared last."""

    of: ReferenceType[Pixels] | None = None
    prepared: Prepared | None = None


class OnnxEngine:
    """ONNX Runtime on a CPU: each thread runs pictures of a batch by itself, one at a time.

    Decision, 2026-11: not one call for all of them on all threads. Its threads wait for each other
    after every layer, spinning, and longest where a decoding thread has the core of one of them.
    ResNet50 on 4 cores with other work on them: 77 ms of CPU a picture in place of 90 to 140, 24
    to 36 pictures/s in place of 15 to 27; and 340 MB less in all, since fewer pictures' layers are
    held at once. Not two pictures at a time either: all wait for the thread that ends last, and of
    1,000 photographs ResNet50 took 1.10 times as long (three pairs). Drawback: one picture alone
    takes as long as one core takes for it.

    Where memory runs out, fewer threads do it, down to one: what a batch takes is decided by how
    many of its pictures are computed at once, and not by how many there are.
    """

    def __init__(self, path: Path) -> None:
        self._session = onnx_session(path, threads=1)
        self._lanes = ThreadPoolExecutor(threads(), "network")
        self._room = Room(threads())

    def run(self, pixels: Sequence[Pixels]) -> list[Outputs]:
        """Return the outputs of pictures, in order.

        Raises:
            Exception: what ONNX Runtime raises; memory that one picture alone does not find, too.
        """
        found: dict[int, Outputs] = {}
        while left := [place for place in range(len(pixels)) if place not in found]:
            at_once = min(self._room.size, len(left))
            error = self._try(pixels, left, found)
            if error is None:
                self._room.fit(at_once)
                continue
            if at_once == 1 or not out_of_memory(error):
                raise error
            self._room.halve(at_once)
            del error  # it holds the frames that hold the memory
            let_go()
        return [found[place] for place in range(len(pixels))]

    def _try(
        self, pixels: Sequence[Pixels], left: list[int], found: dict[int, Outputs]
    ) -> BaseException | None:
        """Compute those that are left, as many at once as there is room for; return what failed.

        All threads have ended then: none holds memory that the next try would lack.
        """
        todo = iter(left)
        count = min(len(left), self._room.size)
        lanes = [self._lanes.submit(self._lane, pixels, todo, found) for _ in range(count)]
        errors = [error for lane in lanes if (error := lane.exception()) is not None]
        # One that is not of memory comes first: trying again would not help.
        return min(errors, key=out_of_memory, default=None)

    def _lane(
        self, pixels: Sequence[Pixels], todo: Iterator[int], found: dict[int, Outputs]
    ) -> None:
        """Take picture after picture, as the other threads do, and compute it."""
        for place in todo:
            outputs = self._session.run(None, {INPUT: pixels[place][np.newaxis]})
            found[place] = tuple(output[0] for output in outputs)


_lock = threading.Lock()
_nets: WeakValueDictionary[tuple[Network, str], Net] = WeakValueDictionary()


def net_of(network: Network) -> Net:
    """Return the Net of a network: one per network and device in this process, whoever asks.

    ONNX Runtime computes on a CPU, torch on CUDA and wherever less precision than float32 is asked
    for: what a GPU does in half precision, only torch does alike on a CPU.

    Raises:
        WeightsError: the weights cannot be had, or do not fit the network.
        MissingExtraError: the packages of the extra `models` are not installed.
        SettingsError: CUDA is asked for, and there is none.
    """
    key = (network, device())
    with _lock:
        net = _nets.get(key)
        if net is None:
            net = _nets[key] = Net(_engine(network), network.preprocess, batch=BATCH[key[1]])
        return net


def batch_size() -> int:
    """Return how many pictures a Net is best given at once, on this machine."""
    return BATCH["cuda" if cuda_devices() else "cpu"]


def fitted(network: Network) -> tuple[int, ...]:
    """Return the `sizes` of a network's Net, for who drives a run; asks for no CUDA.

    Where ONNX Runtime runs it on this machine, its ONNX file is made by this. Else torch builds it
    on the CPU, whatever its workers have.

    Decision, 2026-11: torch does that in this process, not in a child that ends. Drawback: it stays
    in the driver, half a gigabyte.

    Raises:
        WeightsError: the weights cannot be had, or do not fit the network.
        SettingsError: the library has no network of that name.
        MissingExtraError: the packages of the extra `models` are not installed.
    """
    if told().device != "cuda" and _on_onnx(network):
        return net_of(network).sizes
    return _built(network)


@lru_cache(maxsize=8)  # a network of two analyzers is built once
def _built(network: Network) -> tuple[int, ...]:
    torch = need("torch")
    from imgbatch.models.networks import built  # noqa: PLC0415 - it imports torch
    from imgbatch.models.torch_engine import TorchEngine  # noqa: PLC0415 - it imports torch

    shown = network.preprocess
    module = built(network.loader, network.builder, fetch(network.weights), shown)
    return _sizes(TorchEngine(module, torch.device("cpu"), precision="float32"), shown)


def _on_onnx(network: Network) -> bool:
    """Whether ONNX Runtime is what runs a network on this machine."""
    return device() == "cpu" and network.precision == "float32"


def _engine(network: Network) -> Engine:
    if _on_onnx(network):
        need("onnxruntime")
        return OnnxEngine(exported(network))
    need("torch")
    from imgbatch.models.torch_engine import TorchEngine  # noqa: PLC0415 - it imports torch

    return TorchEngine.of(network, fetch(network.weights))
