"""A file of deleted posts enters, as platforms and people write them; ids leave.

Known, line by line: an id alone; a column of a CSV; and JSON lines with an id, among them X's
notices of the streams (`{"delete": {"status": {"id_str": ...}}}`, and within `data` of its newer
form `{"delete": {"tweet": {"id": ...}}}`) and of batch compliance (`{"id": ..., "action":
"delete"}`). `{"user_delete": {"id": ...}}`, or newer `{"user_delete": {"user": {"id": ...}}}`, is
of all posts of an author, unless a later line takes it back (`user_undelete`). What is no deletion
(an account that is protected, a place that is taken back) is counted by its name.

A CSV is read strictly: a line that a stray quote or a missing comma hides is a deletion not done.

Decision, 2026-11: `user_protect` and `user_suspend` are not applied: they come and go, and to
forget is for good. Drawback: who has to suppress such authors names their posts himself.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imgbatch.errors import SettingsError
from imgbatch.sources.dumps.values import is_rounded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Whose notices name authors.
PLATFORM = "x"
DELETE, USER_DELETE, USER_UNDELETE = "delete", "user_delete", "user_undelete"
IDS = ("post_id", "id_str", "id", "tweet_id", "status_id")
DELETES = (DELETE, "deleted")
INNER = ("status", "tweet", "user")
SHOWN = 5
BOM = "\ufeff"
DELIMITERS = ",;\t|"
UNEVEN = (
    "Mend the line: a field with a comma (or whatever parts the columns) is put into quotes, and "
    "one without a value keeps its comma. Nothing was changed."
)
STRAY = (
    'Take the quotes out, or write each quote that a field holds twice: "say ""no""". If the field '
    "does have so many lines, leave its column out: that of the ids is enough. Nothing was changed."
)
# What is no part of an id on a line of its own: the line is a row or a list then.
PARTS = re.compile(r"[;|\[\]{}]")
FORMS = (
    "One id per line, a CSV with a column `id` or `post_id`, or JSON lines. Nothing was changed."
)


@dataclass(slots=True)
class Deletions:
    """What a file of deleted posts says.

    Attributes:
        ids: of posts, each once, in the file's order.
        authors: ids of authors all of whose posts are deleted, each once.
        others: lines that tell of something else, by what they call it.
    """

    ids: list[str] = field(default_factory=list)
    authors: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def read_deletions(text: str) -> Deletions:
    """Read a file of deleted posts.

    Raises:
        SettingsError: lines cannot be read; the message shows the first, and nothing is to be done.
    """
    # Not str.splitlines: it ends lines at U+2028 too, which JSON may hold.
    lines = [line.rstrip("\n") for line in io.StringIO(text.removeprefix(BOM), newline=None)]
    first = next((n for n, line in enumerate(lines) if line.strip() and line[0] != "#"), 0)
    told = _rows(lines, first) if _column(lines[first : first + 1]) else _each(lines)
    posts: dict[str, None] = {}
    authors: dict[str, None] = {}
    others: Counter[str] = Counter()
    wrong = []
    for number, event, own in told:
        if event not in (DELETE, USER_DELETE, USER_UNDELETE):
            others[event] += 1
        elif not own:
            wrong.append(f"line {number}")
        elif event == USER_UNDELETE:
            authors.pop(own, None)
        else:
            (posts if event == DELETE else authors)[own] = None
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise SettingsError(
            f"no id of a post in {', '.join(wrong[:SHOWN])}{more}",
            FORMS,
        )
    return Deletions(list(posts), list(authors), others)


def _column(header: list[str]) -> str | None:
    """Return which of the columns that a line names is that of ids, if it names any."""
    try:
        names = next(csv.reader(header, delimiter=_delimiter(header)), [])
    except csv.Error:
        return None
    known = {name.strip().lower() for name in names}
    return next((name for name in IDS if name in known), None)


def _delimiter(header: list[str]) -> str:
    return max(DELIMITERS, key="".join(header).count)


