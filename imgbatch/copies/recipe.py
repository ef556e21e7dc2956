"""A preprocess recipe's TOML in, frozen settings out."""

from __future__ import annotations

import tomllib
from typing import Any, Literal

from pydantic import Field

from imgbatch.copies.faces import FaceSettings, mask_of
from imgbatch.errors import SettingsError
from imgbatch.preprocess import read_steps
from imgbatch.preprocess.augment import Augment
from imgbatch.preprocess.recipe import REFERENCE
from imgbatch.settings import Settings, VideoSettings, check


class OutputSettings(Settings):
    """The files that are written. JPEG has 4:2:0 chroma; its `quality` is libjpeg's.

    Attributes:
        videos: `frames` writes the sampled frames of a video as images, as `[media.video]` says;
            `mp4` writes all frames as one video, with the times they had and without sound.
        crf: of x264, for `mp4`: 0 is without loss, 18 hard to tell from the original.
    """

    format: Literal["jpeg", "png"] = "jpeg"
    quality: int = Field(default=90, ge=1, le=100)
    videos: Literal["frames", "mp4"] = "frames"
    crf: int = Field(default=20, ge=0, le=51)


class CopyMedia(Settings):
    """How pixels are read for copies: `[media]` without what scales them."""

    alpha: Literal["white", "black", "drop"] = "white"
    max_pixels: int = Field(default=178_956_970, ge=1)
    video: VideoSettings = VideoSettings()


class CopyRecipe(Settings):
    """A preprocess recipe; `steps` are read one by one, by name."""

    media: CopyMedia = CopyMedia()
    output: OutputSettings = OutputSettings()
    faces: FaceSettings = FaceSettings()
    steps: tuple[Any, ...] = ()


def read_copy_recipe(text: str) -> CopyRecipe:
    """Read a preprocess recipe.

    Raises:
        SettingsError: not TOML, an unknown step or key, a value out of range, or parts that do not
            go together.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"recipe is not valid TOML: {error}", REFERENCE) from error
    recipe = check(CopyRecipe, raw, where="preprocess recipe", remedy=REFERENCE)
    steps = read_steps(recipe.steps)
    if "faces" in raw and mask_of(steps) is None:
        raise SettingsError(
            "the recipe has [faces], and no step that masks them",
            'Begin it with [[steps]] and name = "mask_faces".',
        )
    if recipe.output.videos == "mp4" and any(isinstance(step, Augment) for step in steps):
        raise SettingsError(
            "augment draws anew for every frame, which makes no video",
            'Leave it out, or leave output.videos at "frames".',
        )
    return recipe.model_copy(update={"steps": steps})
