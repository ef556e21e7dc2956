"""Two pictures in, how alike they are out: by their pixels alone, reduced and flattened.

The chain of the teaching material (van Atteveldt, Trilling and Arcila 2022, chapter 14): the
largest centered square, stretched to 224 x 224, then to 15 x 15, in RGB, and read as 675 numbers.
Each stretch is Pillow's bicubic, its default since 2.7, on levels of 0 to 255; transparency is
dropped. On the book's own two pictures that gives 0.86455477 with Pillow 13; the book's notebook
prints 0.86462734, with Pillow 8.1.
"""

from __future__ import annotations

from imgbatch.preprocess.color import Pixels, cosine_similarity
from imgbatch.preprocess.geometry import Kernel, crop_square, stretch

SIDES = (224, 15)


def flat(pixels: Pixels, *, sides: tuple[int, ...] = SIDES, kernel: Kernel = "bicubic") -> Pixels:
    """Return a picture's centered square as a vector, reduced to each of `sides` in turn.

    Args:
        pixels: (height, width, 3) RGB or (height, width) grey; at full size, where the digits
            matter.
        sides: in pixels, of the squares that it becomes.
        kernel: how it is resized.

    Returns:
        (side * side * 3,) or (side * side,) uint8, row by row.
    """
    small = crop_square(pixels)
    for side in sides:
        small = stretch(small, width=side, height=side, kernel=kernel)
    return small.ravel()


def flat_similarity(
    a: Pixels, b: Pixels, *, sides: tuple[int, ...] = SIDES, kernel: Kernel = "bicubic"
) -> float:
    """Return the cosine of two flattened pictures: 1.0 for a picture and itself.

    Not negative, as no level is: unrelated photographs come out around 0.8. nan where one is black
    all over.
    """
    vectors = (flat(one, sides=sides, kernel=kernel) for one in (a, b))
    return cosine_similarity(*vectors)
