"""A picture's identity in, steps with drawn numbers out: augmentation that depends on nothing else.

Order, number of workers and time never change a draw. What was drawn is itself a list of fixed
steps, so it can be written down and done again.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

import numpy as np
from pydantic import Field

from imgbatch.preprocess.steps import Background, Brighten, CropBox, FixedStep, Flip, Rotate, Share
from imgbatch.settings import Settings


class Augment(Settings):
    """Chance variants for training: drawn once per picture from `seed` and the picture's identity.

    Attributes:
        seed: another number, other draws.
        flip: probability that left and right change places.
        degrees: turns by at most that much either way; 0 never turns.
        crop: keeps at least that share of height and width, anywhere; 1 keeps all.
        brightness: changes values by at most that share either way; 0 leaves them.
        background: what bare corners show.
    """

    name: Literal["augment"] = "augment"
    seed: int = Field(default=0, ge=0)
    flip: Share = 0.5
    degrees: float = Field(default=0, ge=0, le=180)
    crop: float = Field(default=1, gt=0, le=1)
    brightness: Share = 0
    background: Background = "black"

    def draw(self, *, source_id: str, frame: int, position: int) -> list[FixedStep]:
        """Return the steps for one picture; `position` is this step's own place in the recipe.

        Six numbers are taken whatever is switched off, so that switching one change on or off
        leaves the others as they were.
        """
        generator = generator_of(self.seed, source_id=source_id, frame=frame, position=position)
        flip, turn, share, down, across, light = generator.random(6).tolist()
        steps: list[FixedStep] = []
        if flip < self.flip:
            steps.append(Flip())
        if self.degrees:
            degrees = self.degrees * (2 * turn - 1)
            steps.append(Rotate(degrees=degrees, background=self.background))
        if self.crop < 1:
            steps.append(_box(1 - share * (1 - self.crop), down, across))
        if self.brightness:
            steps.append(Brighten(factor=1 + self.brightness * (2 * light - 1)))
        return steps


def generator_of(seed: int, *, source_id: str, frame: int, position: int) -> np.random.Generator:
    """Return a generator that is seeded by a picture's identity: 128 bits of BLAKE2b over it."""
    identity = f"{seed}\n{source_id}\n{frame}\n{position}".encode()
    # PCG64 by name: the default of default_rng may change between versions of numpy.
    return np.random.Generator(
        np.random.PCG64(int.from_bytes(blake2b(identity, digest_size=16).digest(), "big"))
    )


def _box(kept: float, down: float, across: float) -> CropBox:
    y1, x1 = down * (1 - kept), across * (1 - kept)
    return CropBox(y1=y1, x1=x1, y2=min(y1 + kept, 1.0), x2=min(x1 + kept, 1.0))
