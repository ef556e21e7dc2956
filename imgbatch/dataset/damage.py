"""Damage that no look at single parts can tell: who finds it leaves with an error that says how on.

A log of a table that cannot be read, a commit of another program, a dataset without its marker.
What to do is not the same for all tables: a run fills most, a grouping fills labels.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from imgbatch.errors import DamageError

if TYPE_CHECKING:
    from imgbatch.storage import Store

LOG = "_delta_log"
COMMIT = re.compile(r"(\d{20})\.json")
LABELS = "groups/"
STRANGE = "another program committed it"
MANIFEST = "manifest"
TAKES_PARTS = "takes its parts as they lie, and does again only what it finds none for"
LISTS_ANEW = (
    "lists it anew and does again what comes to lie in other shards; then the same with "
    "`--add-input` for each further input"
)


def lost_marker(store: Store, marker: str, wanted: str, words: str) -> DamageError | None:
    """Return the error for a dataset whose marker is lost; None where there is no dataset.

    Args:
        store: at the dataset's root.
        marker: the name of the object that makes it a dataset.
        wanted: what that object should hold.
        words: what is off with it.
    """
    if not store.files(f"{MANIFEST}/{LOG}"):
        return None
    tables = ", ".join(sorted(store.folders("tables"))) or "none"
    return DamageError(
        f"{store.root}/{marker} {words}, and a dataset is there: a manifest, and tables: {tables}",
        f"Put {marker} back from a backup. Where this version of imgbatch made the dataset, write "
        f"it anew with {wanted} in it; then `imgbatch verify DATASET` counts everything again.",
    )


def not_ours(table: str, part: str) -> DamageError:
    """Return the error for a part that no run of ours commits under such a name.

    Args:
        table: below the dataset's root.
        part: its file name.
    """
    said = f"table {table}: part {part}: {STRANGE}"
    if table.startswith(LABELS):
        name = table.removeprefix(LABELS)
        return DamageError(said, f"`imgbatch verify DATASET` says how the labels {name} come anew.")
    return DamageError(said)


def unreadable_log(store: Store, table: str, words: str) -> DamageError:
    """Return the error for a table that cannot be opened: which file of its log is off, and how on.

    Args:
        store: at the dataset's root.
        table: below it.
        words: what the reader of the log said, for what is not found here.
    """
    return DamageError(
        f"table {table} cannot be opened: {_off(store, table) or words}", f"{_how_on(table)}."
    )


def _how_on(table: str) -> str:
    back = "Put that file back from a backup"
    if table.startswith(LABELS):
        name = table.removeprefix(LABELS)
        return f"{back}, or move DATASET/{table} out of the dataset and group {name} again"
    does = LISTS_ANEW if table == MANIFEST else TAKES_PARTS
    aside = f"move DATASET/{table}/{LOG} out of the dataset, whole"
    return f"{back}, or {aside}: `imgbatch run INPUT DATASET` then {does}"


def _off(store: Store, table: str) -> str:
    """Return which file of a log is missing or no JSON; "" where neither is found."""
    names = sorted(name.rpartition("/")[2] for name in store.files(f"{table}/{LOG}"))
    commits = {int(found[1]) for name in names if (found := COMMIT.fullmatch(name))}
    for number in range(max(commits, default=-1) + 1):
        name = f"{table}/{LOG}/{number:020}.json"
        if number not in commits:
            return f"{name} is missing"
        try:
            for line in store.get(name).splitlines():
                json.loads(line)
        except ValueError:
            return f"{name} is damaged"
    return ""
