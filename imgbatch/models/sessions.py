"""A model file enters; a session leaves that runs it on this machine's device.

The names that other modules take: `onnx_session`, `onnx_device`, `batched`, `torch_device`.
"""

from __future__ import annotations

import threading
import warnings
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from imgbatch.errors import MissingExtraError, WeightsError
from imgbatch.models.batches import Batches, batched, out_of_memory
from imgbatch.models.cache import told
from imgbatch.models.devices import Device, device, need, torch_device
from imgbatch.models.devices import threads as adopted_threads

if TYPE_CHECKING:
    from pathlib import Path

    import onnxruntime

__all__ = [
    "Batches",
    "batched",
    "device",
    "need",
    "onnx_device",
    "onnx_session",
    "out_of_memory",
    "torch_device",
]

ERRORS_ONLY = 3
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

_lock = threading.Lock()
# One copy per file and device, for as long as anybody holds it.
_sessions: WeakValueDictionary[tuple[Any, ...], onnxruntime.InferenceSession] = (
    WeakValueDictionary()
)


def onnx_session(path: Path, *, threads: int | None = None) -> onnxruntime.InferenceSession:
    """Return the session of an ONNX file: one per file and device in this process, whoever asks.

    Args:
        path: the file; one that was written anew is another one.
        threads: that one call computes with on a CPU; by default as many as the run's limits say.
            The first who asks for a file decides.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        MissingExtraError: IMGBATCH_DEVICE asks for CUDA, and this ONNX Runtime cannot use it.
        WeightsError: the file is no ONNX model, or one that ONNX Runtime cannot run.
    """
    runtime = need("onnxruntime")
    providers = _providers(runtime)
    seen = path.stat()
    key = (str(path.resolve()), seen.st_size, seen.st_mtime_ns, providers)
    with _lock:
        session = _sessions.get(key)
        if session is None:
            session = _open(runtime, path, providers, threads or adopted_threads())
            _sessions[key] = session
        return session


def onnx_device() -> Device:
    """Return what ONNX Runtime will run models on, as it is built; whether it loads is not tried.

    Raises:
        SettingsError: IMGBATCH_DEVICE asks for CUDA, and there is none.
        MissingExtraError: onnxruntime is not installed, or IMGBATCH_DEVICE asks for CUDA, and this
            ONNX Runtime is built without.
    """
    return "cuda" if _providers(need("onnxruntime"))[0] == CUDA else "cpu"


def _providers(runtime: Any) -> tuple[str, ...]:
    """Return what is to run a model: CUDA where the machine has it, else the CPU."""
    if device() != "cuda":
        return (CPU,)
    if CUDA in runtime.get_available_providers():
        return CUDA, CPU
    _without_cuda("this ONNX Runtime is built without CUDA")
    return (CPU,)


def _without_cuda(why: str) -> None:
    """Say that a model runs on the CPU though there is a GPU; refuse where CUDA is asked for."""
    remedy = "Install onnxruntime-gpu in the place of onnxruntime, and the CUDA that it asks for"
    if told().device == "cuda":
        raise MissingExtraError(
            f"IMGBATCH_DEVICE is cuda, and {why}", f"{remedy}; or leave IMGBATCH_DEVICE out."
        )
    warnings.warn(f"models run on the CPU: {why}. {remedy}.", RuntimeWarning, stacklevel=2)


def _open(
    runtime: Any, path: Path, providers: tuple[str, ...], threads: int
) -> onnxruntime.InferenceSession:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    try:
        session = runtime.InferenceSession(
            str(path), sess_options=options, providers=list(providers)
        )
    except Exception as error:
        raise WeightsError(f"{path} cannot be run by ONNX Runtime: {error}") from error
    # It takes the CPU by itself where the libraries of CUDA do not load.
    if providers[0] == CUDA != session.get_providers()[0]:
        _without_cuda("ONNX Runtime does not load CUDA's libraries")
    return session
