"""A file of deleted posts enters, as a platform or a user writes it; ids of posts leave.

Known, line by line: an id alone; a column of a CSV; and JSON lines with an id, among them X's
notices of the streams (`{"delete": {"status": {"id_str": ...}}}`, and within `data` of its newer
form `{"delete": {"tweet": {"id": ...}}}`) and of batch compliance (`{"id": ..., "action":
"delete"}`). What is no deletion of a post (a user's, a place that is taken back) is counted.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgbatch.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

IDS = ("post_id", "id_str", "id", "tweet_id", "status_id")
DELETES = ("delete", "deleted")
SHOWN = 5
BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Deletions:
    """What a file of deleted posts says.

    Attributes:
        ids: of posts, each once, in the file's order.
        others: lines that tell of something else than a deleted post.
    """

    ids: tuple[str, ...]
    others: int = 0


def read_deletions(text: str) -> Deletions:
    """Read a file of deleted posts.

    Raises:
        SettingsError: lines cannot be read; the message shows the first, and nothing is to be done.
    """
    lines = text.removeprefix(BOM).splitlines()
    first = next((line.strip() for line in lines if line.strip() and line[0] != "#"), "")
    names = [name.strip().lower() for name in next(csv.reader([first]), [])]
    column = next((name for name in IDS if name in names), None)
    found, wrong, others = [], [], 0
    read = _rows(lines, column) if column else _each(lines)
    for number, one in read:
        if one is None:
            others += 1
        elif one:
            found.append(one)
        else:
            wrong.append(f"line {number}")
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise SettingsError(
            f"no id of a post in {', '.join(wrong[:SHOWN])}{more}",
            "One id per line, a CSV with a column `id` or `post_id`, or JSON lines. Nothing was "
            "changed.",
        )
    return Deletions(tuple(dict.fromkeys(found)), others)


def _rows(lines: list[str], column: str) -> Iterator[tuple[int, str | None]]:
    reader = csv.DictReader(lines)
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
    for row in reader:
        yield reader.line_num, _applied(row, _id(row.get(column)))


def _each(lines: list[str]) -> Iterator[tuple[int, str | None]]:
    for number, line in enumerate(lines, 1):
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        yield number, _notice(said) if said.startswith("{") else _id(said.strip("\"', "))


def _notice(line: str) -> str | None:
    """Return the id of a JSON line; "" where there is none, None where it is no deleted post."""
    try:
        # Digits as they stand: a number would lose those behind the sixteenth in other programs.
        said = json.loads(line, parse_int=str)
    except ValueError:
        return ""
    said = said.get("data", said)
    if not isinstance(said, dict):
        return ""
    delete = said.get("delete")
    if isinstance(delete, dict):
        post = delete.get("status") or delete.get("tweet")
        return _of(post) if isinstance(post, dict) else None
    found = _of(said)
    if not found and len(said) == 1 and isinstance(next(iter(said.values())), dict):
        return None  # user_delete, scrub_geo, status_withheld, ...
    return _applied(said, found)


def _of(said: Mapping[str, Any]) -> str:
    return next((found for name in IDS if (found := _id(said.get(name)))), "")


def _applied(said: Mapping[str, Any], found: str) -> str | None:
    """Return an id if what is said of it is that it is deleted, or nothing is."""
    action = said.get("action")
    return None if action and str(action).strip().lower() not in DELETES else found


def _id(value: Any) -> str:
    """Return an id as text; "" for what can be none: a sentence, a number with a comma."""
    text = value.strip() if isinstance(value, str) else ""
    return text if text and not any(c.isspace() for c in text) and "," not in text else ""
