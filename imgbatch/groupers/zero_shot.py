"""Which of your own labels fits a picture best, by CLIP: from stored embeddings, no pixel is read.

A prompt describes what a label looks like ("a photo of a protest"). A label with several prompts
stands at the mean of their embeddings, each of length 1, brought to length 1 again, as Radford and
others (2021, section 3.1.4) do it. The probabilities of the labels are the softmax of the model's
own scale, about 100, times the cosines of picture and labels. They say which label fits better than
the others, never that any fits: what shows none of them gets one all the same. `similarity` tells,
and a label for all else helps.

Other words give other labels: `prompts.csv` beside the labels says of each prompt how many pictures
keep their label when it speaks for its label alone; `model.json` says what compared. Label some
pictures yourself before you count.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import threadpoolctl
from pydantic import Field

from imgbatch import analyzers
from imgbatch.analyzers import Column
from imgbatch.errors import GroupError, SettingsError
from imgbatch.models.choice import Choice, network
from imgbatch.models.clip import logit_scale, text_embeddings
from imgbatch.settings import Settings as BaseSettings
from imgbatch.settings import check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from imgbatch.groupers import Context, Tables

VERSION = 1
MISSING = "the picture has no embedding"
COLUMNS = (
    Column("label", pa.string(), "the label that fits best", missing=MISSING),
    Column("probability", pa.float32(), "of that label among all", "", "0-1", MISSING),
    Column("similarity", pa.float32(), "cosine of picture and label", "", "-1 to 1", MISSING),
    Column(
        "probabilities",
        pa.list_(pa.float32()),
        "of all labels, in the order in which the prompts first name them; they sum to 1",
        "",
        "0-1",
        MISSING,
    ),
)
KEYS = ("source_id", "version", "picture_id")
EMBEDDING = "embedding"
MARK = re.compile(r":\s")
# A colon that may have been meant for one: not of a time or a ratio (12:30), nor of a URL.
UNMARKED = re.compile(r"(?<!\d):(?!//)|:(?!\d|//)")
# That of Chinese and Japanese keyboards, which parts nothing here.
WIDE = re.compile("(?<!\\d)\uff1a|\uff1a(?!\\d)")
LABELS = 2
REPORT, MODEL = "prompts.csv", "model.json"
# Cosines that are looked at together: 32 MiB in double precision.
BLOCK = 4 * 2**20
NEEDED = (
    "Words compare with the embeddings of a CLIP model. Where there are none: add [analyzers.clip] "
    "to the recipe, run again, and leave `table` out."
)


class Settings(BaseSettings):
    """What the labels look like.

    Attributes:
        prompts: each `label: prompt`, with a blank after the colon, or a prompt that is its own
            label; several for one label are averaged. `imgbatch classify` reads them from a file.
        table: whose embeddings: of the analyzer `clip`, or of another that runs a CLIP model.
    """

    prompts: tuple[str, ...] = Field(default=())
    table: str = "clip"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One description of a label."""

    label: str
    text: str


def READS(settings: Settings) -> Mapping[str, Sequence[str]]:  # noqa: N802 - what a grouper exports
    """Return the table of embeddings."""
    return {settings.table: [EMBEDDING]}


def read_prompts(lines: Sequence[str]) -> list[Prompt]:
    """Read prompts, one per line: `label: prompt`, or a prompt alone. Empty lines and # are none.

    The first colon that a blank follows parts them. A line with another colon alone is refused, as
    `label:prompt` would be a label of its own, but for those of times, ratios and URLs.

    Raises:
        GroupError: there are fewer than two labels, something is said twice or not at all, or a
            colon has no blank after it.
    """
    found: dict[Prompt, None] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        one = _prompt(text, f"line {number}: {text!r}")
        if one in found:
            raise GroupError(f"line {number}: the prompt {text!r} comes twice", "Take one out.")
        found[one] = None
    if len({one.label for one in found}) < LABELS:
        raise GroupError(
            f"{len(found)} prompts for {len({one.label for one in found})} label: a picture is "
            "labelled by what fits better than something else",
            'Give prompts for two labels at least, one per line, such as "protest: a photo of a '
            'protest" and "other: a photo of a street".',
        )
    return list(found)


