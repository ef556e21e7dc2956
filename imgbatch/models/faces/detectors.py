"""A detector's name, and weights of the user's own perhaps, enter; what finds faces leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.errors import SettingsError
from imgbatch.models import registry
from imgbatch.models.faces import packs, ultraface
from imgbatch.models.faces.lbp import Lbp
from imgbatch.models.pack import fetch_pack
from imgbatch.models.weights import fetch
from imgbatch.settings import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.models.faces import Detector
    from imgbatch.models.weights import Own, Wanted

LBP, ULTRAFACE = "lbp", "ultraface"
# A pack of the user's own: one that is not in the registry.
OWN_PACK = "pack"
ULTRAFACE_MODEL = "ultraface-rfb-320"


def names() -> list[str]:
    """Return the names of all detectors."""
    known = [m.name for m in registry.known() if m.loader == "insightface-pack"]
    return [LBP, ULTRAFACE, *known, OWN_PACK]


def is_pack(name: str) -> bool:
    """Return whether a detector comes with models that see cut-out faces, and gives landmarks."""
    return name not in (LBP, ULTRAFACE)


def wanted(name: str, own: Own | None = None) -> Wanted | None:
    """Return the weights of a detector; None for one without any.

    Raises:
        SettingsError: there is none of that name, or its weights are not named, or has none.
    """
    if name not in names():
        raise SettingsError(f"no detector {name!r}{nearest(name, names())}")
    if name == LBP and own is not None:
        raise SettingsError("detector lbp has no weights", "Leave out `weights`.")
    if name == OWN_PACK and own is None:
        raise SettingsError(
            "detector pack is a pack of your own, and no weights are named",
            "Name its zip file: weights = { url = ..., sha256 = ... }.",
        )
    if own is not None or name == LBP:
        return own
    return registry.find(ULTRAFACE_MODEL if name == ULTRAFACE else name)


def detector(
    name: str, own: Own | None = None, *, min_score: float = 0.0, sides: Sequence[int] = packs.SIDES
) -> Detector:
    """Return a detector, loaded; a `Pack` where its name is that of one.

    Args:
        name: one of `names()`.
        own: weights of the user's own in place of the registry's.
        min_score: what it is less sure of is no face; 0: as its makers publish it.
        sides: of the squares that a pack's detector looks at.

    Raises:
        SettingsError: as `wanted`.
        MissingExtraError: what runs it is not installed.
        WeightsError: its weights cannot be had or do not fit.
    """
    found = wanted(name, own)
    if found is None:
        return Lbp()
    if name == ULTRAFACE:
        return ultraface.UltraFace(fetch(found), min_score=min_score or ultraface.MIN_SCORE)
    score = min_score or packs.MIN_SCORE
    return packs.Pack(fetch_pack(found), min_score=score, sides=sides)
