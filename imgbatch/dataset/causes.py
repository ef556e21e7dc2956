"""A work and one of its tables enter; why it is to be done leaves, and what made the difference."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imgbatch.dataset import SOURCES
from imgbatch.dataset.parts import read_part
from imgbatch.errors import DamageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from imgbatch.dataset import Dataset, Part, TableSpec
    from imgbatch.dataset.plan import Work

NEW, CHANGED, REMOVED = "new", "changed", "removed"
ANALYZER_CHANGED, NEW_ANALYZER, INTERRUPTED = "analyzer changed", "new analyzer", "interrupted"
CAUSES = (NEW, CHANGED, REMOVED, ANALYZER_CHANGED, NEW_ANALYZER, INTERRUPTED)

UNREADABLE = "what its parts were made of cannot be read; `imgbatch verify` tells more"


class Causes:
    """Why shards are to be done, as far as it is not a source that changed.

    Args:
        fresh: names of the shards that new sources will be cut into.
    """

    def __init__(
        self, dataset: Dataset, specs: Sequence[TableSpec], fresh: Collection[str]
    ) -> None:
        self._dataset = dataset
        self._specs = {spec.name: spec for spec in specs}
        self._fresh = fresh
        self._last = {
            spec.name: {part.shard: part for part in dataset.table(spec.path).parts().values()}
            for spec in specs
        }
        runs = dataset.runs()
        self._asked = set(runs[-1]["tables"]) if runs else set()
        self._differences: dict[tuple[str, str], tuple[str, ...]] = {}

    def of(self, work: Work, table: str) -> str:
        """Return why a table of a shard is to be done for sources that are as they were."""
        if work.shard.name in self._fresh:
            return NEW
        last = self._last[table].get(work.shard.name)
        if last is not None:
            same = last.fingerprint == self._specs[table].short
            return INTERRUPTED if same else ANALYZER_CHANGED
        seen = work.shard.name in self._last[SOURCES]
        return NEW_ANALYZER if seen and table not in self._asked else INTERRUPTED

    def differences(self, work: Work, table: str) -> tuple[str, ...]:
        """Return what changed since the shard's part was written: `blank_levels 2.0 -> 9.0`."""
        last = self._last[table][work.shard.name]
        key = (table, last.fingerprint)
        if key not in self._differences:
            self._differences[key] = self._compare(last, self._specs[table])
        return self._differences[key]

    def _compare(self, last: Part, spec: TableSpec) -> tuple[str, ...]:
        try:
            rows, _ = read_part(self._dataset.store, last)
        except DamageError:
            return (UNREADABLE,)
        made_of = (rows.schema.metadata or {})[b"imgbatch.made_of"]
        return tuple(differences(json.loads(made_of), json.loads(spec.metadata["made_of"])))


def differences(former: Mapping[str, Any], now: Mapping[str, Any], at: str = "") -> list[str]:
    """Return one line for each value that differs between two nested mappings of settings."""
    lines = []
    for key in sorted({*former, *now}):
        # An analyzer's own settings are named as in its table of the recipe.
        name = key if at in ("", "settings") else f"{at}.{key}"
        old, new = former.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += differences(old, new, name)
        elif old != new:
            shown = [
                json.dumps(side[key]) if key in side else "(not there)" for side in (former, now)
            ]
            lines.append(f"{name} {shown[0]} -> {shown[1]}")
    return lines