def _prompt(text: str, said: str) -> Prompt:
    mark = MARK.search(text)
    if mark is None and WIDE.search(text):
        raise GroupError(
            f"{said} has a full-width colon, which parts no label from a prompt",
            'Write ":" and a blank in its place. A prompt alone that holds such a colon is written '
            f'twice: "{text}: {text}".',
        )
    if mark is None and not text.endswith(":") and UNMARKED.search(text):
        raise GroupError(
            f"{said} has a colon without a blank after it",
            "Write a blank after the colon between a label and its prompt. A prompt alone that "
            f'holds such a colon is written twice: "{text}: {text}".',
        )
    label, prompt = (text[: mark.start()], text[mark.end() :]) if mark else (text, text)
    if not label.strip() or not prompt.strip() or text.endswith(":"):
        raise GroupError(f"{said} is not LABEL: PROMPT", "Write both, or a prompt alone.")
    return Prompt(label.strip(), prompt.strip())


def group(tables: Tables, settings: Settings, context: Context) -> pa.Table:
    """Return the label of each picture.

    Raises:
        GroupError: the prompts are too few, or the table was made by no CLIP model.
    """
    prompts = read_prompts(settings.prompts)
    made = tables.made_of(settings.table)
    model = _model(made, settings.table)
    with threadpoolctl.threadpool_limits(1):
        texts, scale = _spoken(model, prompts, settings.table)
        pass_ = _Pass(prompts, texts, scale)
        labels = [pass_.see(rows) for rows in _pieces(tables, settings.table, len(prompts))]
    table = pa.concat_tables(labels)
    context.write(REPORT, pass_.report())
    told = {"model": model.model, "weights": made.get("weights", {}), "logit_scale": scale}
    context.write(MODEL, json.dumps(told, indent=1).encode())
    for line in pass_.lines():
        context.say(line)
    return table


def _model(made: Mapping[str, Any], table: str) -> Choice:
    """Return the settings of the model that made a table's embeddings.

    Raises:
        GroupError: this imgbatch has other weights under its name.
    """
    name = str(made["analyzer"])
    try:
        model = check(analyzers.settings_of(name), made["settings"], where=f"table {table}")
        here = dict(analyzers.weights(name, model))
    except SettingsError as error:
        raise GroupError(f"table {table} was made by another imgbatch: {error}") from error
    if not isinstance(model, Choice):
        raise GroupError(f"table {table} was made by {name}, which knows no words", NEEDED)
    if here != made.get("weights", {}):
        raise GroupError(
            f"table {table} was made with other weights than this imgbatch knows by that name",
            "Run the recipe again with this version of imgbatch.",
        )
    return model


def _spoken(
    model: Choice, prompts: Sequence[Prompt], table: str
) -> tuple[NDArray[np.float64], float]:
    """Return the embeddings of the prompts, (prompts, dimension), and the model's scale."""
    said = f"the embeddings of table {table} cannot be compared with these words"
    try:
        network(model, "clip")
    except SettingsError as error:
        raise GroupError(f"{said}: {error}", NEEDED) from error
    try:
        found = text_embeddings(model, [one.text for one in prompts])
        return found.astype(np.float64), logit_scale(model)
    except SettingsError as error:  # of a prompt: another table does not read it either
        remedy = f"Nothing was written. {error.remedy}"
        raise GroupError(f"{said}: {error}", remedy) from error


