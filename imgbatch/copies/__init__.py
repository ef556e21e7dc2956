"""INPUT and a preprocess recipe in; a copy of every picture and a table of what was done out.

    OUT/
      copies.json              what the copies were made from: input, recipe, version
      copies/ab/NAME-ID.jpg    ID is the source's; frames of videos add -f000012
      copies.parquet           one row per picture, and one per source that gave none

A recipe names its steps in the order of work, and may set how pixels are read and files written:

    [[steps]]
    name = "crop_square"
    [[steps]]
    name = "resize"
    width = 224
    height = 224
    [output]
    format = "jpeg"
    quality = 90
    [media]
    alpha = "white"

A recipe that masks faces says so in its first step, and who finds them in `[faces]`:

    [[steps]]
    name = "mask_faces"
    mode = "solid"               # or "mosaic", "blur"
    [faces]
    detector = "ultraface"       # or dataset = "DATASET", whose table `faces` knows them
    [output]
    videos = "mp4"               # whole videos; else their sampled frames become images

Decision, 2026-11: copies start from full-size pixels, decoded exactly, never from the scaled
pixels that analyzers see: what the steps say is all that happened. Drawback: slower than a run.
Pixels of a video that are not square stay so, and its whole copy says how wide they are; steps
count them as they are. Copies of single frames are images, which do not say it.
Copies carry no EXIF, so no camera, date, position or embedded thumbnail leaves with them, and
copies of videos no tags, subtitles or data streams.

Decision, 2026-11: whole videos lose their sound. A voice tells who speaks as a face does, and
nothing here masks voices. Drawback: what is said is lost too; whoever may keep it has the original.
"""

from __future__ import annotations

import itertools
import json
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from imgbatch import __version__
from imgbatch.copies.copier import FOLDER, OURS, Copier, put
from imgbatch.copies.faces import look_of, mask_of
from imgbatch.copies.recipe import CopyRecipe, read_copy_recipe
from imgbatch.copies.table import TableFile
from imgbatch.errors import DatasetError, SettingsError, SourceError
from imgbatch.models.weights import adopt
from imgbatch.sources import fetch, open_input, read_stream
from imgbatch.storage import open_store
from imgbatch.storage.addresses import lies_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from imgbatch.copies.table import Row
    from imgbatch.media import Blob
    from imgbatch.records import Source
    from imgbatch.settings import Limits
    from imgbatch.storage import Store

__all__ = ["CopyRecipe", "CopySummary", "read_copy_recipe", "write_copies"]

TABLE = "copies.parquet"
MARKER = "copies.json"


