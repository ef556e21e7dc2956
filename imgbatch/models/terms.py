"""Weights enter; the terms under which they may be used leave, as far as anybody can tell."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from imgbatch.models import registry
from imgbatch.models.registry import Licence, Model
from imgbatch.models.weights import path_of

if TYPE_CHECKING:
    from imgbatch.models.weights import Own, Wanted

# Who named the weights knows.
OWN = Licence(name="the user's own", url="")
# What the registry has of InsightFace's packs; this one is unknown to it.
PACK = Licence(
    name="the user's own",
    limits="A pack of face models that the registry does not know: those of InsightFace are for "
    "non-commercial research only; where it is another's, its makers say what they allow.",
    url="https://github.com/deepinsight/insightface#license",
)


def terms(wanted: Wanted) -> Licence:
    """Return the terms of weights. A file of the registry keeps its own, wherever it lies."""
    if isinstance(wanted, Model):
        return wanted.licence
    known = registry.of_file(wanted.sha256, wanted.url) if wanted.sha256 else None
    if known:
        return known.licence
    return PACK if _is_pack(wanted) else OWN


def _is_pack(own: Own) -> bool:
    """Whether a file is a pack: by its name; else by what is in it, where it lies here."""
    if own.url.partition("?")[0].lower().endswith(".zip"):
        return True
    if not own.sha256:
        return False
    try:
        with zipfile.ZipFile(path_of(own)) as opened:
            # Files of torch are zip files too, and hold no ONNX.
            return any(name.endswith(".onnx") for name in opened.namelist())
    except (OSError, zipfile.BadZipFile):
        return False  # not here, or none
