"""A detection network and its verified file of weights enter; what it finds in pictures leaves.

Only processes that run torch import this module. The network is torchvision's own in eager mode: it
scales each picture itself, and its boxes come back in the pixels of the picture that it was given.

Decision, 2026-11: no ONNX. Exported, these networks choose their boxes with other operations than
torch does, and take one size of batch. Drawback: on a CPU it is about half as fast as it could be.

Decision, 2026-11: on a CPU one picture at a time. In a batch the last bits of its numbers differ,
and a box at the bound would come or go with its neighbours. Drawback: on a GPU, where batches pay,
that happens; pictures of other sizes than theirs are never in it.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import torch
from torchvision import models

from imgbatch.errors import WeightsError
from imgbatch.models import devices
from imgbatch.models.batches import Batches
from imgbatch.models.networks import fill, tensors
from imgbatch.models.weights import digest_of, fetch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from imgbatch.models.registry import Model
    from imgbatch.models.weights import Own

    Pixels = NDArray[np.uint8]

# Where a network of each kind has its classes, and how many rows for each: one per box form.
HEADS = {
    "fasterrcnn": ("roi_heads.box_predictor.cls_score.weight", 1),
    "retinanet": ("head.classification_head.cls_logits.weight", 9),
    "fcos": ("head.classification_head.cls_logits.weight", 1),
    "ssd300": ("head.classification_head.module_list.0.weight", 4),
    "ssdlite320": ("head.classification_head.module_list.0.1.weight", 6),
}
# Their published weights were trained with batch norms that add nothing to the variance, and
# torchvision sets that after loading them.
NOTHING_ADDED = ("fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn")
COUNTER = "num_batches_tracked"


class Found(NamedTuple):
    """What is in one picture, the most certain first.

    Attributes:
        boxes: (n, 4) float32: left, top, right, bottom, in its pixels.
        labels: (n,) int64: numbers of classes; 0 is the ground, and never found.
        scores: (n,) float32, 0-1.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]


class Detector:
    """A detection network on a device. Not for several threads at once.

    Attributes:
        classes: how many classes it knows, the ground included.
    """

    def __init__(self, network: nn.Module, classes: int, *, batch: int) -> None:
        self.classes = classes
        self._device = devices.torch_device()
        self._network = network.to(self._device).eval()
        self._batches = Batches(1 if self._device.type == "cpu" else batch)
        self._lock = threading.Lock()

    def run(self, pictures: Sequence[Pixels]) -> list[Found]:
        """Return what is in each picture; (height, width, 3) uint8 RGB, of any sizes.

        Those of one size go together. A batch of several sizes is padded to the largest, and the
        rim changes what is found: a picture's rows would depend on its neighbours.
        """
        by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for place, pixels in enumerate(pictures):
            by_size[pixels.shape].append(place)
        found: dict[int, Found] = {}
        with self._lock:
            for places in by_size.values():
                some = self._batches.run(self._call, [pictures[place] for place in places])
                found.update(zip(places, some, strict=True))
        return [found[place] for place in range(len(pictures))]

    def _call(self, pictures: Sequence[Pixels]) -> list[Found]:
        # A copy: nobody may write to a picture's own pixels, and torch has no such arrays.
        stacked = np.array([pixels.transpose(2, 0, 1) for pixels in pictures], order="C")
        with torch.inference_mode():
            values = torch.from_numpy(stacked).to(self._device).to(torch.float32) / 255
            return [_found(told) for told in self._network(list(values))]


def _found(told: dict[str, Tensor]) -> Found:
    boxes, labels, scores = (told[name].cpu().numpy() for name in ("boxes", "labels", "scores"))
    order = np.argsort(-scores, kind="stable")
    return Found(boxes[order], labels[order], scores[order])


_lock = threading.Lock()
_detectors: WeakValueDictionary[tuple[str, str, str], Detector] = WeakValueDictionary()


def detector_of(model: Model, weights: Model | Own, *, batch: int) -> Detector:
    """Return the detector of a model: one per weights and device in this process, whoever asks.

    Args:
        model: of the registry; says which network.
        weights: its own, or the user's.
        batch: pictures of one size at once, at most, on a GPU. The first who asks decides.

    Raises:
        WeightsError: the weights cannot be had, or do not fit the network.
        SettingsError: CUDA is asked for, and there is none.
    """
    key = (model.builder, digest_of(weights), devices.device())
    with _lock:
        found = _detectors.get(key)
        if found is None:
            if key[2] == "cpu":
                torch.set_num_threads(devices.threads())
            network, classes = loaded(model, weights)
            found = _detectors[key] = Detector(network, classes, batch=batch)
        return found


def loaded(model: Model, weights: Model | Own) -> tuple[nn.Module, int]:
    """Return the network of a model with its weights on the CPU, and how many classes it has.

    Raises:
        WeightsError: as for `detector_of`.
    """
    return build(model.builder, tensors(fetch(weights)))


def build(builder: str, state: dict[str, Tensor]) -> tuple[nn.Module, int]:
    """Return torchvision's detection network with its weights, in eval mode, and its classes.

    It has as many classes as the weights have.

    Raises:
        WeightsError: the weights are not those of this network; names what differs.
    """
    head, rows = HEADS[builder.partition("_")[0]]
    if head not in state:
        raise WeightsError(
            f"the weights are not of {builder}: they lack {head}",
            "Name the architecture that they were made for.",
        )
    classes = len(state[head]) // rows
    network: nn.Module = models.get_model(
        builder, weights=None, weights_backbone=None, num_classes=classes
    )
    _freeze(network, builder, state)
    fill(network, state, said=f"the weights are not of {builder}")
    return network.eval(), classes


def _freeze(network: nn.Module, builder: str, state: dict[str, Tensor]) -> None:
    """Make a network that was built to be trained take weights of one that was frozen.

    Frozen batch norms count no batches, so their weights have no such numbers.

    Decision, 2026-11: weights without them are taken for descendants of the published ones, whose
    variance nothing is added to. Drawback: one that was trained from a classifier's weights with
    its batch norms frozen is off by 1e-5 of variance.
    """
    counters = [name for name in network.state_dict() if name.endswith(COUNTER)]
    if any(name in state for name in counters):
        return
    for name in counters:
        state[name] = torch.zeros((), dtype=torch.int64)
    if builder in NOTHING_ADDED:
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eps = 0.0


def coco_names(model: Model) -> tuple[str, ...]:
    """Return the names of the classes of published weights; COCO leaves some numbers out: N/A."""
    told = models.get_model_weights(model.builder)[model.variant].meta["categories"]
    return tuple(told)
