"""Enters: a dataset. Leaves: all that its page tells, in the order of the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
from pydantic import ValidationError

from imgbatch.dataset import SOURCES, posts
from imgbatch.dataset.parts import readable
from imgbatch.observe.status import status
from imgbatch.report.corpus import Corpus, read_corpus
from imgbatch.report.distributions import Summary, analyzer_tables, summaries
from imgbatch.report.labelled import Labels, read_labels
from imgbatch.report.outcomes import Outcomes, read_outcomes
from imgbatch.report.provenance import Provenance, moment, read_provenance
from imgbatch.report.sheet import Strip, contact_sheet, end_strips, sources_of, video_strip
from imgbatch.report.thumbnails import HEIGHT, Thumbnail
from imgbatch.report.thumbnails import thumbnails as make_thumbnails
from imgbatch.report.timeline import TimeLine, time_lines
from imgbatch.report.weights import limited
from imgbatch.report.words import counted, number, share
from imgbatch.settings import MediaSettings, read_limits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgbatch.dataset import Dataset
    from imgbatch.report.codebook import Entry

FIGURES_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Story:
    """What the page tells.

    Attributes:
        name: of the dataset: the last part of its address.
        written: when the page was made.
        updated: when the last run ended, or began; "" when there was none.
        inputs: what the runs read, each once.
        corpus: None when no source has an outcome yet.
        findings: sentences about what a reader should know first.
        strips: pictures to show; empty when thumbnails are left out.
        figures_left: how many summaries have no place on the page.
        posts: what bringing the posts of a dump came to; None where none were.
    """

    name: str
    url: str
    written: str
    updated: str
    inputs: tuple[str, ...]
    outcomes: Outcomes
    corpus: Corpus | None
    findings: tuple[str, ...]
    strips: tuple[Strip, ...]
    thumbnails: Mapping[str, Thumbnail]
    with_thumbnails: bool
    labels: tuple[Labels, ...]
    summaries: tuple[Summary, ...]
    figures_left: int
    time_lines: tuple[TimeLine, ...]
    provenance: Provenance
    codebook: Sequence[Entry]
    posts: Mapping[str, Any] | None = None


def dataset_name(dataset: Dataset) -> str:
    """Return the last part of a dataset's address."""
    return dataset.url.rstrip("/").rpartition("/")[2] or dataset.url


def tell(dataset: Dataset, codebook: Sequence[Entry], *, thumbnails: bool) -> Story:
    """Read everything that the page tells."""
    state = status(dataset)
    has_sources = SOURCES in dataset.tables()
    outcomes = read_outcomes(dataset, sources=state["sources"])
    corpus = read_corpus(dataset) if has_sources else None
    tables = analyzer_tables(dataset)
    failed = {name: _failed(dataset, name) for name in tables}
    provenance = read_provenance(dataset, state, failed)
    strips = _strips(dataset) if has_sources and thumbnails else []
    labels = read_labels(dataset, thumbnails=has_sources and thumbnails)
    shown = sources_of([*strips, *(strip for one in labels for strip in one.strips)])
    last = state["last_run"] or {}
    found = [s for table in tables for s in summaries(dataset, table)]
    return Story(
        name=dataset_name(dataset),
        url=dataset.url,
        written=moment(datetime.now(UTC).isoformat(timespec="seconds")),
        updated=moment(last.get("finished") or last.get("started")),
        inputs=tuple(dict.fromkeys(str(run.get("input", "")) for run in dataset.runs())),
        outcomes=outcomes,
        corpus=corpus,
        findings=(*findings(outcomes, corpus, provenance, labels), *_marked(codebook)),
        strips=tuple(strips),
        thumbnails=make_thumbnails(shown, _media(last), read_limits()),
        with_thumbnails=thumbnails,
        labels=labels,
        summaries=tuple(found[:FIGURES_SHOWN]),
        figures_left=max(0, len(found) - FIGURES_SHOWN),
        time_lines=tuple(time_lines(dataset)),
        provenance=provenance,
        codebook=codebook,
        posts=(posts.record(dataset) or {}).get("counts") if posts.here(dataset) else None,
    )


def _strips(dataset: Dataset) -> list[Strip]:
    strips = [contact_sheet(dataset), *end_strips(dataset), video_strip(dataset)]
    return [strip for strip in strips if strip.choices]


