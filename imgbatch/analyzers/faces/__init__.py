"""Faces: pixels enter; how many there are leaves, and each one's box, measures and embedding.

Faces are found once per picture, in the thread that decodes it. What sees cut-out faces
(recognition, perceived age and gender, pose, heads of your own) gets those of many pictures at
once: as many calls as batches are filled.

`detector` is one of

    ultraface   UltraFace RFB-320 (MIT): boxes and scores
    lbp         without weights: a first look; frontal faces of a third of the picture and more
    buffalo_l   and other packs of InsightFace that `imgbatch models list` shows: boxes, scores and
                landmarks, and models for recognition, pose, perceived age and gender. For
                non-commercial research only
    pack        a pack of your own, of the same form: `weights` names its zip file

`output` says what is kept of people: "none" finds no faces at all; "count" keeps how many there are
and nothing of any; "boxes" where they are; "full" all that the other settings ask for.

Decision, 2026-11: a face is found in the picture as [media] decodes it, and then measured and cut
out of the picture in full size, as InsightFace does: at an eighth a face of 300 pixels is 38, and
its sharpness was that of the reduction. So what is said of a face does not follow from min_side.
Drawback: where faces are found, output = "full" decodes a reduced picture once more; other outputs
do not.

An embedding tells people apart: it is biometric data. Age, gender and what heads of your own say is
what a network perceives, no fact about a person; all of it is off unless a recipe asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from imgbatch.analyzers import Needs, whole
from imgbatch.analyzers.faces.kept import COLUMNS, COUNTS_ONLY, TURNS, Settings, regions
from imgbatch.models.batches import Batches
from imgbatch.models.devices import device, on_cpu
from imgbatch.models.faces import Face, crops, detectors
from imgbatch.models.faces.heads import OwnHead
from imgbatch.models.faces.packs import Pack
from imgbatch.models.faces.parts import Attributes, Pose, Recognition
from imgbatch.models.remedies import name_of
from imgbatch.models.weights import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgbatch.analyzers import Row
    from imgbatch.models.faces import RGB, Detector
    from imgbatch.models.faces.parts import Part
    from imgbatch.records import Picture

__all__ = [
    "BATCH",
    "COLUMNS",
    "GRAIN",
    "NEEDS",
    "TOLERANCE",
    "VERSION",
    "Analyzer",
    "Settings",
    "check",
    "needs",
    "regions",
    "shared_out",
    "weights",
]

T = TypeVar("T")

GRAIN = "picture"
VERSION = 1
# A network computes a batch of one a little otherwise than a batch of many.
TOLERANCE = 1e-3
# So many pictures wait for their faces to be seen together; their crops' bytes cut that short.
WAITING = 4096
# Of a GPU, as other networks take it: eight workers to one. Not measured with faces.
SHARE = 1 / 8
# Bytes, measured on a CPU of four threads: UltraFace 70 MB, a pack's detector 190, and recognition
# by a ResNet50 600 more. Another network that sees faces is taken to be as large.
ULTRAFACE, DETECTOR, SEEING = 2**26, 2**28, 3 * 2**28
NEEDS = Needs(full_size=True, batch=WAITING, memory=ULTRAFACE)
# Faces that one call of a network sees, at least, where so many wait: a few that are left over are
# shared among the calls, so that there are never more of them than ceil(faces / batch).
BATCH = {"cpu": 16, "cuda": 128}


def weights(settings: Settings) -> dict[str, str]:
    """Return the digests of the detector or pack, and of the heads."""
    if settings.output == "none":
        return {}
    wanted = detectors.wanted(settings.detector, settings.weights)
    own = {f"heads.{name}": digest_of(head.weights) for name, head in settings.heads.items()}
    if wanted is None:
        return own
    name = "weights" if settings.weights else name_of(wanted)
    return {name: digest_of(wanted)} | own


def needs(settings: Settings) -> Needs:
    """Return what its networks need; of a GPU nothing for UltraFace alone, which is a megabyte."""
    memory = SEEING * len(settings.heads)
    if settings.output != "none" and settings.detector != detectors.LBP:
        memory += DETECTOR if detectors.is_pack(settings.detector) else ULTRAFACE
        memory += SEEING * (settings.recognition + (settings.pose == "model"))
        memory += ULTRAFACE * bool(settings.perceived)  # as small a network
    share = SHARE if memory >= DETECTOR else 0.0
    return Needs(
        full_size=settings.output == "full",
        batch=WAITING,
        gpu_if_any=share,
        memory=memory,
        onnx=bool(memory),
    )


def check(settings: Settings) -> None:
    """Raise what making the analyzer would: a pack may lack a model, a head say other classes."""
    with on_cpu():
        Analyzer(settings)


@dataclass(frozen=True, slots=True)
class CutOut:
    """One face of a picture.

    Attributes:
        region: its row; what parts have yet to say is null.
        crops: what each part sees of it; None where it cannot be cut out.
    """

    region: Row
    crops: list[RGB | None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The faces of one picture; None where none were looked for."""

    faces: list[CutOut] | None

    @property
    def nbytes(self) -> int:
        """Return how much memory waits with it."""
        crops = [crop for face in self.faces or () for crop in face.crops]
        return sum(crop.nbytes for crop in crops if crop is not None)


