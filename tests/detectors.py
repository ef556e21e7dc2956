"""Detection networks of torchvision with made weights that find something in every photograph."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from imgbatch.models.weights import Own

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

SMALL = "ssdlite320_mobilenet_v3_large"
CLASSES = ("square", "circle", "line")


def small_detector(*, caution: float = 7.0) -> Any:
    """Return an SSDLite of three classes; its more cautious sisters find less."""
    import torch  # noqa: PLC0415 - of the extra
    from torchvision import models  # noqa: PLC0415

    torch.manual_seed(5)
    network = models.get_model(SMALL, weights=None, weights_backbone=None, num_classes=4)
    # What comes out of untrained layers dies away; their norms are set to keep it up.
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    spots = torch.nn.functional.interpolate(torch.rand(4, 3, 40, 40), size=(320, 320))
    network.train()
    with torch.no_grad():
        network.head(list(network.backbone(spots * 2 - 1).values()))
        for block in network.head.classification_head.module_list:
            block[1].bias.view(-1, 4)[:, 0] = caution
    return network.eval()


def saved(network: nn.Module, path: Path) -> Own:
    """Save the weights of a network; return what names them in a recipe."""
    import torch  # noqa: PLC0415 - of the extra

    torch.save(network.state_dict(), path)
    return Own(url=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