def _failed(dataset: Dataset, table: str) -> int:
    path = f"tables/{table}"
    if "status" not in dataset.table(path).schema().names:
        return 0
    with readable(path):
        return int(dataset.table(path).dataset().count_rows(filter=pc.field("status") == "failed"))


def _media(last_run: Mapping[str, Any]) -> MediaSettings:
    """Return settings that decode as the last run did, and no larger than a thumbnail needs."""
    recorded = last_run.get("recipe", {}).get("media", {})
    try:
        settings = MediaSettings.model_validate(recorded)
    except ValidationError:
        # Another version of imgbatch wrote the record: thumbnails need nothing of it.
        settings = MediaSettings()
    return settings.model_copy(update={"min_side": HEIGHT, "exact": False})


def findings(
    outcomes: Outcomes,
    corpus: Corpus | None,
    provenance: Provenance,
    labels: Sequence[Labels] = (),
) -> list[str]:
    """Return what a reader should know first, the worst first."""
    return [
        *_undone(outcomes, provenance),
        *_losses(outcomes, provenance),
        *_copies(corpus, outcomes),
        *_mixtures(provenance),
        *_old(labels),
        *limited(provenance.weights),
    ]


def _marked(codebook: Sequence[Entry]) -> list[str]:
    """Say which columns tell people apart, what a model takes them for, or what they wrote."""
    told = {
        "biometric": "It holds biometric data, which tells people apart",
        "sensitive": "It holds what a model perceives of people, which is no fact about them",
        "personal": "It holds who people are and what they wrote",
    }
    found = []
    for mark, says in told.items():
        names = [f"{entry.table}.{entry.column}" for entry in codebook if entry.mark == mark]
        if names:
            found.append(f"{says}: {', '.join(names)}.")
    return found


def _old(labels: Sequence[Labels]) -> list[str]:
    return [
        f"The groups {one.name} are older than the table {' and '.join(one.stale)}: group again."
        for one in labels
        if one.stale
    ] + [
        f"The groups {one.name} were made of {counted(one.left, 'row')} too that were forgotten "
        "since. They are counted without these; what is measured from centers that were made of "
        "them changes when they are grouped again."
        for one in labels
        if one.left
    ]


def _undone(outcomes: Outcomes, provenance: Provenance) -> list[str]:
    found = []
    if outcomes.open:
        found.append(
            f"{number(outcomes.open)} of {number(outcomes.sources)} sources have no outcome yet: "
            "run the same command again to finish them."
        )
    elif any(table.shards_done < table.shards for table in provenance.tables):
        names = [t.name for t in provenance.tables if t.shards_done < t.shards]
        found.append(
            f"Not all shards are in the tables {', '.join(names)}: a run was interrupted or goes "
            "on, or a later recipe left the table out."
        )
    if provenance.runs and provenance.runs[0].status in ("failed", "interrupted"):
        found.append("The last run did not finish; what it had committed is here.")
    return found


def _losses(outcomes: Outcomes, provenance: Provenance) -> list[str]:
    found = []
    if outcomes.failed:
        most = max((c for c in outcomes.classes if c.status == "failed"), key=lambda c: c.count)
        found.append(
            f"{number(outcomes.failed)} of {number(outcomes.sources)} sources failed "
            f"({share(outcomes.failed, outcomes.sources)}), most often as {most.name} "
            f"({number(most.count)})."
        )
    found += [
        f"The analyzer {table.name} failed on {number(table.failed)} of {number(table.rows)} rows."
        for table in provenance.tables
        if table.failed
    ]
    return found


def _copies(corpus: Corpus | None, outcomes: Outcomes) -> list[str]:
    if corpus is None or not corpus.copies.extra:
        return []
    copies = corpus.copies
    part = share(copies.extra, outcomes.ok)
    counts = f"{number(copies.extra)} of {number(outcomes.ok)}"
    return [f"{counts} ok sources are exact copies of another ({part})."]


def _mixtures(provenance: Provenance) -> list[str]:
    return [
        f"{number(table.others)} parts of the table {table.name} come from an earlier recipe or "
        "version; run again to bring them up to date."
        for table in provenance.tables
        if table.others
    ]
