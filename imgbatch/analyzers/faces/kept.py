"""What a recipe asks of faces enters; the columns that are kept of each leave."""

from __future__ import annotations

from typing import Annotated, Literal

import pyarrow as pa
from pydantic import Field, StringConstraints, model_validator

from imgbatch.analyzers import Column
from imgbatch.models.faces import detectors
from imgbatch.models.faces.heads import Head
from imgbatch.models.faces.parts import GENDERS, perceived_names
from imgbatch.models.remedies import name_of
from imgbatch.models.weights import Own, digest_of
from imgbatch.settings import Settings as BaseSettings

COUNTS_ONLY = ("none", "count")
COLUMNS = (
    Column(
        "n_faces",
        pa.int32(),
        "Faces that were found",
        range="0 and more",
        missing='output is "none": no faces were looked for',
    ),
)
PIXELS = "pixels of the upright picture in full size"
BOXES = (
    Column("x", pa.float32(), "Left edge of the box; may lie beyond the picture's edge", PIXELS),
    Column("y", pa.float32(), "Top edge of the box; may lie beyond the picture's edge", PIXELS),
    Column("width", pa.float32(), "Width of the box", PIXELS),
    Column("height", pa.float32(), "Height of the box", PIXELS),
    Column("x_share", pa.float32(), "Left edge as a share of the picture's width"),
    Column("y_share", pa.float32(), "Top edge as a share of the picture's height"),
    Column("width_share", pa.float32(), "Width as a share of the picture's width"),
    Column("height_share", pa.float32(), "Height as a share of the picture's height"),
    Column(
        "score",
        pa.float32(),
        "How sure the detector is that this is a face",
        range="0-1",
        missing="the detector is lbp: it gives none",
    ),
    Column(
        "area_share",
        pa.float32(),
        "Share of the picture's area that the box covers, without what lies beyond its edges",
        range="0-1",
    ),
)
MEASURES = (
    Column(
        "landmarks",
        pa.list_(pa.float32()),
        "x and y of five points: the eye that is left in the picture, the other eye, the tip of the"
        " nose, the left corner of the mouth, the right one",
        PIXELS,
        missing="the detector gives none: lbp and ultraface",
    ),
    Column(
        "sharpness",
        pa.float32(),
        "Variance of the Laplacian of the box's luma, scaled from full size to 112 x 112 pixels",
        "squared grey levels",
        "0 and more",
        "the box lies outside of the picture",
    ),
)
NO_POSE = "the detector gives no landmarks, or they tell no pose"
TURNS = {
    "yaw": "the face looks to the right of the picture",
    "pitch": "it looks up",
    "roll": "the head is tilted clockwise",
}
POSES = {
    "landmarks": "estimated from the five landmarks",
    "model": "from the 68 points of the pack's model landmark_3d_68",
}
EMBEDDING = "Vector of length 1 that tells people apart; compares with those of the same model only"
UNALIGNED = "the face could not be cut out"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class Settings(BaseSettings):
    """How faces are found, and what is kept of them.

    Attributes:
        detector: "lbp", "ultraface", the name of a pack such as "buffalo_l", or "pack".
        weights: of your own in place of the registry's: of the shape of `ultraface`, or a pack's
            zip file.
        output: "none", "count", "boxes" or "full".
        min_score: what the detector is less sure of is no face; 0: as its makers have it, 0.7 for
            ultraface and 0.5 for packs. lbp gives no score.
        sides: a pack's detector looks at the picture scaled into squares of these sides.
        recognition: an embedding for each face. Biometric data. Takes a pack.
        pose: from the five "landmarks", or by the pack's "model" of 68 points in space: better,
            and as dear as recognition.
        perceived: of "age" and "gender", what the pack's model is asked for. Sensitive.
        heads: classifiers of your own, each under the name of its columns `perceived_NAME`: its
            weights and classes, and how it sees a face. Sensitive.
    """

    detector: str = detectors.ULTRAFACE
    weights: Own | None = None
    output: Literal["none", "count", "boxes", "full"] = "full"
    min_score: float = Field(default=0.0, ge=0, lt=1)
    sides: tuple[Annotated[int, Field(ge=32, multiple_of=32)], ...] = Field(
        (128, 640), min_length=1
    )
    recognition: bool = False
    pose: Literal["landmarks", "model"] = "landmarks"
    perceived: tuple[Literal["age", "gender"], ...] = ()
    heads: dict[Name, Head] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        detectors.wanted(self.detector, self.weights)
        of_pack = [*self.perceived, *["recognition"] * self.recognition]
        of_pack += ["pose"] if self.pose == "model" else []
        if of_pack and not detectors.is_pack(self.detector):
            raise ValueError(f"{of_pack[0]} takes a pack, and detector is {self.detector!r}")
        if (of_pack or self.heads) and self.output != "full":
            asked = [*of_pack, *self.heads][0]
            raise ValueError(f'{asked} is only kept with output = "full"; it is {self.output!r}')
        if twice := set(self.heads) & {"age", *self.perceived}:
            raise ValueError(f"head {twice.pop()!r} has the name of a column of the pack")
        with_shares = {*self.heads, *self.perceived} - {"age"}
        if twice := set(self.heads) & {f"{name}_probabilities" for name in with_shares}:
            raise ValueError(f"head {twice.pop()!r} has the name of another one's probabilities")
        for name, head in self.heads.items():
            if head.crop == "aligned" and not detectors.is_pack(self.detector):
                raise ValueError(f"head {name!r} sees aligned faces: that takes a pack's landmarks")
        return self


