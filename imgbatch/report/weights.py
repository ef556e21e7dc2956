"""Enters: a dataset's runs. Leaves: the weights that its rows came from, and their licences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Used:
    """Weights that some run worked with.

    Attributes:
        name: of the model, or where the user's own lay.
        limits: what their licence does not allow; "" where nothing, or nobody told us.
    """

    analyzer: str
    name: str
    sha256: str
    licence: str
    limits: str


def used(runs: Sequence[Mapping[str, Any]]) -> tuple[Used, ...]:
    """Return the weights that the records of runs name, each once, those of the last run first."""
    said = [
        Used(*(str(weights.get(key, "")) for key in Used.__slots__))
        for run in reversed(runs)
        for weights in run.get("weights", ())
    ]
    return tuple(dict.fromkeys(said))


def limited(weights: Sequence[Used]) -> list[str]:
    """Return a sentence for each model whose licence has limits."""
    analyzers: dict[tuple[str, str], list[str]] = {}
    for each in weights:
        if each.limits:
            analyzers.setdefault((each.name, each.limits), []).append(each.analyzer)
    return [
        f"Rows of {' and '.join(dict.fromkeys(names))} come from {name}. {limits}"
        for (name, limits), names in analyzers.items()
    ]
