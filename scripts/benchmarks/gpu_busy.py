"""A GPU's UUID enters; the share of time in which a kernel ran on it leaves.

NVML, which comes with the driver, is asked ten times a second what share of its last sampling
period (a sixth of a second to one, by the device) some kernel ran in: the "GPU-Util" of nvidia-smi.
What lies before the first kernel and after the last is start and end of a process, and left out.
"""

from __future__ import annotations

import ctypes
import statistics
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

LIBRARY = "libnvidia-ml.so.1"
PERIOD = 0.1


class _Utilization(ctypes.Structure):
    """NVML's `nvmlUtilization_t`: percents."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class Busy:
    """Looks at a GPU while it is entered.

    Args:
        uuid: as NVML names the device, `GPU-...`; "" for none.
    """

    def __init__(self, uuid: str) -> None:
        self._uuid = uuid
        self._seen: list[int] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, name="gpu-busy", daemon=True)

    def __enter__(self) -> Self:
        if self._uuid:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        if self._uuid:
            self._thread.join()

    def share(self) -> list[float]:
        """Return the mean share, in percent; nothing where the driver told none, or no kernel."""
        return share_of(self._seen)

    def _look(self) -> None:
        try:
            nvml: Any = ctypes.CDLL(LIBRARY)
        except OSError:
            return
        device, found = ctypes.c_void_p(), _Utilization()
        # Every call returns 0 for success; a GPU that is cut into instances tells no share.
        if nvml.nvmlInit_v2():
            return
        try:
            if nvml.nvmlDeviceGetHandleByUUID(self._uuid.encode(), ctypes.byref(device)):
                return
            while not self._end.wait(PERIOD):
                if nvml.nvmlDeviceGetUtilizationRates(device, ctypes.byref(found)):
                    return
                self._seen.append(int(found.gpu))
        finally:
            nvml.nvmlShutdown()


def share_of(seen: list[int]) -> list[float]:
    """Return the mean from the first to the last that is not 0, if any is."""
    some = [place for place, value in enumerate(seen) if value]
    return [statistics.fmean(seen[some[0] : some[-1] + 1])] if some else []
