"""One file, one grouper: finished tables in, one label per row out. The folder is the registry.

A module in this folder is a grouper of that name when it exports:

    VERSION    grows when the same rows and settings would give other labels.
    COLUMNS    the columns of its table, in order, without the keys. The first one is the label:
               rows of one group have the same, and null is no group at all.
    Settings   what `--set KEY=VALUE` sets.
    READS      a function of the settings: the tables that it reads, and which columns of each.
    group      a function of tables, settings and a context: the labels.

A grouper whose labels stay where they are when rows are added exports one more:

    FITTED_BY  a function of the settings: what of them its labels were fitted by. Where that
               differs from what the labels were made with that are there, the grouping is refused,
               unless labels are to be made anew: they would move, and nobody asked for it.

A grouper whose columns tell of other rows of the group (how many, which is best) exports what tells
them again when some were forgotten:

    left       a function of labels, of what is known of them, and of the settings: the same labels
               as they are now. It gets all rows that are left of groups which lost some, and of
               each table in LEFT_READS one row for each of them, all null where there is none.
    LEFT_READS names of those tables that it READS which `left` looks at; without it, none. A
               takedown reads no others for it: vectors of all that is left may not fit in memory.
    ALONE      True where a group comes out the same whatever lies outside of it, but for what was
               near to none: such groups are grouped again by `group`, from their rows alone, and
               `left` is asked only for those whose inputs are not there any more.

What `group` returns has the keys of what it labels (some of KEYS, `source_id` and `version` first)
and then COLUMNS, exactly, one row per key. It depends on the rows alone: never on their order, on
how they lie in parts, or on how many workers there are.

Nothing else is edited to add one: `imgbatch group`, codebook, report and the contract suite find it
here. Groupers never import each other.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from imgbatch.errors import MissingExtraError, SettingsError
from imgbatch.settings import Settings, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from imgbatch.analyzers import Column

# The keys that a row of labels may have, in this order; the first two it always has.
KEYS = ("source_id", "version", "picture_id", "region_id")


class Tables(Protocol):
    """The tables that a grouper said it READS: their committed ok rows, and no others."""

    def batches(self, name: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table in the order of their keys, a few thousand at a time.

        It may be called again, for another pass; the rows were sorted on the disk by the first.

        Returns:
            batches with those of KEYS that the table has, and then the columns asked for.
        """

    def count(self, name: str) -> int:
        """Return how many rows a table has."""

    def made_of(self, name: str) -> Mapping[str, Any]:
        """Return what the rows of a table were made of: analyzer, version, settings, weights.

        All of them alike, or the grouping was refused. Settings are as a recipe has them, so that a
        grouper can ask the same model for more: the texts of a CLIP, say.
        """

    def over(self, name: str, function: Callable[[pa.RecordBatch], pa.Table]) -> pa.Table:
        """Call a function with all rows of a table, some at a time, in any order, on all workers.

        For what takes long and looks at each row by itself: on Ray the rows are read where they are
        worked on. The function is pickled, so it is one of a module, or a `functools.partial` of
        one.

        Args:
            name: of the table.
            function: of a batch such as `batches` yields; returns any rows with `source_id` and
                the other keys, if any.

        Returns:
            what it returned, in the order of the keys.
        """


@dataclass(frozen=True)
class Context:
    """What a grouper may use beside its tables.

    Attributes:
        former: the labels that it gave last time to these rows, or fewer, with the same settings
            (of a grouper with FITTED_BY: with those alike) and version of it, over tables of the
            same fingerprints; for stable ids. None when there are none, or when everything is to
            be labelled anew.
        folder: for temporary files; gone afterwards.
        say: tells whoever waits what is going on.
        write: keeps a file beside the labels, such as a contact sheet. All of them are deleted when
            a source is forgotten, and when labels are committed again.
        read: returns a file that was written with `former`; None where it is not there.
    """

    former: pa.Table | None
    folder: Path
    say: Callable[[str], None]
    write: Callable[[str, bytes], None]
    read: Callable[[str], bytes | None]


class Module(Protocol):
    """What a module of this folder exports; see the top of this file."""

    __name__: str
    VERSION: int
    COLUMNS: tuple[Column, ...]
    Settings: type[Settings]

    def READS(self, settings: Any) -> Mapping[str, Sequence[str]]:  # noqa: N802 - as the other exports
        """Return the tables that it reads, and which columns of each."""

    def group(self, tables: Tables, settings: Any, context: Context) -> pa.Table:
        """Return the labels.

        Raises:
            GroupError: there is nothing that could be grouped as the settings say.
        """


def available() -> list[str]:
    """Return the names of all groupers; imports none of them."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def load(name: str) -> Module:
    """Import one grouper by name.

    Raises:
        SettingsError: there is none of that name; says which are near.
        MissingExtraError: a package that it needs is not installed.
    """
    if name not in available():
        raise SettingsError(
            f"no grouper {name!r}{nearest(name, available())}", "See `imgbatch groupers`."
        )
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"grouper {name} needs the package {error.name}, which is not installed",
        ) from error
    return cast("Module", module)


def describe(name: str) -> Mapping[str, Any]:
    """Return what `imgbatch groupers`, the reference and the codebook show of one grouper."""
    module = load(name)
    return {
        "name": name,
        "summary": (module.__doc__ or "").partition("\n")[0],
        "version": module.VERSION,
        "reads": {
            table: list(columns) for table, columns in module.READS(module.Settings()).items()
        },
        "settings": module.Settings.model_json_schema().get("properties", {}),
        "columns": module.COLUMNS,
    }