@dataclass(slots=True)
class CopySummary:
    """What an export came to: every source is ok, failed or filtered.

    Attributes:
        ok: sources all of whose pictures were copied.
        failed: sources with at least one failed row.
        copies: files written.
        without_face: files written though the detector saw no face in them; always 0 where the
            recipe masks none.
    """

    sources: int = 0
    ok: int = 0
    failed: int = 0
    filtered: int = 0
    copies: int = 0
    without_face: int = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Count the rows of one source."""
        found = {row["status"] for row in rows}
        self.sources += 1
        self.failed += "failed" in found
        self.filtered += "filtered" in found
        self.ok += found == {"ok"}
        written = [row for row in rows if row["file"] is not None]
        self.copies += len(written)
        self.without_face += sum(row["n_faces"] == 0 for row in written)


def write_copies(
    input_url: str,
    out_url: str,
    recipe_text: str,
    *,
    limits: Limits,
    tell: Callable[[CopySummary], None] = lambda _: None,
) -> CopySummary:
    """Write a changed copy of every picture below INPUT, and the table of them.

    Doing it again with the same input and recipe writes the same files and the same table, and
    takes away the copies of sources that are gone. The table goes first and comes last, so where
    it is, the copies are complete.

    Args:
        input_url: folder or URL, as `imgbatch run` takes it.
        out_url: folder or URL, empty, not there yet, or left by a former call with the same input
            and recipe.
        recipe_text: TOML.
        limits: what this process may use.
        tell: is told the counts so far after each source.

    Raises:
        SettingsError: the recipe is wrong, or OUT lies inside INPUT.
        MissingExtraError, WeightsError: the face detector cannot be loaded.
        InputError: INPUT cannot be listed.
        DatasetError: OUT holds something else.
        StorageError: OUT cannot be written.
    """
    recipe = read_copy_recipe(recipe_text)
    store = open_store(out_url)
    _refuse_nested(open_store(input_url).root, store.root)
    adopt(limits)
    look = None if mask_of(recipe.steps) is None else look_of(recipe.faces)
    listed = sorted(open_input(input_url), key=_reading_order)
    origin = {"input": open_store(input_url).root, "recipe": recipe_text}
    _take(store, origin)
    store.delete(TABLE)
    summary = CopySummary()
    table = TableFile({**origin, "imgbatch": __version__})
    copier = Copier(store, recipe, limits, look)
    written: set[str] = set()
    for rows in _copied(copier, listed, limits):
        written.update(row["file"] for row in rows if row["file"])
        table.add(rows)
        summary.add(rows)
        tell(summary)
    _delete_others(store, written)
    put(store, TABLE, table.close())
    return summary


def _delete_others(store: Store, written: set[str]) -> None:
    """Delete what a former call left of sources that are gone; what is not ours stays."""
    try:
        names = [entry.name for entry in store.list(FOLDER)]
    except FileNotFoundError:
        return
    for name in names:
        if name not in written and OURS.search(name):
            store.delete(name)


def _refuse_nested(root: str, inner: str) -> None:
    if lies_in(inner, root):
        raise SettingsError(
            f"OUT {inner} lies inside INPUT {root}: the copies would become sources",
            "Put the copies beside the input, not in it.",
        )


def _reading_order(source: Source) -> tuple[str, int, str]:
    # The members of a compressed tar stay together, as they lie in it.
    stream = source.packing == "stream" and source.verdict is None
    return (source.container or "", source.offset or 0, "") if stream else ("", 0, source.address)


def _take(store: Store, origin: dict[str, str]) -> None:
    """Claim OUT, so that copies of two recipes never lie in one folder."""
    try:
        found = json.loads(store.get(MARKER))
    except FileNotFoundError:
        _refuse_unless_empty(store)
        put(store, MARKER, json.dumps({**origin, "imgbatch": __version__}, indent=1).encode())
        return
    except ValueError as error:
        raise DatasetError(f"{store.root}/{MARKER} is not readable: {error}") from error
    if not isinstance(found, dict) or {key: found.get(key) for key in origin} != origin:
        raise DatasetError(
            f"{store.root} holds copies of another input or by another recipe",
            f"Give another folder; {MARKER} there says what it holds.",
        )


def _refuse_unless_empty(store: Store) -> None:
    try:
        empty = next(store.list(), None) is None
    except FileNotFoundError:
        empty = True
    except NotADirectoryError:
        empty = False
    if not empty:
        raise DatasetError(
            f"{store.root} is not empty and holds no copies",
            "Give a folder or prefix that is empty or not there yet.",
        )


def _copied(copier: Copier, listed: list[Source], limits: Limits) -> Iterator[list[Row]]:
    """Yield each source's rows, in order, from several threads, a bounded number under way."""
    with ThreadPoolExecutor(limits.threads, "copy") as pool:
        under_way: deque[Any] = deque()
        try:
            for source, read in _readers(listed, limits):
                under_way.append(pool.submit(copier.copy, source, read))
                if len(under_way) > limits.threads:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()


def _readers(
    listed: list[Source], limits: Limits
) -> Iterator[tuple[Source, Callable[[], Blob] | None]]:
    """Yield each source with what gives its bytes; None where the listing already decided."""
    for stream, group in itertools.groupby(listed, key=lambda s: _reading_order(s)[0]):
        if stream:
            for source, blob in read_stream(stream, list(group), limits=limits):
                yield source, partial(_given, blob)
            continue
        for source in group:
            yield source, None if source.verdict else partial(fetch, source, limits=limits)


def _given(blob: Blob | SourceError) -> Blob:
    if isinstance(blob, SourceError):
        raise blob
    return blob
