"""One source's bytes in, its copies written and its rows out."""

from __future__ import annotations

import contextlib
import io
import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from imgbatch import media
from imgbatch.copies.faces import boxes_of, mask_of
from imgbatch.copies.table import SCHEMA
from imgbatch.dataset.scratch import scratch_folder
from imgbatch.errors import RunError, SourceError, StorageError
from imgbatch.media.gate import ByteGate
from imgbatch.outcomes import not_media
from imgbatch.preprocess import apply_steps, fixed_steps, to_rgb
from imgbatch.preprocess.steps import Rotate
from imgbatch.settings import MediaSettings, VideoSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from imgbatch.copies.faces import Look
    from imgbatch.copies.recipe import CopyRecipe, OutputSettings
    from imgbatch.copies.table import Row
    from imgbatch.copies.video import VideoCopy
    from imgbatch.media import Blob, Decoder
    from imgbatch.preprocess.color import Pixels
    from imgbatch.preprocess.masks import Box
    from imgbatch.preprocess.recipe import Step
    from imgbatch.records import Picture, Source
    from imgbatch.settings import Limits
    from imgbatch.storage import Store

MESSAGE_LENGTH = 500
FOLDER = "copies"
STEM_LENGTH = 40
OURS = re.compile(r"[0-9a-f]{32}(-f\d+)?\.(jpg|png|mp4)$")
# More than any picture has: no decoder scales down.
FULL_SIZE = 2**31
JPEG_SIDE = 65_500
EVERY_FRAME = VideoSettings(sample="every_n", every_n=1, max_frames=2**62)


class Copier:
    """Makes the copies of one source after another; called from several threads at once.

    Where the recipe masks faces, no pixel goes out that the detector did not look at: whatever
    cannot be decoded or looked at is a row without a file.
    """

    def __init__(
        self, store: Store, recipe: CopyRecipe, limits: Limits, look: Look | None = None
    ) -> None:
        self._store = store
        self._steps: Sequence[Step] = recipe.steps
        self._mask = mask_of(recipe.steps)
        assert self._mask is None or look, "who masks faces has a detector"
        self._look = look
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
        decoder = media.decoder(blob.head) if blob.size else None
        if decoder is None:
            outcome = not_media(source, blob, row["sha256"])
            yield row | _ended(outcome.status, outcome.error_class, outcome.message)
            return
        if self._output.videos == "mp4" and _is_video(decoder):
            yield self._copy_video(source, decoder, blob, row)
            return
        opened = decoder.decode(blob, self._media, self._gate)
        # The same list in every row of the source: it is read once all pictures were decoded.
        row["notes"] = opened.notes
        with contextlib.closing(opened.pictures) as pictures:
            for picture in pictures:
                yield self._copy_picture(source, picture, row)

    def _copy_picture(self, source: Source, picture: Picture, row: Row) -> Row:
        row = row | {"frame": picture.frame, "time": picture.time}
        try:
            faces = self._faces(source, picture)
            steps = fixed_steps(
                self._steps, source_id=source.source_id, frame=picture.frame, faces=faces
            )
            row["steps"] = json.dumps([step.model_dump() for step in steps])
            row["n_faces"] = None if faces is None else len(faces)
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

    def _faces(self, source: Source, picture: Picture) -> list[Box] | None:
        return None if self._look is None else boxes_of(self._look, source, picture)

    def _copy_video(self, source: Source, decoder: Decoder, blob: Blob, row: Row) -> Row:
        """Write one MP4 of all frames; a video that fails anywhere leaves no file."""
        row = row | {"steps": json.dumps([step.model_dump() for step in self._steps])}
        with scratch_folder() as folder:
            path = str(Path(folder) / "copy.mp4")
            try:
                copied = self._written(source, decoder, blob, row, path)
            except SourceError as error:
                return row | _failed(error.code, str(error))
            name = copy_name(source, None, self._output)
            try:
                self._store.put_file(name, path)
            except OSError as error:
                raise StorageError(f"{self._store.root}/{name}: {error}") from error
        return row | {
            "status": "ok",
            "file": name,
            "width": copied.width,
            "height": copied.height,
            "n_frames": copied.frames,
            "n_faces": copied.faces,
            "n_masked": copied.masked,
        }

    def _written(
        self, source: Source, decoder: Decoder, blob: Blob, row: Row, path: str
    ) -> VideoCopy:
        from imgbatch.copies.video import copy_video  # noqa: PLC0415 - images need no video library

        settings = self._media.model_copy(update={"video": EVERY_FRAME})

        look = self._look and partial(boxes_of, self._look, source)

        def opened() -> media.Media:
            found = decoder.decode(blob, settings, self._gate)
            row["notes"] = found.notes
            return found

        return copy_video(
            opened,
            path,
            change=partial(self._changed, source),
            masking=None if look is None or self._mask is None else (look, self._mask.carry),
            crf=self._output.crf,
            turned=_on_its_side(self._steps),
        )

    def _changed(self, source: Source, picture: Picture, faces: Sequence[Box] | None) -> Pixels:
        steps = fixed_steps(
            self._steps, source_id=source.source_id, frame=picture.frame, faces=faces
        )
        return to_rgb(apply_steps(steps, picture.pixels))


def _on_its_side(steps: Sequence[Step]) -> bool:
    """Say whether steps turn a picture by a quarter: a pixel's width is then its height.

    By another angle pixels stay as wide as they were: no other shape can be told of them.
    """
    quarters = [step.degrees / 90 for step in steps if isinstance(step, Rotate)]
    return sum(turn.is_integer() and turn % 2 == 1 for turn in quarters) % 2 == 1


def _is_video(decoder: Decoder) -> bool:
    return decoder.__name__ == f"{media.__name__}.video"


def _failed(code: str, message: str) -> Row:
    return _ended("failed", code, message)


def _ended(status: str, code: str | None, message: str | None) -> Row:
    # A message may quote a name that is no UTF-8, which no table can hold.
    shown = (message or "").encode("utf-8", "backslashreplace").decode()
    return {"status": status, "error_class": code, "message": shown[:MESSAGE_LENGTH]}


def copy_name(source: Source, picture: Picture | None, output: OutputSettings) -> str:
    """Return the name of a copy: readable, safe in every store, one per source and frame.

    Args:
        source: what it is a copy of.
        picture: the image or frame; None for a whole video.
        output: how files are written.
    """
    last = re.split(r"/|!/", source.address)[-1]
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", last.rpartition(".")[0] or last).strip("_")
    name = f"{stem[:STEM_LENGTH]}-{source.source_id}".lstrip("-")
    frame = "" if picture is None or picture.time is None else f"-f{picture.frame:06d}"
    ending = "mp4" if picture is None else "jpg" if output.format == "jpeg" else "png"
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
