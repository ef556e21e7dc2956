"""INPUT and DATASET enter as a run would be given them; what is well and what to mend leaves.

Nothing of INPUT is written. In DATASET one object is, below `doctor/`, and deleted again. No
refusal leaves as an error: each becomes a line with what to do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from imgbatch import errors
from imgbatch.doctor import here, reading, recipe, writing
from imgbatch.doctor.tries import BUCKETS, Place, brief, settings_wrong
from imgbatch.errors import RunError
from imgbatch.listed import refuse_nested
from imgbatch.storage import open_store
from imgbatch.storage.buckets import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Finding", "Line", "examine", "worst"]

Part = Literal["here", "input", "dataset"]

# What keeps a run from its store, wherever it is found.
_STORE = ("credentials", "expiry", "clock", "region", "endpoint")
_CODES: dict[str, type[RunError]] = {
    **dict.fromkeys(_STORE, errors.StorageError),
    "settings": errors.SettingsError,
    "versions": errors.MissingExtraError,
    "packages": errors.MissingExtraError,
    "format": errors.DatasetError,
    "weights": errors.WeightsError,
}
_DEFAULT: dict[Part, type[RunError]] = {
    "here": errors.StorageError,
    "input": errors.InputError,
    "dataset": errors.StorageError,
}
# The one that keeps most from working comes first.
_WORST = [
    errors.StorageError.exit_code,
    errors.DatasetError.exit_code,
    errors.InputError.exit_code,
    errors.MissingExtraError.exit_code,
    errors.WeightsError.exit_code,
    errors.SettingsError.exit_code,
]


@dataclass(frozen=True, slots=True)
class Line:
    """One finding, and what it is about.

    Attributes:
        part: this machine, the input, or the dataset.
        code: exit code of what a run would end with; 0 unless it failed.
    """

    part: Part
    finding: Finding
    code: int = 0


def examine(input_url: str, dataset_url: str, recipe_name: str = "quick") -> Iterator[Line]:
    """Yield a line for each thing that a run needs, as soon as it is known."""
    yield from _lines("here", here.look())
    yield from _lines("here", recipe.look(recipe_name))
    told: list[Finding] = []
    for line in _lines("input", _place(input_url, reading.look)):
        told.append(line.finding)
        yield line
    yield from _lines("dataset", _nested(input_url, dataset_url))
    for line in _lines("dataset", _place(dataset_url, writing.look)):
        # Both are asked with the same keys as a rule: what need not be mended is told once.
        known = line.finding.check in _STORE and line.finding in told
        if line.finding.state == "failed" or not known:
            yield line


def worst(lines: Iterable[Line]) -> int:
    """Return the exit code of the worst line; 0 when none failed."""
    return min((line.code for line in lines if line.code), key=_WORST.index, default=0)


def _lines(part: Part, found: Iterator[Finding]) -> Iterator[Line]:
    for finding in found:
        kind = _CODES.get(finding.check, _DEFAULT[part])
        code = kind.exit_code if finding.state == "failed" else 0
        yield Line(part, replace(finding, text=brief(finding.text)), code)


def _place(url: str, look: Callable[[Place], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield what is found about a place: first about its bucket, then by trying."""
    try:
        place = Place.at(url)
        for finding in place.bucket.look() if place.bucket else ():
            yield finding
            if finding.blocks:
                yield Finding("the rest", "skipped", "not tried before that is mended")
                return
        place.store  # noqa: B018 - opened for the first time
    except RunError as error:
        yield settings_wrong(error)
        return
    yield from look(place)


def _nested(input_url: str, dataset_url: str) -> Iterator[Finding]:
    try:
        refuse_nested(*(_root(url) for url in (input_url, dataset_url)))
    except RunError as error:
        yield settings_wrong(error)


def _root(url: str) -> str:
    # A bucket's store may not open without keys, and its URL says enough.
    return url.partition("?")[0].rstrip("/") if url.startswith(BUCKETS) else open_store(url).root
