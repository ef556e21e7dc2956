"""Labels are looked at by verify: what a run does for other tables. They leave in `labels_leaving`.

check     damage: a part that is not as committed, a row twice, rows of sources that are not
          there. Labels that are older than their tables are no damage: they are said to be stale,
          and how many of their rows are of sources that left since.
older     that labels are older than their tables, in words.
outdated  labels of rows that are no more.
files     what lies beside labels that are as they were made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import SOURCES, groups
from imgbatch.dataset.again import command
from imgbatch.dataset.damage import STRANGE
from imgbatch.dataset.leftovers import unnamed
from imgbatch.dataset.parts import read_part
from imgbatch.errors import DamageError, DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imgbatch.dataset import Dataset, Table

KEYS = ("source_id", "version", "picture_id", "region_id")
OF_NONE = "are of sources that are not there, or of other versions"


@dataclass(slots=True)
class Checked:
    """What is known of all labels.

    Attributes:
        rows: of each table of labels.
        problems: one line for each thing that is off.
        notes: what a reader should know, and is no damage.
        orphans: files that no commit names.
    """

    rows: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)


def check(dataset: Dataset) -> Checked:
    """Read all labels and check them against their commits and the table `sources`."""
    found = Checked()
    for name in dataset.folders(groups.FOLDER):
        try:
            table = dataset.table(groups.path_of(name))
            made = groups.record(table)
        except DamageError as error:
            found.problems.append(f"{error}: {error.remedy}")
            continue
        if made is not None:
            _check(dataset, name, made, found)
        found.orphans += _orphans(dataset, table, made)
    return found


def _check(dataset: Dataset, name: str, made: Mapping[str, Any], found: Checked) -> None:
    table = dataset.table(groups.path_of(name))
    where, again = f"groups {name}", f"group again: `{command(name, made)}"
    # What is damaged is not taken over.
    anew = f"{again} --anew`"
    before = len(found.problems)
    rows = list(_rows(dataset, table, f"{where}: {{}}: {anew}", found))
    whole = pa.concat_tables([table.schema().empty_table(), *rows], promote_options="default")
    found.rows[name] = whole.num_rows
    key = [column for column in KEYS if column in whole.column_names][-1]
    if pc.count_distinct(whole[key]).as_py() != whole.num_rows:
        found.problems.append(f"{where}: a {key} has two rows: {anew}")
    try:
        stale = groups.stale(dataset, made)
    except DamageError:
        return  # verify names the table whose log it is itself
    if stale:
        since = f"{' and '.join(stale)} changed since"
        if left := made.get("left", 0):
            since += f", made of {left:,} rows too that were forgotten"
        if dead := _dead(dataset, whole):
            since += f", {dead:,} of {whole.num_rows:,} rows {OF_NONE}"
        found.notes.append(f"{where}: stale, {since}: {again}`")
    elif len(found.problems) == before:
        found.problems += [
            f"{where}: {problem}: {anew}" for problem in _unlike(dataset, whole, made)
        ]
    gone = [file for file in made["files"] if groups.read_file(dataset, name, made, file) is None]
    if gone:
        found.notes.append(
            f"{where}: {len(gone)} files beside the labels are gone, as a forget deletes them"
        )


def _rows(dataset: Dataset, table: Table, said: str, found: Checked) -> Iterator[pa.Table]:
    """Yield the rows of each part that can be read; a problem is said in `{}` of `said`."""
    digests = table.digests()
    for part in table.committed().values():
        if not part.is_ours:
            found.problems.append(said.format(f"part {part.path}: {STRANGE}"))
            continue
        try:
            read, sha256 = read_part(dataset.store, part)
        except DamageError as error:
            found.problems.append(said.format(error))
            continue
        yield read.replace_schema_metadata(None)
        if sha256 != digests.get(part.path) or read.num_rows != part.rows:
            off = f"part {part.path} is not the one that was committed"
            found.problems.append(said.format(off))


def _unlike(dataset: Dataset, labels: pa.Table, made: Mapping[str, Any]) -> list[str]:
    """Return what is off with labels whose tables are as they were."""
    problems = []
    if labels.num_rows != made["rows"]:
        problems.append(f"{labels.num_rows} rows, its commit says {made['rows']}")
    if dead := _dead(dataset, labels):
        problems.append(f"{dead} rows {OF_NONE}")
    return problems


def _dead(dataset: Dataset, labels: pa.Table) -> int:
    """Return how many rows are of no source that is there and ok, as it is now.

    Where `sources` cannot be read nothing is counted: verify names its damaged part itself.
    """
    try:
        ok = dataset.read(
            SOURCES, columns=["source_id", "version"], where=pc.field("status") == "ok"
        )
    except DatasetError:  # damaged, or not there: it is said of the table itself
        return 0
    place = pc.index_in(labels["source_id"], value_set=ok["source_id"])
    same = pc.equal(ok["version"].take(place), labels["version"])
    return pc.sum(pc.invert(pc.fill_null(same, fill_value=False))).as_py() or 0


def older(dataset: Dataset, labels: pa.Table, made: Mapping[str, Any]) -> str:
    """Return in words that labels are older than their tables, as `status` says it; "" if not.

    Args:
        dataset: they are in.
        labels: all of them.
        made: their record.
    """
    stale = groups.stale(dataset, made)
    if not stale:
        return ""
    dead = _dead(dataset, labels)
    of = f", {dead:,} of {labels.num_rows:,} rows {OF_NONE}" if dead else ""
    return f"older than {' and '.join(stale)}{of}: group again"


def _orphans(dataset: Dataset, table: Table, made: Mapping[str, Any] | None) -> list[str]:
    own: set[str] = set()
    if made is not None:
        own = {f"{table.name}/{groups.FILES}/{made['run']}/{file}" for file in made["files"]}
    # What another program committed goes when the labels come anew: until then the table needs it.
    own |= {f"{table.name}/{path}" for path in table.committed()}
    return [name for name in unnamed(dataset, table) if name not in own]


def outdated(dataset: Dataset) -> list[str]:
    """Return the names of labels made of rows that are no more: their table was made otherwise.

    Labels that only lack later sources, or have former ones, are not among them.
    """
    found = []
    for name in dataset.folders(groups.FOLDER):
        table = dataset.table(groups.path_of(name))
        made = groups.record(table)
        if made and table.committed() and _is_outdated(dataset, made):
            found.append(name)
    return found


def files(dataset: Dataset) -> set[str]:
    """Return the names of the files beside labels that have rows and are not outdated.

    Not of labels that a takedown wrote again: the files may show what left the rows.
    """
    old = outdated(dataset)
    found: set[str] = set()
    for name in dataset.folders(groups.FOLDER):
        table = dataset.table(groups.path_of(name))
        told = next((one for one in table.history() if groups.SAID in one), None)
        if told is None or name in old or not table.committed():
            continue
        made = json.loads(told[groups.SAID])
        if told["run"] == made["run"]:
            found.update(groups.file_name(name, made["run"], file) for file in made["files"])
    return found


def _is_outdated(dataset: Dataset, made: Mapping[str, Any]) -> bool:
    for own, read in made["tables"].items():
        parts = dataset.table(f"tables/{own}").parts().values()
        if own != SOURCES and read["fingerprint"] not in {part.fingerprint for part in parts}:
            return True
    return False
