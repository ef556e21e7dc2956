"""Enters: a dataset, and maybe a table's name. Leaves: the vectors that may be compared.

Two vectors compare only where the same code, settings, weights and pixels made them: all parts of a
table that is searched have one fingerprint, and a photo from outside is analysed as they were.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pyarrow.compute as pc

from imgbatch import analyzers
from imgbatch.dataset import SOURCES, Dataset, pages
from imgbatch.dataset.made import made_of
from imgbatch.dataset.state import unlocked
from imgbatch.errors import SearchError, SettingsError
from imgbatch.settings import nearest, recipe_of
from imgbatch.tables import table_specs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import pyarrow as pa

    from imgbatch.dataset import Table
    from imgbatch.dataset.pages import Seen
    from imgbatch.settings import Recipe

Grain = Literal["picture", "region"]

# A column of that name holds vectors; where a table has several, the first counts.
VECTORS = ("embedding", "pixels")
# What is searched when no table is named: the first of these that is there.
PREFERRED = ("embed", "clip", "classic")
RUN_AGAIN = (
    "Bring the dataset up to date with one recipe, `imgbatch run INPUT DATASET --recipe RECIPE`; "
    "then search again."
)
LACKING = {
    "picture": "Add [analyzers.classic] to the recipe (it needs no weights), or [analyzers.embed] "
    "or [analyzers.clip], and run again.",
    "region": "Add [analyzers.faces] to the recipe with a pack as its detector and "
    "recognition = true, and run again.",
}
KEYS = ("source_id", "version", "picture_id", "frame", "time")
REGION_KEYS = ("region", "region_id")
BOX = ("x_share", "y_share", "width_share", "height_share")


@dataclass(frozen=True, slots=True)
class Space:
    """The vectors of one table, all made alike.

    Attributes:
        dataset: it is in.
        seen: of takedowns, before anything was read.
        table: its name below `tables/`.
        column: holds the vectors.
        grain: what has a vector: a picture, or a region of one (a face).
        fingerprint: of everything that the vectors depend on.
        made_of: analyzer, version, settings, weights and media settings; see `dataset.made`.
    """

    dataset: Dataset
    seen: Seen
    table: str
    column: str
    grain: Grain
    fingerprint: str
    made_of: Mapping[str, Any]

    @property
    def analyzer(self) -> str:
        """The analyzer that made the vectors."""
        return str(self.made_of["analyzer"])

    @property
    def model(self) -> str:
        """What makes the vectors: the model that the settings name, with the digest of its weights.

        The analyzer itself where there is none.
        """
        digests = ", ".join(digest[:12] for digest in self.made_of.get("weights", {}).values())
        return f"{self.named} (sha256 {digests})" if digests else self.named

    @property
    def named(self) -> str:
        """The name of that model, as the settings have it."""
        settings = self.made_of.get("settings", {})
        return str(settings.get("model") or settings.get("detector") or self.analyzer)

    @property
    def key(self) -> str:
        """The column that names what has a vector."""
        return "picture_id" if self.grain == "picture" else "region_id"

    @property
    def rows(self) -> Table:
        """The table."""
        return self.dataset.table(f"tables/{self.table}")

    def columns(self) -> list[str]:
        """Return the names of the keys that its rows have, and of what places a region."""
        names = self.rows.schema().names
        return [name for name in (*KEYS, *REGION_KEYS, *BOX, "score") if name in names]

    def batches(
        self, only: Collection[str] | None = None, where: pc.Expression | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield keys and vectors, without the rows that have none, a few parts in memory at a time.

        Args:
            only: the file names of the parts to read; all by default.
            where: a filter besides.
        """
        there = pc.field(self.column).is_valid()
        if "status" in self.rows.schema().names:
            there &= pc.field("status") == "ok"
        wanted = there if where is None else there & where
        return self.rows.batches([*self.columns(), self.column], wanted, only)

    def recipe(self) -> Recipe:
        """Return the recipe that makes such vectors of a photo, here and now.

        Raises:
            SearchError: this imgbatch would make others: another version, or other weights.
            MissingExtraError: what the analyzer needs is not installed.
        """
        settings = {self.analyzer: self.made_of["settings"]}
        raw = {"media": self.made_of["media"], "analyzers": settings}
        try:
            recipe = recipe_of(raw, settings_of=analyzers.settings_of)
            made = {spec.fingerprint for spec in table_specs(recipe)}
        except SettingsError as error:
            raise _other_version(self, str(error)) from error
        if self.fingerprint not in made:
            raise _other_version(self, "analyzer, media or weights have another version")
        return recipe


