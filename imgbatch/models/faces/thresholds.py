"""How far apart the embeddings of one person's faces may be, by the pack that made them.

As DeepFace 0.0.100 publishes it for the same network (ResNet50 trained on WebFace600K): a cosine
distance of 0.55, tuned on photographs of people in the news. For other packs nothing is published,
so nothing is guessed. Each error has its cost, and no group of people has the same rates: measure
on labelled pairs of your own, children and women first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.models import registry

if TYPE_CHECKING:
    from collections.abc import Mapping

# Cosine distances: 1 less the cosine.
COSINE = {"buffalo_l": 0.55, "buffalo_m": 0.55}


def published(name: str, settings: Mapping[str, Any]) -> float | None:
    """Return the threshold of a recogniser; None where nobody published one.

    Args:
        name: of the detector that the recogniser came with.
        settings: that made the embeddings. Weights of the user's own are another network, unless
            they are the registry's file from another place.
    """
    own = settings.get("weights")
    if name in COSINE and own and own["sha256"] != registry.find(name).sha256:
        return None
    return COSINE.get(name)
