"""A dataset that somebody reads without its lock, and what others do to it meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch import search
from imgbatch.dataset import Dataset, ordered
from imgbatch.dataset import export as exporting
from imgbatch.dataset.forget import forget
from imgbatch.dataset.given import given, look_up
from imgbatch.errors import BusyError, DamageError
from imgbatch.fitting import FitWish, fit
from imgbatch.search import page
from imgbatch.settings import Limits
from tests import corpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from imgbatch.dataset import Table

RECIPE = '[analyzers.classic]\n[analyzers.pixels]\nwidth = 8\nheight = 8\nmode = "L"\n'
LIMITS = Limits(threads=2)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the dataset `d` of six photos in `in`, and labels of four: `train.csv`."""
    corpus.many(tmp_path / "in", 6)
    corpus.run_inline(tmp_path / "in", tmp_path / "d", recipe=RECIPE)
    lines = [f"{n:05}.jpg,{'ab'[n % 2]}" for n in range(4)]
    (tmp_path / "train.csv").write_text("\n".join(["filepath,label", *lines]))
    return tmp_path


def forgets(place: Path) -> None:
    """Take a source down, as another process would."""
    other = Dataset.open(str(place / "d"))
    forget(other, look_up(other, [given(str(place / "in" / "00005.jpg"))]))


def damages(place: Path) -> None:
    """Delete all parts of a table, and tell nobody."""
    for table in ("pixels", "classic", "sources"):
        for part in (place / "d" / "tables" / table).glob("*.parquet"):
            part.unlink()


def nothing(place: Path) -> None:
    """Leave all as it is."""


def fits(place: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Path], None]) -> None:
    batches = ordered.Ordered.batches

    def late(self: ordered.Ordered, name: str) -> Iterator[pa.RecordBatch]:
        meanwhile(place)
        yield from batches(self, name)

    monkeypatch.setattr(ordered.Ordered, "batches", late)
    wish = FitWish(str(place / "d"), str(place / "train.csv"), "pixels", "bayes")
    fit(wish, str(place / "m.skops"), LIMITS)


def searches(
    place: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Path], None]
) -> None:
    ask = search.ask

    def late(space: search.Space, photo: str, limits: Limits) -> list[search.Query]:
        meanwhile(place)
        return ask(space, photo, limits)

    monkeypatch.setattr(search, "ask", late)
    search.like(Dataset.open(str(place / "d")), str(place / "in" / "00000.jpg"), LIMITS)


def shows(place: Path, _: pytest.MonkeyPatch, meanwhile: Callable[[Path], None]) -> None:
    found = search.like(Dataset.open(str(place / "d")), str(place / "in" / "00000.jpg"), LIMITS)
    meanwhile(place)
    page.render(found, LIMITS)


def exports(
    place: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Path], None]
) -> None:
    write = exporting._write

    def late(table: Table, path: str, form: exporting.Format) -> int:
        if table.name == "manifest":
            meanwhile(place)
        return write(table, path, form)

    monkeypatch.setattr(exporting, "_write", late)
    exporting.export(Dataset.open(str(place / "d")), str(place / "out"), form="parquet")


@pytest.mark.parametrize("work", [fits, searches, shows, exports])
@pytest.mark.parametrize(
    ("meanwhile", "error"), [(forgets, BusyError), (damages, DamageError), (nothing, None)]
)
def test_a_takedown_beside_a_reader_is_told_from_damage(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[Path, pytest.MonkeyPatch, Callable[[Path], None]], None],
    meanwhile: Callable[[Path], None],
    error: type[Exception] | None,
) -> None:
    if error is None:
        work(place, monkeypatch, meanwhile)
        return
    with pytest.raises(error) as caught:
        work(place, monkeypatch, meanwhile)
    if error is BusyError:
        assert "changed while it was read" in str(caught.value)
        assert "--repair" not in caught.value.remedy  # type: ignore[attr-defined] # of a RunError
        assert not (place / "m.skops").exists()
        # As the message says: the same again.
        monkeypatch.undo()
        work(place, monkeypatch, nothing)
