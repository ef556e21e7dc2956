"""Detection networks of torchvision with made weights that find something in every photograph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.analyzers import objects
from tests.networks import saved

if TYPE_CHECKING:
    from pathlib import Path

SMALL = "ssdlite320_mobilenet_v3_large"
CLASSES = ("square", "circle", "line")
# The larger, the less is found.
CAUTION = 3.0


def small_detector() -> Any:
    """Return an SSDLite of three classes."""
    import torch
    from torchvision import models

    torch.set_num_threads(1)
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
            block[1].bias.view(-1, 4)[:, 0] = CAUTION
    return network.eval()


def finds(folder: Path) -> objects.Settings:
    """Write the weights of one; return what asks for it."""
    own = saved(small_detector().state_dict(), folder / "own.pth")
    return objects.Settings(model=SMALL, weights=own, min_score=0.2, max_regions=5, classes=CLASSES)