def regions(settings: Settings) -> tuple[Column, ...]:
    """Return the columns of `faces_regions`; none where nothing is kept of any single face."""
    if settings.output in COUNTS_ONLY:
        return ()
    if settings.output == "boxes":
        return BOXES
    told = (*_poses(settings), *_perceived(settings))
    return (*BOXES, *MEASURES, *told, *((_embedding(settings),) if settings.recognition else ()))


def _poses(settings: Settings) -> tuple[Column, ...]:
    source = POSES[settings.pose]
    return tuple(
        Column(name, pa.float32(), f"{name} of the head, positive where {way}; {source}", "degrees",
               "-180 to 180", NO_POSE if settings.pose == "landmarks" else UNALIGNED)
        for name, way in TURNS.items()
    )  # fmt: skip


def _perceived(settings: Settings) -> tuple[Column, ...]:
    found: list[Column] = []
    if "age" in settings.perceived:
        meaning = f"Age that {settings.detector} perceives"
        found.append(
            Column("perceived_age", pa.float32(), meaning, "years", "", UNALIGNED, "sensitive")
        )
    classes = {"gender": GENDERS} if "gender" in settings.perceived else {}
    for name, words in (classes | {n: h.classes for n, h in settings.heads.items()}).items():
        best, shares = perceived_names(name)
        who = settings.detector if name in classes else "a head of the user's own"
        meaning = f"Likeliest {name} as {who} perceives it"
        found.append(
            Column(best, pa.string(), meaning, "", ", ".join(words), UNALIGNED, "sensitive")
        )
        meaning = f"Probability of each {name}: {', '.join(words)}"
        found.append(
            Column(shares, pa.list_(pa.float32()), meaning, "", "0-1", UNALIGNED, "sensitive")
        )
    return tuple(found)


def _embedding(settings: Settings) -> Column:
    wanted = detectors.wanted(settings.detector, settings.weights)
    assert wanted is not None, "recognition takes a pack"
    model = f"{name_of(wanted)} (sha256 {digest_of(wanted)[:12]})"
    return Column(
        "embedding", pa.list_(pa.float32()), f"{EMBEDDING}: {model}", "", "-1 to 1",
        f"{UNALIGNED}, or the vector has no length", "biometric",
    )  # fmt: skip
