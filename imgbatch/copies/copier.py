"""One source's bytes in, its copies written and its rows out."""

from __future__ import annotations

import contextlib
import io
import json
import re
from typing import TYPE_CHECKING

from PIL import Image

from imgbatch import media
from imgbatch.copies.table import SCHEMA
from imgbatch.errors import RunError, SourceError, StorageError
from imgbatch.media.gate import ByteGate
from imgbatch.outcomes import not_media
from imgbatch.preprocess import apply_steps, fixed_steps
from imgbatch.settings import MediaSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from imgbatch.copies.recipe import CopyRecipe, OutputSettings
    from imgbatch.copies.table import Row
    from imgbatch.media import Blob
    from imgbatch.preprocess.color import Pixels
    from imgbatch.preprocess.recipe import Step
    from imgbatch.records import Picture, Source
    from imgbatch.settings import Limits
    from imgbatch.storage import Store

MESSAGE_LENGTH = 500
FOLDER = "copies"
STEM_LENGTH = 40
OURS = re.compile(r"[0-9a-f]{32}(-f\d+)?\.(jpg|png)$")
# More than any picture has: no decoder scales down.
FULL_SIZE = 2**31
JPEG_SIDE = 65_500


class Copier:
    """Makes the copies of one source after another; called from several threads at once."""

    def __init__(self, store: Store, recipe: CopyRecipe, limits: Limits) -> None:
        self._store = store
        self._steps: Sequence[Step] = recipe.steps
        self._output = recipe.output
        self._gate = ByteGate(limits.decoded_bytes)
        self._media = MediaSettings(
            min_side=FULL_SIZE,
            exact=True,
            **dict(recipe.media),  # the rest as the recipe has it
        )

    def copy(self, source: Source, read: Callable[[], Blob] | None) -> list[Row]:
        """Copy all pictures of a source; returns its rows, at least one.

        Raises:
            StorageError: a copy cannot be written.
        """
        rows: list[Row] = []
        row = dict.fromkeys(SCHEMA.names) | {
            "source_id": source.source_id,
            "version": source.version,
            "address": source.address,
        }
        try:
            for copied in self._rows(source, read, row):
                rows.append(copied)  # noqa: PERF402 - what came before an error must stay
        except RunError:
            raise
        except SourceError as error:
            rows.append(row | _failed(error.code, str(error)))
        except Exception as error:  # noqa: BLE001 - nothing that a file holds may end an export
            rows.append(row | _failed("decode.unexpected", f"{type(error).__name__}: {error}"))
        return rows or [row | _failed("decode.no-frames", "nothing was decoded")]

    def _rows(self, source: Source, read: Callable[[], Blob] | None, row: Row) -> Iterator[Row]:
        if read is None:
            verdict = source.verdict
            assert verdict is not None, "only a source with a verdict is not read"
            yield row | _ended(verdict.status, verdict.error_class, verdict.message)
            return
        blob = read()
        row["sha256"] = blob.sha256()
        decoder = media.decoder(blob.head)
        if decoder is None:
            outcome = not_media(source, blob, row["sha256"])
            yield row | _ended(outcome.status, outcome.error_class, outcome.message)
            return
        opened = decoder.decode(blob, self._media, self._gate)
        # The same list in every row of the source: it is read once all pictures were decoded.
        row["notes"] = opened.notes
        with contextlib.closing(opened.pictures) as pictures:
            for picture in pictures:
                yield self._copy_picture(source, picture, row)

    def _copy_picture(self, source: Source, picture: Picture, row: Row) -> Row:
        steps = fixed_steps(self._steps, source_id=source.source_id, frame=picture.frame)
        row = row | {
            "frame": picture.frame,
            "time": picture.time,
            "steps": json.dumps([step.model_dump() for step in steps]),
        }
        try:
            pixels = apply_steps(steps, picture.pixels)
            data = encode(pixels, self._output)
        except SourceError as error:
            return row | _failed(error.code, str(error))
        except (ValueError, OSError, MemoryError) as error:
            return row | _failed("preprocess.failed", f"{type(error).__name__}: {error}")
        name = copy_name(source, picture, self._output)
        put(self._store, name, data)
        height, width = pixels.shape[:2]
        return row | {"status": "ok", "file": name, "width": width, "height": height}


def _failed(code: str, message: str) -> Row:
    return _ended("failed", code, message)


def _ended(status: str, code: str | None, message: str | None) -> Row:
    # A message may quote a name that is no UTF-8, which no table can hold.
    shown = (message or "").encode("utf-8", "backslashreplace").decode()
    return {"status": status, "error_class": code, "message": shown[:MESSAGE_LENGTH]}


def copy_name(source: Source, picture: Picture, output: OutputSettings) -> str:
    """Return the name of a copy: readable, safe in every store, one per source and frame."""
    last = re.split(r"/|!/", source.address)[-1]
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", last.rpartition(".")[0] or last).strip("_")
    name = f"{stem[:STEM_LENGTH]}-{source.source_id}".lstrip("-")
    frame = "" if picture.time is None else f"-f{picture.frame:06d}"
    ending = "jpg" if output.format == "jpeg" else "png"
    return f"{FOLDER}/{source.source_id[:2]}/{name}{frame}.{ending}"


def encode(pixels: Pixels, output: OutputSettings) -> bytes:
    """Return the bytes of an image file: one channel for (height, width), else RGB.

    Raises:
        SourceError: preprocess.size, JPEG cannot hold a side that long.
    """
    if output.format == "jpeg" and max(pixels.shape[:2]) > JPEG_SIDE:
        raise SourceError("preprocess.size", f"JPEG sides end at {JPEG_SIDE}; write png")
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    if output.format == "jpeg":
        image.save(file, "JPEG", quality=output.quality, subsampling="4:2:0")
    else:
        image.save(file, "PNG")
    return file.getvalue()


def put(store: Store, name: str, data: bytes) -> None:
    """Write an object; whatever goes wrong is the store's and ends the export.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        store.put(name, data)
    except OSError as error:
        raise StorageError(f"{store.root}/{name}: {error}") from error
