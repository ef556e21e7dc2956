"""A verified file of weights enters; its tensors by name leave. No pickle is ever run.

safetensors hold tensors and nothing else. A file of torch's is read by its own reader of tensors
(`weights_only`), which refuses whatever else is in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.errors import MissingExtraError, WeightsError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


def load_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a `.safetensors`, `.pth`, `.pt` or `.bin` file, on the CPU.

    What a training script wrapped around them is taken off: a key `state_dict` or `model`.

    Raises:
        WeightsError: it holds something else than tensors, or cannot be read.
        MissingExtraError: torch is not installed.
    """
    try:
        import torch  # noqa: PLC0415 - of the extra `models`
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"weights need the package {error.name}") from error
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError  # noqa: PLC0415 - of the extra `models`
        from safetensors.torch import load_file  # noqa: PLC0415 - loads torch

        try:
            return dict(load_file(path))
        except SafetensorError as error:
            raise WeightsError(f"{path.name} is no safetensors file: {error}") from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch raises whatever its reader meets: UnpicklingError, RuntimeError, EOFError, ...
        raise WeightsError(
            f"{path.name} holds something else than tensors: {_first(error)}",
            "Save the state alone: `torch.save(model.state_dict(), FILE)`, or as safetensors.",
        ) from error
    return _unwrapped(path, found)


def _unwrapped(path: Path, found: object) -> dict[str, Tensor]:
    import torch  # noqa: PLC0415 - of the extra `models`

    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise WeightsError(
            f"{path.name} holds no tensors by name",
            "Save the state alone: `torch.save(model.state_dict(), FILE)`, or as safetensors.",
        )
    return found


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