def _other_version(space: Space, why: str) -> SearchError:
    return SearchError(
        f"the vectors of table {space.table} were made by another imgbatch than this one, so a "
        f"photo from outside cannot be compared with them: {why}",
        f"{RUN_AGAIN} A photo that is a source of the dataset needs no analyzer.",
    )


def open_space(
    dataset: Dataset,
    on: str | None,
    *,
    grain: Grain = "picture",
    preferred: Sequence[str] = PREFERRED,
) -> Space:
    """Return the vectors of a table.

    Args:
        dataset: it is in.
        on: its name; by default the first of `preferred` that is there, else the only one.
        grain: what must have a vector.
        preferred: names of tables.

    Raises:
        SearchError: no such table, none with vectors, none chosen of several, an empty one, or one
            whose parts were made by more than one recipe.
    """
    seen = pages.look(dataset)
    dataset = Dataset.open(dataset.url)  # as it is from here on, whatever was opened before
    with unlocked(dataset):
        return _opened(dataset, seen, on, grain, preferred)


def _opened(
    dataset: Dataset, seen: Seen, on: str | None, grain: Grain, preferred: Sequence[str]
) -> Space:
    columns = _vector_tables(dataset, grain)
    table = on if on in columns else _chosen(dataset, columns, on, grain, preferred)
    parts = [part for part in dataset.table(f"tables/{table}").parts().values() if part.rows]
    if not parts:
        raise SearchError(
            f"table {table} has no rows yet", "Run first: `imgbatch run INPUT DATASET`."
        )
    made_by = Counter(part.fingerprint for part in parts)
    if len(made_by) > 1:
        counts = ", ".join(f"{count:,} of {name}" for name, count in made_by.most_common())
        raise SearchError(
            f"the parts of table {table} were made by {len(made_by)} recipes or versions "
            f"({counts}): their vectors do not compare",
            RUN_AGAIN,
        )
    made = made_of(dataset, table)
    return Space(dataset, seen, table, columns[table], grain, made["fingerprint"], made)


def _vector_tables(dataset: Dataset, grain: Grain) -> dict[str, str]:
    """Return the column with vectors of each table that has one."""
    found = {}
    for name in dataset.tables():
        names = dataset.table(f"tables/{name}").schema().names
        column = next((column for column in VECTORS if column in names), None)
        if name != SOURCES and column and ("region" in names) == (grain == "region"):
            found[name] = column
    return found


def _chosen(
    dataset: Dataset,
    columns: Mapping[str, str],
    on: str | None,
    grain: Grain,
    preferred: Sequence[str],
) -> str:
    what = "pictures" if grain == "picture" else "faces"
    if on is not None:
        if on in dataset.tables():
            raise SearchError(f"table {on} has no vectors of {what}{nearest(on, list(columns))}")
        raise SearchError(f"no table {on!r} in {dataset.url}{nearest(on, list(columns))}")
    only = list(columns) if len(columns) == 1 else []
    for name in [*preferred, *only]:
        if name in columns:
            return name
    if columns:
        known = ", ".join(sorted(columns))
        raise SearchError(f"several tables have vectors: {known}", "Name one with --on TABLE.")
    raise SearchError(f"no table of {dataset.url} has vectors of {what}", LACKING[grain])
