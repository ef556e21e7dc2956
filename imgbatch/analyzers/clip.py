"""An embedding by CLIP: pictures and texts in one space, so that either finds the other.

The network is one of open_clip's (`imgbatch models list`), with its published weights or your own.
`imgbatch search --text` and `imgbatch classify --prompts` read this table: they look at no picture
again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from imgbatch.analyzers import Column, Needs
from imgbatch.models.choice import Choice, digests, network
from imgbatch.models.nets import SHARE, Prepared, batch_size, fitted, net_of, unit_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.analyzers import Row
    from imgbatch.records import Picture

GRAIN = "picture"
VERSION = 1
# float32 stays within 1e-5 on one machine, float16 and bfloat16 within this on different GPUs.
TOLERANCE = 5e-3
TASK: Final = "clip"
COLUMNS = (
    Column(
        "embedding",
        pa.list_(pa.float32()),
        "The picture among pictures and texts, of length 1: 512 numbers of a ViT-B-32",
        range="-1 to 1",
        missing="it is 0 throughout, so that there is nothing to point at",
    ),
)
NEEDS = Needs(min_side=224, gpu_if_any=SHARE, memory=2**30)


class Settings(Choice):
    """Which network.

    Attributes:
        model: a name of `imgbatch models list`. With weights of your own the architecture: such a
            name, or what open_clip calls it.
        weights: your own, `{ url = ..., sha256 = ... }`, in place of the published ones.
        preprocess: what your own weights were trained on, where that is not what the registry says
            of the model: `{ input = 224, resize = 256, ... }`.
        precision: float32; float16 and bfloat16 are for GPUs.
    """

    model: str = "ViT-B-32"


def weights(settings: Settings) -> dict[str, str]:
    """Return the digest of the weights."""
    return digests(settings, TASK)


def needs(settings: Settings) -> Needs:
    """Return what the network needs: pictures that are not to be enlarged."""
    chosen = network(settings, TASK)
    return Needs(
        min_side=chosen.preprocess.resize,
        batch=batch_size(),
        gpu_if_any=SHARE,
        memory=NEEDS.memory,
        network=chosen,
    )


def check(settings: Settings) -> None:
    """Find out whether the weights fit the network; makes its ONNX file, where one will be run.

    Raises:
        WeightsError: they do not.
    """
    fitted(network(settings, TASK))


class Analyzer:
    """Embeds pictures."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._net = net_of(network(settings, TASK))

    def prepare(self, picture: Picture) -> Prepared:
        """Return what the network is shown of a picture."""
        return self._net.prepare(picture.pixels)

    def infer(self, batch: Sequence[Prepared]) -> list[Row]:
        """Return the rows of pictures."""
        if not batch:
            return []
        found = np.stack([outputs[0] for outputs in self._net.outputs(batch)])
        return [{"embedding": row} for row in unit_rows(found)]
