"""The `[[steps]]` tables of a recipe in, frozen steps out; and for one picture, its fixed steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from imgbatch.errors import SettingsError
from imgbatch.preprocess.augment import Augment
from imgbatch.preprocess.faces import MaskFaces
from imgbatch.preprocess.steps import FixedStep
from imgbatch.settings import check, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.preprocess.color import Pixels
    from imgbatch.preprocess.masks import Box

Step = FixedStep | Augment | MaskFaces

STEPS: dict[str, type[Step]] = {kind.model_fields["name"].default: kind for kind in get_args(Step)}

REMEDY = "Every [[steps]] table has a name, one of: " + ", ".join(STEPS) + "."
REFERENCE = "imgbatch/REFERENCE.md lists each step, [output] and [faces] with their settings."


def read_steps(tables: Sequence[Any]) -> tuple[Step, ...]:
    """Read the steps of a recipe, in the order of the file.

    Raises:
        SettingsError: an unknown step or key, with the names that are near; a value out of range;
            `mask_faces` after another step, which could hide a face from the detector.
    """
    steps = tuple(_read_step(table, number) for number, table in enumerate(tables, start=1))
    for number, step in enumerate(steps[1:], start=2):
        if isinstance(step, MaskFaces):
            raise SettingsError(
                f"step {number} (mask_faces) is not the first: a picture that is cropped, shrunk "
                "or turned may show faces that no detector finds",
                "Put mask_faces first, once.",
            )
    return steps


def _read_step(table: Any, number: int) -> Step:
    name = table.get("name") if isinstance(table, dict) else None
    if not isinstance(name, str):
        raise SettingsError(f"step {number} has no name", REMEDY)
    if name not in STEPS:
        raise SettingsError(f"step {number}: no step {name!r}{nearest(name, list(STEPS))}", REMEDY)
    return check(STEPS[name], table, where=f"step {number} ({name})", remedy=REFERENCE)


def fixed_steps(
    steps: Sequence[Step], *, source_id: str, frame: int, faces: Sequence[Box] | None = None
) -> list[FixedStep]:
    """Return what is to be done with one picture, every step of which says all it does.

    Args:
        steps: of the recipe; augment becomes its draws, `mask_faces` a mask of the faces.
        source_id: of the picture.
        frame: of the picture.
        faces: x, y, width, height of each face in it; may be None only without `mask_faces`.
    """
    fixed: list[FixedStep] = []
    for position, step in enumerate(steps):
        if isinstance(step, Augment):
            fixed += step.draw(source_id=source_id, frame=frame, position=position)
        elif isinstance(step, MaskFaces):
            assert faces is not None, "no picture goes on before its faces were looked for"
            fixed.append(step.fix(faces))
        else:
            fixed.append(step)
    return fixed


def apply_steps(steps: Sequence[FixedStep], pixels: Pixels) -> Pixels:
    """Return the pixels after all steps, in order.

    Raises:
        PreprocessError: preprocess.size, a step does not work at this picture's size.
    """
    for step in steps:
        pixels = step.apply(pixels)
    return pixels
