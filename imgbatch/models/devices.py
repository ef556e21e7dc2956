"""Which device of this machine models run on, and with how many threads, as the run's limits say.

Enters: the limits that hold here (`cache.told`). Leaves: `device()`, `threads()`, and torch's own
word for the first. `on_cpu` is for who only looks whether a model could run.

Decision, 2026-11: the CUDA driver itself is asked how many devices there are, not torch. A worker
that runs ONNX on a CPU never imports torch: 2 seconds and half a gigabyte. Drawback: ten lines of
ctypes.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from imgbatch.errors import MissingExtraError, SettingsError
from imgbatch.models.cache import told

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

Device = Literal["cpu", "cuda"]

_looking: ContextVar[bool] = ContextVar("looking", default=False)


def threads() -> int:
    """Return how many threads a session on a CPU computes with."""
    return told().threads


def device() -> Device:
    """Return what models run on: CUDA where there is some and the limits allow it.

    Raises:
        SettingsError: IMGBATCH_DEVICE asks for CUDA, and there is none.
    """
    if _looking.get():
        return "cpu"
    wanted = told().device
    if wanted == "cuda" and not cuda_devices():
        raise SettingsError(
            "IMGBATCH_DEVICE is cuda, and this machine shows no CUDA device",
            "Install the driver, let CUDA_VISIBLE_DEVICES name a device, or leave it out.",
        )
    return "cuda" if wanted != "cpu" and cuda_devices() else "cpu"


@contextlib.contextmanager
def on_cpu() -> Iterator[None]:
    """Have all models that this thread loads meanwhile on the CPU, whatever the limits say.

    For who drives a run and looks whether weights fit: CUDA is for its workers, which may be on
    other machines than it.
    """
    before = _looking.set(True)
    try:
        yield
    finally:
        _looking.reset(before)


@lru_cache(maxsize=1)
def cuda_devices() -> int:
    """Return how many CUDA devices this process sees, by the driver; 0 without one."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    # Both return 0 for success; a driver without a device does not come up.
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def torch_device() -> torch.device:
    """Return torch's device for `device()`.

    Raises:
        MissingExtraError: torch is not installed.
    """
    return need("torch").device(device())  # type: ignore[no-any-return] # a module by its name


def need(package: str) -> Any:
    """Import a package of the extra `models`.

    Raises:
        MissingExtraError: it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"models need the package {error.name}, which is not installed"
        ) from error
