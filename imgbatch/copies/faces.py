"""A recipe's `[faces]` in, the boxes of the faces in pictures out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.errors import PreprocessError, RunError
from imgbatch.preprocess.faces import MaskFaces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgbatch.preprocess.color import Pixels
    from imgbatch.preprocess.masks import Box
    from imgbatch.preprocess.recipe import Step

    Look = Callable[[Pixels], list[Box]]


def mask_of(steps: Sequence[Step]) -> MaskFaces | None:
    """Return the step that masks faces, None where the recipe has none."""
    return next((step for step in steps if isinstance(step, MaskFaces)), None)


def boxes_of(look: Look, pixels: Pixels) -> list[Box]:
    """Return the faces of one picture: x, y, width, height in its pixels.

    Raises:
        PreprocessError: preprocess.mask, the detector failed: what it did not see is not copied.
    """
    try:
        return look(pixels)
    except RunError:
        raise
    except Exception as error:
        raise PreprocessError(
            "preprocess.mask", f"the face detector failed: {type(error).__name__}: {error}"
        ) from error
