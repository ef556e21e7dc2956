"""A CSV of labels in; the sources of a dataset that they are of out.

    filepath,label          source_id,label            address,label
    train/5/00001.png,5     0f3c...,protest            s3://bucket/a.jpg,protest

A source is named by its id, its address, or by the end of its address: as many steps of the path as
make it unique. Lines without a label are left out, and counted. The file is UTF-8 and as RFC 4180
has it: a line that is not is refused (see `fitting.lines`); it may speak of other sources.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgbatch.dataset import SOURCES
from imgbatch.errors import LabelsError
from imgbatch.fitting.lines import Line, lines_of
from imgbatch.storage.addresses import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imgbatch.dataset import Dataset

NAMES = ("source_id", "address", "source", "filepath", "path", "file", "filename", "name")
LABEL = "label"
SHOWN = 3
READABLE = "Give a CSV in UTF-8; a spreadsheet saves one as `CSV UTF-8`."


# A name of a source, cut where its path is; an id is one step.
Steps = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A source with its label.

    Attributes:
        name: as a file of labels has it, or its address.
    """

    name: str
    label: str


@dataclass(frozen=True, slots=True)
class Labels:
    """What a file says.

    Attributes:
        path: of the file.
        sha256: of its bytes.
        named: each source as the file names it, and its label, by the steps of that name.
        unlabelled: how many lines have no label.
    """

    path: str
    sha256: str
    named: Mapping[Steps, Labelled]
    unlabelled: int


def read_labels(path: str) -> Labels:
    """Read a CSV of labels.

    Raises:
        LabelsError: it cannot be read, has a line that is none, lacks a column or has it twice, or
            says two things of one source.
    """
    try:
        data = Path(path).read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelsError(f"{path} cannot be read as a CSV: {error}", READABLE) from error
    header, *lines = list(lines_of(text, path)) or [Line(1, ())]
    name = _named_by(path, header.cells, lines)
    named: dict[Steps, Labelled] = {}
    unlabelled = 0
    for line in lines:
        row = dict(zip(header.cells, line.cells, strict=True))
        one = Labelled(row[name].strip(), row[LABEL].strip())
        if not one.label:
            unlabelled += 1
        else:
            former = named.setdefault(_steps(one.name), one)
            if former.label != one.label or not one.name:
                raise LabelsError(
                    f"{path}, line {line.number}: {one.name or 'no source'} is {one.label!r}"
                    + (f", and {former.label!r} before" if one.name else ""),
                    "Mend the line.",
                )
    if not named:
        raise LabelsError(f"{path} has no line with a label")
    return Labels(path, hashlib.sha256(data).hexdigest(), named, unlabelled)


def _named_by(path: str, header: Sequence[str], lines: Sequence[Line]) -> str:
    """Return the column that names sources; look whether no field of it swallowed lines."""
    name = next((n for n in NAMES if lines and n in header), None)
    if name is None or LABEL not in header:
        columns = ", ".join(header) if lines else "no line below its header"
        raise LabelsError(
            f"{path} has {columns}",
            f"It needs the column {LABEL} and one that names sources: {', '.join(NAMES)}. A comma "
            "parts columns.",
        )
    for column in (name, LABEL):
        if header.count(column) > 1:
            raise LabelsError(f"{path} has the column {column} twice", "Take one of them out.")
        for line in lines:
            line.refuse_swallowed(path, header.index(column))
    return name


def match(labels: Labels, dataset: Dataset) -> dict[str, Labelled]:
    """Return the labelled sources, each by its id and with its address.

    Raises:
        LabelsError: a name is of no source of the dataset, or of several; a source has two labels.
    """
    lengths = sorted({len(steps) for steps in labels.named})
    found: dict[str, Labelled] = {}
    seen: dict[Steps, str] = {}
    for source_id, address in _sources(dataset):
        for steps in _names(source_id, address, lengths):
            if steps not in labels.named:
                continue
            given, one = labels.named[steps], Labelled(address, labels.named[steps].label)
            if seen.setdefault(steps, address) != address:
                raise LabelsError(
                    f"{labels.path}: {given.name} ends two addresses: {seen[steps]}, {address}",
                    "Name more of the path, or the source's id.",
                )
            if found.setdefault(source_id, one) != one:
                raise LabelsError(
                    f"{labels.path}: {address} is {found[source_id].label!r} and {one.label!r}",
                    "Leave one of the two lines.",
                )
    _refuse_unknown(labels, seen, dataset)
    return found


def _refuse_unknown(labels: Labels, seen: Mapping[Steps, str], dataset: Dataset) -> None:
    unknown = [given.name for steps, given in labels.named.items() if steps not in seen]
    if unknown:
        raise LabelsError(
            f"{labels.path}: {len(unknown):,} of {len(labels.named):,} labelled sources are not in "
            f"{dataset.url}, such as {', '.join(unknown[:SHOWN])}",
            "Take their lines out, or run the recipe over an input that has them.",
        )


def _sources(dataset: Dataset) -> Iterator[tuple[str, str]]:
    for batch in dataset.batches(SOURCES, columns=["source_id", "address"]):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _names(source_id: str, address: str, lengths: list[int]) -> Iterator[Steps]:
    """Yield all that a source may be called by a file whose names have so many steps."""
    yield (source_id,)
    steps = _steps(address)
    yield from (steps[-length:] for length in lengths if length <= len(steps))


def _steps(name: str) -> Steps:
    """Return the steps of a path or address; a member's go on where its archive's end."""
    plain = unquote(name) if "://" in name else name
    return tuple(step for step in plain.replace("!/", "/").split("/") if step not in ("", "."))