class Analyzer:
    """Finds faces, and says what is asked for of each."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._detector: Detector | None = None
        self._parts: list[Part] = []
        self._batches: list[Batches] = []
        if settings.output == "none":
            return
        self._detector = detectors.detector(
            settings.detector,
            settings.weights,
            min_score=settings.min_score,
            sides=settings.sides,
        )
        self._parts = _parts(settings, self._detector)
        self._batch = BATCH[device()]
        self._batches = [Batches(part.batch or 2 * self._batch) for part in self._parts]

    def prepare(self, picture: Picture) -> Prepared:
        """Return the faces of a picture, cut out."""
        if self._detector is None:
            return Prepared(None)
        found = self._detector.detect(picture.pixels)
        if not found or self.settings.output != "full":
            return Prepared([CutOut(_box(picture, face), []) for face in found])
        with whole(picture) as pixels:
            return Prepared([self._cut_out(picture, face, pixels) for face in found])

    def _cut_out(self, picture: Picture, small: Face, pixels: RGB) -> CutOut:
        """Return a face, as it was found, with what its parts see of the full size."""
        region = _box(picture, small)
        face = _enlarged(small, picture.pixels, pixels)
        region |= _measures(picture, face, pixels)
        if self.settings.pose == "landmarks":
            turns = None if face.points is None else crops.pose(face.points)
            region |= dict(zip(TURNS, turns or (None,) * 3, strict=True))
        for part in self._parts:
            region |= dict.fromkeys(part.names)
        return CutOut(region, [part.crop(pixels, face) for part in self._parts])

    def infer(self, batch: Sequence[Prepared]) -> list[Row]:
        """Return the rows of pictures, each with its faces."""
        faces = [face for prepared in batch for face in prepared.faces or ()]
        regions = [dict(face.region) for face in faces]
        for number, (part, batches) in enumerate(zip(self._parts, self._batches, strict=True)):
            seen = [
                (region, crop)
                for region, face in zip(regions, faces, strict=True)
                if (crop := face.crops[number]) is not None
            ]
            for some in shared_out(seen, self._batch):
                found = batches.run(part.run, [crop for _, crop in some])
                for (region, _), columns in zip(some, found, strict=True):
                    region.update(columns)
        rest = iter(regions)
        return [self._row(prepared, rest) for prepared in batch]

    def _row(self, prepared: Prepared, regions: Iterator[Row]) -> Row:
        if prepared.faces is None:
            return {"n_faces": None, "regions": []}
        own = [next(regions) for _ in prepared.faces]
        kept = [] if self.settings.output in COUNTS_ONLY else own
        return {"n_faces": len(own), "regions": kept}


def shared_out(items: Sequence[T], batch: int) -> Iterator[Sequence[T]]:
    """Yield items in batches of at least `batch` and less than twice as many, all about as large.

    What is left over by one `infer` then costs no call of its own.
    """
    calls = max(1, len(items) // batch)
    edges = [len(items) * i // calls for i in range(calls + 1)]
    yield from (items[start:end] for start, end in pairwise(edges) if end > start)


def _parts(settings: Settings, detector: Detector) -> list[Part]:
    parts: list[Part] = []
    if isinstance(detector, Pack):
        if settings.recognition:
            parts.append(Recognition(detector))
        if settings.perceived:
            parts.append(Attributes(detector, settings.perceived))
        if settings.pose == "model":
            parts.append(Pose(detector))
    return [*parts, *(OwnHead(name, head) for name, head in settings.heads.items())]


def _box(picture: Picture, face: Face) -> Row:
    """Return where a face is, from pixels as they were decoded to those of the full size."""
    high, wide = picture.pixels.shape[:2]
    left, top, right, bottom = face.box / [wide, high, wide, high]
    inside = [min(max(edge, 0.0), 1.0) for edge in (left, top, right, bottom)]
    facts = picture.facts
    return {
        "x": left * facts.width,
        "y": top * facts.height,
        "width": (right - left) * facts.width,
        "height": (bottom - top) * facts.height,
        "x_share": left,
        "y_share": top,
        "width_share": right - left,
        "height_share": bottom - top,
        "score": face.score,
        "area_share": (inside[2] - inside[0]) * (inside[3] - inside[1]),
    }


def _enlarged(face: Face, small: RGB, pixels: RGB) -> Face:
    """Return a face that was found in the smaller picture as one of the larger."""
    times = np.array([pixels.shape[1] / small.shape[1], pixels.shape[0] / small.shape[0]])
    points = None if face.points is None else face.points * times
    return Face(face.box * np.tile(times, 2), face.score, points)


def _measures(picture: Picture, face: Face, pixels: RGB) -> Row:
    high, wide = pixels.shape[:2]
    points = None
    if face.points is not None:
        # Of frames that differ in size, the video's is that of the first.
        full = face.points * [picture.facts.width / wide, picture.facts.height / high]
        points = full.astype(np.float32).ravel()
    return {"landmarks": points, "sharpness": crops.sharpness(pixels, face.box)}
