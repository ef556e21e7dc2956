"""Enters: a table of a dataset. Leaves: what its rows were made of, as its parts and runs say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from imgbatch.dataset.parts import readable
from imgbatch.errors import DatasetError

if TYPE_CHECKING:
    from imgbatch.dataset import Dataset, Part


def made_of(dataset: Dataset, name: str) -> dict[str, Any]:
    """Return what the rows of a table were made of, by one of its parts.

    Whoever needs all parts to be made alike looks at their names first. A part says of weights of
    the user's own which they are, and not where they lie: that is in the record of the run.

    Returns:
        fingerprint, analyzer, version, settings, media, media_version; weights where it has some.

    Raises:
        DatasetError: it has no rows.
        DamageError: the part, or the record of a run, cannot be read.
    """
    parts = [part for part in dataset.table(f"tables/{name}").parts().values() if part.rows]
    if not parts:
        raise DatasetError(f"table {name} has no rows", "Run first: `imgbatch run INPUT DATASET`.")
    told = _told(dataset, parts[0])
    made: dict[str, Any] = {"fingerprint": told["fingerprint"], **json.loads(told["made_of"])}
    if _lacks_place(made.get("settings", {})):
        made["settings"] = _settings(dataset, name, made)
    return made


def _told(dataset: Dataset, part: Part) -> dict[str, str]:
    """Return what a part says of itself; only its footer is read."""
    name = f"{part.table}/{part.path}"
    with readable(name), dataset.store.open(name) as file:
        metadata = pq.read_schema(file).metadata or {}
    told = {key.decode(): value.decode() for key, value in metadata.items()}
    return {key.removeprefix("imgbatch."): value for key, value in told.items()}


def _lacks_place(value: Any) -> bool:
    """Tell whether settings name weights by their digest alone."""
    if isinstance(value, dict):
        return set(value) == {"sha256"} or any(map(_lacks_place, value.values()))
    return isinstance(value, list) and any(map(_lacks_place, value))


def _settings(dataset: Dataset, name: str, made: dict[str, Any]) -> dict[str, Any]:
    """Return the settings as the newest run that made such rows was told them."""
    for run in reversed(dataset.runs()):
        told = run.get("recipe", {}).get("analyzers", {})
        if run.get("tables", {}).get(name) == made["fingerprint"] and made["analyzer"] in told:
            return dict(told[made["analyzer"]])
    return dict(made["settings"])
