"""Decoded pixels in, pixels or normalised numbers out: pure functions with the field's meanings.

Conventions, the same everywhere in this room:

    pixels      uint8, (height, width, 3) RGB or (height, width) grey: height first, as numpy
                and the field's arrays have it, while Pillow and file facts say width first.
    width,      always given by name. Only a box has an order: y1, x1, y2, x2, in shares of
    height      height and width, as in TensorFlow.
    degrees     counter-clockwise when positive, as Pillow and mathematics; R's magick counts
                clockwise (its 45 is our -45).
    kernel      Pillow's bicubic unless told.
    center      a spare pixel falls to the right or the bottom, cut or padded.

`color`, `geometry` and `flat` hold the functions; `steps`, `augment` and `recipe` give them names
in TOML.
"""

from __future__ import annotations

from imgbatch.preprocess.color import (
    brighten,
    cosine_similarity,
    flatten_alpha,
    grayscale,
    normalise_caffe,
    normalise_standard,
    normalise_unit,
    to_rgb,
)
from imgbatch.preprocess.flat import flat, flat_similarity
from imgbatch.preprocess.geometry import (
    cover,
    crop_box,
    crop_center,
    crop_square,
    fit,
    flip,
    pad,
    pad_square,
    rotate,
    scale,
    stretch,
)
from imgbatch.preprocess.recipe import apply_steps, fixed_steps, read_steps

__all__ = [
    "apply_steps",
    "brighten",
    "cosine_similarity",
    "cover",
    "crop_box",
    "crop_center",
    "crop_square",
    "fit",
    "fixed_steps",
    "flat",
    "flat_similarity",
    "flatten_alpha",
    "flip",
    "grayscale",
    "normalise_caffe",
    "normalise_standard",
    "normalise_unit",
    "pad",
    "pad_square",
    "read_steps",
    "rotate",
    "scale",
    "stretch",
    "to_rgb",
]
