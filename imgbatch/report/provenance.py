"""Enters: a dataset's runs and tables. Leaves: what made its rows, and where the time went."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from imgbatch import analyzers
from imgbatch.errors import MissingExtraError
from imgbatch.report.figures import Bar, bars
from imgbatch.report.weights import Used, used

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgbatch.dataset import Dataset

RUNS_SHOWN = 20
FINGERPRINT_DIGITS = 8


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table: how much of it is there, and what filled it.

    Attributes:
        failed: rows whose own status is failed (of an analyzer's table).
        fingerprint: of the last run that filled it; "" when no run names it.
        others: how many parts an earlier recipe or version filled.
    """

    name: str
    summary: str
    rows: int
    failed: int
    shards_done: int
    shards: int
    version: int
    fingerprint: str
    others: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run, as its record tells it."""

    name: str
    status: str
    started: str
    input: str
    engine: str
    sources: int
    pictures: int
    seconds: float
    size: int

    @property
    def rate(self) -> float | None:
        """Pictures per second, all in; None when none were seen."""
        return self.pictures / self.seconds if self.pictures and self.seconds else None


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made the rows.

    Attributes:
        runs: the newest first, at most RUNS_SHOWN.
        runs_left: how many older ones there are.
        stages: milliseconds by stage, summed over threads, of the last run that did work.
        bottleneck: the name of the largest stage; "" when nothing is known.
        recipe: of the last run, as TOML.
        weights: of all runs.
    """

    runs: tuple[Run, ...]
    runs_left: int
    stages: tuple[Bar, ...]
    stage_seconds: float
    bottleneck: str
    recipe: str
    versions: tuple[tuple[str, str], ...]
    tables: tuple[TableFacts, ...]
    weights: tuple[Used, ...]


def read_provenance(
    dataset: Dataset, state: Mapping[str, Any], failed: Mapping[str, int]
) -> Provenance:
    """Gather the provenance.

    Args:
        dataset: whose tables are looked at.
        state: what `observe.status.status` said of it.
        failed: failed rows by analyzer table.
    """
    records = dataset.runs()
    last = records[-1] if records else {}
    seconds = state["stages"] or _stages(records)
    stages = sorted(seconds.items(), key=lambda item: -item[1])
    return Provenance(
        runs=tuple(_run(record) for record in reversed(records[-RUNS_SHOWN:])),
        runs_left=max(0, len(records) - RUNS_SHOWN),
        stages=bars([(name, round(1000 * spent)) for name, spent in stages]),
        stage_seconds=sum(seconds.values()),
        bottleneck=stages[0][0] if stages else "",
        recipe=to_toml(last.get("recipe", {})),
        versions=tuple((str(k), str(v)) for k, v in last.get("versions", {}).items()),
        tables=tuple(
            _table(dataset, name, facts, last.get("tables", {}).get(name, ""), failed.get(name, 0))
            for name, facts in state["tables"].items()
        ),
        weights=used(records),
    )


def _stages(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the stages of the newest record that has some."""
    return next((dict(r["stages"]) for r in reversed(records) if r.get("stages")), {})


def _run(record: Mapping[str, Any]) -> Run:
    return Run(
        name=str(record.get("run", "")),
        status=str(record.get("status", "")),
        started=moment(record.get("started")),
        input=str(record.get("input", "")),
        engine=str(record.get("engine", "")),
        sources=int(record.get("sources", 0)),
        pictures=int(record.get("pictures", 0)),
        seconds=float(record.get("seconds", 0)),
        size=int(record.get("bytes", 0)),
    )


def moment(text: Any) -> str:
    """Return an ISO time as `2026-11-21 02:10 UTC`; anything else as it is."""
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return "" if text is None else str(text)
    return f"{when:%Y-%m-%d %H:%M} {when.tzname() or ''}".rstrip()


def _table(
    dataset: Dataset, name: str, facts: Mapping[str, int], fingerprint: str, failed: int
) -> TableFacts:
    table = dataset.table(f"tables/{name}")
    made_by = Counter(part.fingerprint for part in table.parts().values())
    own = made_by.get(fingerprint[:FINGERPRINT_DIGITS], 0)
    return TableFacts(
        name=name,
        summary=_summary(name),
        rows=facts["rows"],
        failed=failed,
        shards_done=facts["shards_done"],
        shards=facts["shards"],
        version=table.version,
        fingerprint=fingerprint,
        others=made_by.total() - own if fingerprint else 0,
    )


def _summary(name: str) -> str:
    """Return what an analyzer says of itself; nothing when it is not installed here."""
    if name not in analyzers.available():
        return ""
    try:
        analyzers.load(name)
    except MissingExtraError:
        return ""
    return analyzers.summary(name)


def to_toml(recipe: Mapping[str, Any]) -> str:
    """Return a recorded recipe as the TOML that would give it; "" when there is none."""
    if not recipe:
        return ""
    lines = _section("media", recipe.get("media", {}))
    for name, settings in recipe.get("analyzers", {}).items():
        lines += ["", *_section(f"analyzers.{name}", settings)]
    return "\n".join(lines)


def _section(title: str, settings: Mapping[str, Any]) -> list[str]:
    plain = {k: v for k, v in settings.items() if not isinstance(v, dict)}
    lines = [f"[{title}]", *(f"{k} = {json.dumps(v)}" for k, v in plain.items() if v is not None)]
    for key, value in settings.items():
        if isinstance(value, dict):
            lines += _section(f"{title}.{key}", value)
    return lines