def _pieces(tables: Tables, name: str, prompts: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a table, so few at a time that each can be compared with every prompt."""
    step = max(1, BLOCK // prompts)
    for rows in tables.batches(name):
        for start in range(0, rows.num_rows, step):
            yield rows.slice(start, step)


class _Pass:
    """One pass over the pictures, some at a time."""

    def __init__(self, prompts: Sequence[Prompt], texts: NDArray[np.float64], scale: float) -> None:
        self._prompts = prompts
        self._labels = list(dict.fromkeys(one.label for one in prompts))
        self._texts = texts
        self._scale = scale
        number = {label: place for place, label in enumerate(self._labels)}
        self._own = np.array([number[prompt.label] for prompt in prompts])  # each prompt's label
        sums = np.zeros((len(self._labels), texts.shape[1]))
        np.add.at(sums, self._own, texts)
        self._means = unit(sums)
        self._counts = np.zeros(len(self._labels), np.int64)
        # By prompt: pictures that keep their label when it speaks for its label alone, and those
        # that get its label then.
        self._kept = np.zeros(len(prompts), np.int64)
        self._got = np.zeros(len(prompts), np.int64)

    def see(self, rows: pa.RecordBatch) -> pa.Table:
        """Return the labels of some pictures."""
        column = rows.column(EMBEDDING)
        there = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        cosines, alone = self._cosines(column.drop_null())
        probabilities = softmax(self._scale * cosines)
        best = probabilities.argmax(axis=1)
        self._count(best, cosines, alone)
        at = pa.array(_places(there, rows.num_rows), pa.int64())
        width = len(self._labels)
        starts = np.arange(0, probabilities.size + 1, width, dtype=np.int32)
        lists = pa.ListArray.from_arrays(starts, probabilities.astype(np.float32).ravel())
        picked = np.arange(len(best)), best
        values = {
            "label": pa.array(self._labels, pa.string()).take(pa.array(best)),
            "probability": pa.array(probabilities[picked].astype(np.float32)),
            "similarity": pa.array(cosines[picked].astype(np.float32)),
            "probabilities": lists,
        }
        keys = {name: rows.column(name) for name in KEYS}
        return pa.table({**keys, **{name: value.take(at) for name, value in values.items()}})

    def _cosines(self, column: pa.ListArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the cosines of pictures with labels, and with each prompt."""
        length = self._texts.shape[1]
        lengths = pc.unique(pc.list_value_length(column)).to_pylist()
        if lengths not in ([], [length]):
            raise GroupError(
                f"embeddings of {lengths} numbers do not compare with words of {length}",
                "The table was made by another model than this imgbatch has under its name.",
            )
        values = column.flatten().to_numpy(zero_copy_only=False)
        pictures = unit(values.reshape(-1, length).astype(np.float64))
        return pictures @ self._means.T, pictures @ self._texts.T

    def _count(
        self,
        best: NDArray[np.int64],
        cosines: NDArray[np.float64],
        alone: NDArray[np.float64],
    ) -> None:
        self._counts += np.bincount(best, minlength=len(self._labels))
        # Another prompt moves one label only: what it has to beat is the best of the others.
        second, first = np.partition(cosines, -LABELS, axis=1)[:, -LABELS:].T
        is_best = best[:, None] == self._own
        gets = alone > np.where(is_best, second[:, None], first[:, None])
        self._got += gets.sum(axis=0)
        self._kept += (gets == is_best).sum(axis=0)

    def _rows(self) -> Iterator[tuple[str, str, int, int, int, int]]:
        total = int(self._counts.sum())
        for number, one in enumerate(self._prompts):
            own = int(self._counts[self._own[number]])
            yield one.label, one.text, own, int(self._got[number]), int(self._kept[number]), total

    def report(self) -> bytes:
        """Return what each prompt does alone, as CSV."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["label", "prompt", "pictures", "pictures_alone", "kept_alone", "of"])
        writer.writerows(self._rows())
        return text.getvalue().encode()

    def lines(self) -> Iterator[str]:
        """Yield how many pictures each label got, and which prompts change how much."""
        total = int(self._counts.sum())
        for label, count in zip(self._labels, self._counts, strict=True):
            yield f"{label}: {count:,} of {total:,} pictures"
        prompts = np.bincount(self._own)
        several = {label for label, count in zip(self._labels, prompts, strict=True) if count > 1}
        for label, text, _, got, kept, _ in self._rows():
            if label in several:
                yield (
                    f'with "{text}" alone for {label}: {kept:,} of {total:,} keep their label, '
                    f"{got:,} get it"
                )


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows brought to length 1; one that is all zero stays so."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    brought: NDArray[np.float64] = rows / np.where(lengths > 0, lengths, 1.0)
    return brought


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax of each row."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    shares: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return shares


def _places(there: NDArray[np.int64], count: int) -> list[int | None]:
    """Return for each of `count` rows its place among those that are there."""
    found: list[int | None] = [None] * count
    for place, row in enumerate(there):
        found[row] = place
    return found