def _rows(lines: list[str], first: int) -> Iterator[tuple[int, str, str]]:
    """Yield of each row its line, what happened, and the id of what it happened to.

    Raises:
        SettingsError: a quotation mark never ends, or takes lines of the table into its field; a
            row has more or fewer cells than the header; or a field is too long.
    """
    delimiter = _delimiter(lines[first : first + 1])
    # Strict: what stands behind a quotation mark that never ends would be one row without a word.
    texts = (line + "\n" for line in lines[first:])
    reader = csv.reader(texts, delimiter=delimiter, strict=True)
    begun = first
    try:
        header = [name.strip().lower() for name in next(reader)]
        own = header.index(_column(lines[first : first + 1]) or "")
        begun += reader.line_num
        for row in reader:
            number, begun = begun + 1, first + reader.line_num
            if not row or (len(row) == 1 and row[0].isspace()):
                continue
            _refuse_uneven(row, len(header), number)
            for place, cell in enumerate(row):
                _refuse_swallowed(cell, place, (len(header), own), delimiter, number)
            yield number, _action(dict(zip(header, row, strict=True))), _id(row[own])
    except csv.Error as error:
        raise SettingsError(
            f"no CSV from line {first + reader.line_num}: {error}", FORMS
        ) from error


def _refuse_uneven(row: list[str], width: int, number: int) -> None:
    """Refuse a row of which nobody knows which cell is which.

    Raises:
        SettingsError: it has more or fewer cells than the header.
    """
    if len(row) != width:
        cells = f"{len(row)} cells" if len(row) > 1 else "1 cell"
        raise SettingsError(f"line {number}: {cells}, and the header has {width}", UNEVEN)


def _refuse_swallowed(
    cell: str, place: int, table: tuple[int, int], delimiter: str, number: int
) -> None:
    """Refuse a cell that reads as lines of the table, as it does between two stray quotes.

    Args:
        cell: of a row.
        place: which of its cells.
        table: how many cells a row has, and which of them is the id.
        delimiter: between cells.
        number: the row's first line.

    Raises:
        SettingsError: its first line ends a row, its last one begins one, and ids stand in these.
    """
    width, own = table
    told = [line.split(delimiter) for line in cell.split("\n")]
    counts = [len(cells) for cells in told]
    if len(told) < 2 or counts != [width - place, *[width] * (len(told) - 2), place + 1]:  # noqa: PLR2004 - one line swallows none
        return
    told[0] = [""] * place + told[0]
    if any(_id(cells[own]) for cells in told if own < len(cells)):
        raise SettingsError(
            f"line {number}: {len(told)} lines stand between two quotes, as one field", STRAY
        )


def _each(lines: list[str]) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(lines, 1):
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        if said.startswith("{"):
            yield number, *_notice(said)
        else:
            own = _id(said.strip("\"', "))
            yield number, DELETE, "" if PARTS.search(own) else own


def _notice(line: str) -> tuple[str, str]:
    """Return what happened by a JSON line, and to which id; "" where there is none."""
    try:
        # Digits as they stand: a number would lose those behind the sixteenth in other programs.
        said = json.loads(line, parse_int=str)
    except (ValueError, RecursionError):
        return DELETE, ""
    said = said.get("data", said)
    if not isinstance(said, dict):
        return DELETE, ""
    objects = [name for name, value in said.items() if isinstance(value, dict)]
    if _of(said) or len(objects) != 1:
        return _action(said), _of(said)
    (event,) = objects
    told = said[event]
    inner = next((one for name in INNER if isinstance(one := told.get(name), dict)), None)
    if event == DELETE and inner is None:
        return "delete of no post", ""  # a like, say
    return event, _of(told if inner is None else inner)


def _of(said: Mapping[str, Any]) -> str:
    return next((found for name in IDS if (found := _id(said.get(name)))), "")


def _action(said: Mapping[str, Any]) -> str:
    """Return what is said to have happened to an id; where nothing is, that it is deleted."""
    action = str(said.get("action") or DELETE).strip().lower()
    return DELETE if action in DELETES else action


def _id(value: Any) -> str:
    """Return an id as text; "" for what can be none: a sentence, a number that lost its digits."""
    text = value.strip() if isinstance(value, str) else ""
    if not text.isprintable() or " " in text or "," in text or is_rounded(text):
        return ""
    return text
