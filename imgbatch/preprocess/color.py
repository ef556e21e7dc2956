"""Pixels in, pixels or numbers out: what happens to values, never to places."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Color = tuple[int, int, int]

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)

# Mean and standard deviation of ImageNet's training pictures, RGB on 0-1, as torchvision's models
# expect them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Mean of ImageNet's training pictures, BGR on 0-255, as the networks trained in Caffe (VGG, the
# first ResNets) and their Keras copies expect it.
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


def is_grey(pixels: Pixels) -> bool:
    """Return whether it is (height, width), a picture without a channel axis."""
    return len(pixels.shape) == len(("height", "width"))


def grayscale(pixels: Pixels) -> Pixels:
    """Return luma by ITU-R BT.601 (0.299 R + 0.587 G + 0.114 B), exactly as Pillow's mode L.

    Args:
        pixels: (height, width, 3) RGB; (height, width) is grey already and comes back as it is.

    Returns:
        (height, width) uint8.
    """
    if is_grey(pixels):
        return pixels
    return np.array(Image.fromarray(pixels).convert("L"))


def to_rgb(pixels: Pixels) -> Pixels:
    """Return (height, width, 3): a grey picture with its values in all three channels."""
    return np.repeat(pixels[:, :, None], 3, axis=2) if is_grey(pixels) else pixels


def flatten_alpha(pixels: Pixels, *, rule: Literal["white", "black", "drop"]) -> Pixels:
    """Return RGB of an RGBA picture: over a white or black ground, or with the channel dropped.

    `drop` is what Pillow's `convert("RGB")` does: it shows colors that nobody ever saw.

    Args:
        pixels: (height, width, 4) RGBA, uint8, not premultiplied.
        rule: what shows through transparency.

    Returns:
        (height, width, 3) uint8, rounded to the nearest value.
    """
    color = pixels[:, :, :3]
    if rule == "drop":
        return np.ascontiguousarray(color)
    alpha = pixels[:, :, 3:].astype(np.uint16)
    ground = alpha.dtype.type(255 if rule == "white" else 0)
    mixed: Pixels = ((color * alpha + ground * (255 - alpha) + 127) // 255).astype(np.uint8)
    return mixed


def brighten(pixels: Pixels, *, factor: float) -> Pixels:
    """Return every value times `factor`, rounded half up and cut at 255; 1.0 changes nothing."""
    table = np.minimum(np.floor(np.arange(256) * factor + 0.5), 255).astype(np.uint8)
    bright: Pixels = table[pixels]
    return bright


def normalise_unit(pixels: Pixels) -> NDArray[np.float32]:
    """Return float32 of the same shape on 0-1: values divided by 255."""
    return pixels.astype(np.float32) / np.float32(255)


def normalise_standard(
    pixels: Pixels,
    *,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
) -> NDArray[np.float32]:
    """Return (value / 255 - mean) / std per channel, float32 (height, width, 3), RGB order."""
    means, spreads = np.array((mean, std), dtype=np.float32)
    normalised: NDArray[np.float32] = (normalise_unit(pixels) - means) / spreads
    return normalised


def normalise_caffe(pixels: Pixels) -> NDArray[np.float32]:
    """Return float32 (height, width, 3) in BGR order on 0-255, less ImageNet's mean; no scaling."""
    return pixels[:, :, ::-1].astype(np.float32) - np.array(CAFFE_MEAN_BGR, dtype=np.float32)


def cosine_similarity(a: Pixels, b: Pixels) -> float:
    """Return the cosine of the angle between two pictures of one shape, read as flat vectors.

    The sums are integers and so exact: a picture with itself gives exactly 1.0. An all-black
    picture has no direction; the similarity with it is nan, never 0.

    Raises:
        ValueError: the shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"shapes {a.shape} and {b.shape} differ")
    u, v = a.ravel().astype(np.int64), b.ravel().astype(np.int64)
    length = math.sqrt(int(u @ u) * int(v @ v))
    return int(u @ v) / length if length else math.nan
