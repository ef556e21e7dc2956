"""Items of any number enter; what a call makes of them leaves, in batches that fit into memory."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    T = TypeVar("T")
    R = TypeVar("R")

# A batch that was halved grows again after so many that fitted.
RECOVER_AFTER = 16
# As torch and ONNX Runtime begin them.
CUDA_WORDS = ("CUDA error", "CUDA failure", "CUDNN failure", "CUBLAS failure")
# What ONNX Runtime's error says; it has no class of its own for this.
ONNX_WORDS = ("Failed to allocate memory", "CUDA_ERROR_OUT_OF_MEMORY", "out of memory")


class Room:
    """How many items fit at once: half where memory ran out, twice again once they did for a while.

    Not for several threads at once.

    Args:
        most: items where memory allows it, at least 1.

    Attributes:
        size: items that are to be tried now.
    """

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"a batch holds at least 1 item, not {most}")
        self.most = most
        self.size = most
        self._fitted = 0

    def halve(self, count: int) -> None:
        """Take it that so many did not fit."""
        self.size, self._fitted = -(-count // 2), 0

    def fit(self, count: int) -> None:
        """Take it that so many fitted."""
        self._fitted += count >= self.size
        if self.size < self.most and self._fitted >= RECOVER_AFTER:
            self.size, self._fitted = min(self.most, self.size * 2), 0


class Batches(Room):
    """Calls with as many items as there is room for."""

    def run(self, call: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R]:
        """Return what `call` makes of the items, in order.

        Raises:
            Exception: what `call` raises; memory that one item alone does not find, too.
        """
        results: list[R] = []
        while len(results) < len(items):
            some = items[len(results) : len(results) + self.size]
            try:
                found = call(some)
            except Exception as error:
                if len(some) == 1 or not out_of_memory(error):
                    raise
                self.halve(len(some))
            else:
                assert len(found) == len(some), "a call returns as many results as it got items"
                results += found
                self.fit(len(some))
                continue
            # Here, out of the handler: the error holds the frames that hold the memory.
            let_go()
        return results


def batched(call: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T], batch: int) -> list[R]:
    """Return what `call` makes of items, in order, at most `batch` at once.

    A batch that runs out of memory is halved until it fits; see `Batches`, which remembers.
    """
    return Batches(batch).run(call, items)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch, ONNX Runtime or Python says that memory ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True  # torch's class by its name: nobody imports torch to ask
    return "onnxruntime" in type(error).__module__ and any(w in str(error) for w in ONNX_WORDS)


def let_go() -> None:
    """Give back what nobody holds any more; called where no error is being handled."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def device_lost(error: BaseException) -> bool:
    """Whether an error says that the GPU failed, as every later call in this process will.

    CUDA's errors are lasting, but for memory that ran out: who goes on gets the same one for each
    picture that is left.
    """
    if out_of_memory(error):
        return False
    kind = type(error)
    if kind.__name__ == "AcceleratorError":
        return True  # torch's own, since 2.8
    known = isinstance(error, RuntimeError) or "onnxruntime" in kind.__module__
    return known and any(words in str(error) for words in CUDA_WORDS)
