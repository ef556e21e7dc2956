"""Boxes drawn by eye in, boxes of a detector in; hits, misses and false alarms out, by name."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# x, y, width, height in pixels of the upright original.
Box = tuple[float, float, float, float]

LABELS = Path(__file__).with_name("face_labels.toml")
KINDS = ("frontal", "profile", "occluded", "small", "blurred", "drawn")
# Asked of nobody: see the head of face_labels.toml.
OPEN = ("blurred", "drawn")
# Two boxes show the same face from this intersection over union on; the usual one (PASCAL VOC).
SAME = 0.5


@dataclass(frozen=True, slots=True)
class Label:
    """A face on a photograph.

    Attributes:
        box: x, y, width, height.
        kind: one of KINDS.
    """

    box: Box
    kind: str


def labels(folder: str) -> dict[str, list[Label]]:
    """Return the faces by file name: of `photos`, or of `skimage`."""
    table = tomllib.loads(LABELS.read_text("utf-8"))[folder]
    return {
        name: [Label((x, y, width, height), kind) for x, y, width, height, kind in rows]
        for name, rows in table.items()
    }


@dataclass(slots=True)
class Score:
    """What a detector comes to against the labels.

    Attributes:
        hits: faces found.
        misses: `NAME kind x,y width x height` of every face that was not.
        alarms: the same of every box that is no face, with the best overlap it has.
        by_kind: hits and faces of each kind.
    """

    hits: int = 0
    misses: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    by_kind: dict[str, list[int]] = field(default_factory=dict)

    @property
    def recall(self) -> float:
        """Share of the faces that were found."""
        return self.hits / (self.hits + len(self.misses))

    @property
    def precision(self) -> float:
        """Share of the boxes that are faces."""
        return self.hits / max(1, self.hits + len(self.alarms))

    def add(self, name: str, asked: Sequence[Label], found: Sequence[Box]) -> None:
        """Count one picture; pairs are made from the largest overlap down, each box once."""
        faces = [label for label in asked if label.kind not in OPEN]
        pairs = sorted(
            (
                (iou(face.box, box), i, j)
                for i, face in enumerate(faces)
                for j, box in enumerate(found)
            ),
            reverse=True,
        )
        hit: dict[int, int] = {}
        for overlap, i, j in pairs:
            if overlap >= SAME and i not in hit and j not in hit.values():
                hit[i] = j
        for i, face in enumerate(faces):
            counts = self.by_kind.setdefault(face.kind, [0, 0])
            counts[0] += i in hit
            counts[1] += 1
            if i not in hit:
                best = max((iou(face.box, box) for box in found), default=0)
                self.misses.append(
                    f"{name} {face.kind} {shown(face.box)} (best overlap {best:.2f})"
                )
        self.hits += len(hit)
        for j, box in enumerate(found):
            if j not in hit.values() and not any(open_to(label, box) for label in asked):
                best = max((iou(face.box, box) for face in faces), default=0)
                self.alarms.append(f"{name} {shown(box)} (best overlap {best:.2f})")

    def table(self, title: str) -> str:
        """Return precision, recall, and every miss and false alarm, as lines."""
        kinds = ", ".join(f"{kind} {n} of {of}" for kind, (n, of) in sorted(self.by_kind.items()))
        return "\n".join(
            [
                f"{title}: precision {self.precision:.3f}, recall {self.recall:.3f}",
                f"  {self.hits} hits, {len(self.misses)} misses, {len(self.alarms)} false alarms",
                f"  found: {kinds}",
                *(f"  miss         {line}" for line in self.misses),
                *(f"  false alarm  {line}" for line in self.alarms),
            ]
        )


def score(asked: Mapping[str, Sequence[Label]], found: Mapping[str, Sequence[Box]]) -> Score:
    """Return what a detector that found these boxes comes to."""
    result = Score()
    for name, faces in asked.items():
        result.add(name, faces, found[name])
    return result


def open_to(label: Label, box: Box) -> bool:
    """Return whether a box lies mostly in a face that is asked of nobody."""
    return label.kind in OPEN and overlap(label.box, box) > box[2] * box[3] / 2


def iou(one: Box, other: Box) -> float:
    """Return intersection over union."""
    both = overlap(one, other)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def overlap(one: Box, other: Box) -> float:
    """Return the area that two boxes share."""
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, high)


def shown(box: Box) -> str:
    """Return a box as words."""
    x, y, width, height = (round(n) for n in box)
    return f"at {x},{y} {width}x{height}"
