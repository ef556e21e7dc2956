"""A file of deleted posts enters, as platforms and people write them; ids leave.

Known, line by line: an id alone; a column of a CSV; and JSON lines with an id, among them X's
notices of the streams (`{"delete": {"status": {"id_str": ...}}}`, and within `data` of its newer
form `{"delete": {"tweet": {"id": ...}}}`) and of batch compliance (`{"id": ..., "action":
"delete"}`). `{"user_delete": {"id": ...}}`, or newer `{"user_delete": {"user": {"id": ...}}}`, is
of all posts of an author, unless a later line takes it back (`user_undelete`). What is no deletion
(an account that is protected, a place that is taken back) is counted by its name.

Decision, 2026-11: `user_protect` and `user_suspend` are not applied: they come and go, and to
forget is for good. Drawback: who has to suppress such authors names their posts himself.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imgbatch.errors import SettingsError

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
    lines = text.removeprefix(BOM).splitlines()
    first = next((line.strip() for line in lines if line.strip() and line[0] != "#"), "")
    names = [name.strip().lower() for name in next(csv.reader([first]), [])]
    column = next((name for name in IDS if name in names), None)
    posts: dict[str, None] = {}
    authors: dict[str, None] = {}
    others: Counter[str] = Counter()
    wrong = []
    for number, event, own in _rows(lines, column) if column else _each(lines):
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
            "One id per line, a CSV with a column `id` or `post_id`, or JSON lines. Nothing was "
            "changed.",
        )
    return Deletions(list(posts), list(authors), others)


def _rows(lines: list[str], column: str) -> Iterator[tuple[int, str, str]]:
    """Yield of each row its line, what happened, and the id of what it happened to."""
    reader = csv.DictReader(lines)
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
    for row in reader:
        yield reader.line_num, _action(row), _id(row.get(column))


def _each(lines: list[str]) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(lines, 1):
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        event, own = _notice(said) if said.startswith("{") else (DELETE, _id(said.strip("\"', ")))
        yield number, event, own


def _notice(line: str) -> tuple[str, str]:
    """Return what happened by a JSON line, and to which id; "" where there is none."""
    try:
        # Digits as they stand: a number would lose those behind the sixteenth in other programs.
        said = json.loads(line, parse_int=str)
    except ValueError:
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
    """Return an id as text; "" for what can be none: a sentence, a number with a comma."""
    text = value.strip() if isinstance(value, str) else ""
    return text if text and not any(c.isspace() for c in text) and "," not in text else ""
