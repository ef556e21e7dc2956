"""Pictures enter; a network's outputs leave, computed by torch: on CUDA, or on a CPU alike.

On CUDA pixels go through two pinned buffers, copied by a stream of their own: while the device
computes one part of a batch, the next is collected and carried over.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from imgbatch.models import devices
from imgbatch.models.cache import told
from imgbatch.models.networks import built

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from imgbatch.models.choice import Network
    from imgbatch.models.nets import Outputs, Pixels
    from imgbatch.models.networks import Served

# Pictures that are carried to a GPU in one go.
PART = 64
BUFFERS = 2


class TorchEngine:
    """A network in torch.

    Args:
        module: the network.
        device: what it computes on.
        precision: float32, or what its products are rounded to: float16, bfloat16.
        compiled: to have torch compile it first.
    """

    def __init__(
        self, module: Served, device: torch.device, *, precision: str, compiled: bool = False
    ) -> None:
        self.device = device
        # For the whole process: TensorFloat-32 has the ten bits of float16, not what float32 says.
        torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined] # set by torch when it runs
        self._half = None if precision == "float32" else getattr(torch, precision)
        placed = module.to(device).to(memory_format=torch.channels_last)
        self._module = torch.compile(placed, dynamic=True) if compiled else placed
        if device.type == "cuda":
            self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # torch's own

    @classmethod
    def of(cls, network: Network, path: Path) -> TorchEngine:
        """Return a network with the weights of that file, on the device that the limits say."""
        device = devices.torch_device()
        if device.type == "cpu":
            torch.set_num_threads(devices.threads())
        shown = network.preprocess
        module = built(network.loader, network.builder, path, shown)
        return cls(module, device, precision=network.precision, compiled=told().torch_compile)

    def run(self, pixels: Sequence[Pixels]) -> list[Outputs]:
        """Return the outputs of pictures, in order."""
        with torch.inference_mode(), self._rounding():
            if self.device.type == "cuda":
                parts = self._in_parts(pixels)
            else:
                parts = [self._module(torch.from_numpy(np.stack(pixels)))]
            outputs = [
                torch.cat(output).float().cpu().numpy() for output in zip(*parts, strict=True)
            ]
        return list(zip(*outputs, strict=True))

    def _rounding(self) -> contextlib.AbstractContextManager[object]:
        if self._half is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self._half)

    def _in_parts(self, pixels: Sequence[Pixels]) -> list[tuple[torch.Tensor, ...]]:
        """Compute on CUDA, part by part; the next part is on its way meanwhile."""
        side = pixels[0].shape
        buffers = [
            torch.empty((PART, *side), dtype=torch.uint8, pin_memory=True) for _ in range(BUFFERS)
        ]
        event: Any = torch.cuda.Event
        carried = [event() for _ in range(BUFFERS)]
        outputs = []
        for number, start in enumerate(range(0, len(pixels), PART)):
            part = pixels[start : start + PART]
            place = number % BUFFERS
            carried[place].synchronize()  # what was in this buffer has left it
            np.stack(part, out=buffers[place].numpy()[: len(part)])
            with torch.cuda.stream(self._copies):
                there = buffers[place][: len(part)].to(self.device, non_blocking=True)
                carried[place].record()
            now = torch.cuda.current_stream(self.device)
            now.wait_event(carried[place])
            there.record_stream(now)
            outputs.append(self._module(there))
        return outputs
