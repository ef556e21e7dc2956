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
        SettingsError: a quotation mark never ends, or a field is too long.
    """
    header = lines[first : first + 1]
    column = _column(header)
    # Strict: what stands behind a quotation mark that never ends would be one row without a word.
    reader = csv.DictReader(lines[first:], delimiter=_delimiter(header), strict=True)
    try:
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
        for row in reader:
            yield first + reader.line_num, _action(row), _id(row.get(column))
    except csv.Error as error:
        raise SettingsError(
            f"no CSV from line {first + reader.line_num}: {error}", FORMS
        ) from error


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
