"""What becomes of a run whose GPU fails, or whose ONNX Runtime cannot use the one that is there.

No GPU is needed: the errors are those that torch and ONNX Runtime raise, by their words.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from imgbatch.crew.fleet import Lost
from imgbatch.errors import DeviceError, MissingExtraError
from imgbatch.models import devices
from imgbatch.models.batches import device_lost
from imgbatch.rows import PictureRows
from imgbatch.watch import MachineLostError
from tests.models.test_sessions import repeating

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `models` is not installed")

from imgbatch.models.sessions import onnx_session  # noqa: E402 - it needs what is looked for above
from jobs.process import WorkerProcess  # noqa: E402 - after importorskip

ASSERTED = RuntimeError("CUDA error: device-side assert triggered")


@pytest.mark.parametrize(
    ("error", "lasting"),
    [
        (ASSERTED, True),
        (type("AcceleratorError", (RuntimeError,), {})("unspecified launch failure"), True),
        (type("Fail", (Exception,), {"__module__": "onnxruntime.capi"})("CUDA failure 700"), True),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA error: out of memory"), False),
        (RuntimeError("shape mismatch"), False),
        (ValueError("CUDA error: as a file says it"), False),
    ],
)
def test_errors_of_a_gpu_that_last_are_told_from_others(
    error: Exception,
    *,
    lasting: bool,
) -> None:
    assert device_lost(error) == lasting


class Broken:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def prepare(self, picture: Any) -> Any:
        return picture

    def infer(self, _: Any) -> Any:
        raise self.error


def test_a_gpu_that_fails_is_no_failure_of_the_pictures_that_it_had() -> None:
    reported: list[Exception] = []
    rows = PictureRows(
        Broken(ASSERTED),  # type: ignore[arg-type]
        batch=2,
        infer_lock=threading.Lock(),
        report=lambda _, error: reported.append(error),
    )
    rows._waiting = [((place, 0), None, {}, place) for place in range(2)]  # type: ignore[misc]
    with pytest.raises(DeviceError, match="device-side assert"):
        rows.finish([])
    assert reported == []


class Failing:
    def __init__(self, *_: object) -> None: ...

    def work(self, task: object) -> Iterator[Any]:
        raise DeviceError(f"{type(ASSERTED).__name__}: {ASSERTED}")
        yield task

    def close(self) -> None: ...


def test_a_worker_whose_gpu_fails_is_lost_and_its_run_goes_on_without_it() -> None:
    process = WorkerProcess(None, 7, Failing)  # type: ignore[arg-type]
    process.exchange(0, {1: object()}, leaving=False, seconds=0)  # type: ignore[dict-item]
    told: list[Any] = []
    while not any(isinstance(event, Lost) for event in told):
        told = [event for _, event in process.exchange(0, {}, leaving=False, seconds=0.05)]
    (lost,) = (event for event in told if isinstance(event, Lost))
    assert lost.worker == 7
    assert "device-side assert" in str(lost.error)
    assert not isinstance(lost.error, MachineLostError), "a picture may be what breaks it"
    process.close()


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that shows a CUDA device; the ONNX Runtime here is built without CUDA."""
    monkeypatch.setattr(devices, "cuda_devices", lambda: 1)


@pytest.mark.usefixtures("one_gpu")
def test_asking_for_cuda_is_refused_where_onnx_runtime_has_none(
    tmp_path: Path, told: Callable[..., Any]
) -> None:
    told(device="cuda")
    with pytest.raises(MissingExtraError, match="without CUDA") as caught:
        onnx_session(repeating(tmp_path / "i.onnx", 1))
    assert "onnxruntime-gpu" in caught.value.remedy


@pytest.mark.usefixtures("one_gpu")
def test_a_gpu_that_onnx_runtime_cannot_use_is_said_and_the_cpu_does_the_work(
    tmp_path: Path, told: Callable[..., Any]
) -> None:
    told(device="auto")
    with pytest.warns(RuntimeWarning, match="models run on the CPU"):
        session = onnx_session(repeating(tmp_path / "i.onnx", 1))
    (found,) = session.run(None, {session.get_inputs()[0].name: np.ones((2, 4), np.float32)})
    assert len(found) == 2


def test_cuda_whose_libraries_do_not_load_is_found_though_onnx_runtime_says_nothing(
    tmp_path: Path,
    told: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told(device="cuda")
    monkeypatch.setattr(devices, "cuda_devices", lambda: 1)
    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(MissingExtraError, match="libraries"),
    ):
        onnx_session(repeating(tmp_path / "i.onnx", 1))
