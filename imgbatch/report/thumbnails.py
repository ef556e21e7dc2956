"""Enters: chosen sources. Leaves: their first pictures as small JPEG data, or why there is none."""

from __future__ import annotations

import base64
import contextlib
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from PIL import Image

from imgbatch import media
from imgbatch.errors import FetchError, SourceError
from imgbatch.media.gate import ByteGate
from imgbatch.sources import fetch, read_stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from imgbatch.media import Blob, Gate
    from imgbatch.records import Picture, Source
    from imgbatch.report.sheet import Choice
    from imgbatch.settings import Limits, MediaSettings

WIDTH, HEIGHT = 288, 176
# Keeps the page under 3 MB whatever the pictures hold; quality gives way.
BYTES = 15_000
QUALITIES = (76, 60, 40, 20)
THREADS = 4
# An object of a bucket comes whole before its first frame shows.
REMOTE_BYTES = 128 * 2**20
# After so many refusals a store is not asked again: each may take a minute to fail.
REFUSALS = 6


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One small picture, or the reason why there is none.

    Attributes:
        data: a `data:image/jpeg` URL; "" when there is none.
        reason: in a word; `detail` says it at length.
    """

    data: str = ""
    width: int = 0
    height: int = 0
    reason: str = ""
    detail: str = ""


def thumbnails(
    choices: Mapping[str, Choice], settings: MediaSettings, limits: Limits
) -> dict[str, Thumbnail]:
    """Fetch and decode the chosen sources; every one of them gets a thumbnail or a reason."""
    maker = _Maker(settings, limits)
    found: dict[str, Thumbnail] = {}
    plain = []
    for key, choice in choices.items():
        reason = _refusal(choice)
        if reason:
            found[key] = Thumbnail(reason=reason)
        elif choice.source.packing != "stream":
            plain.append(choice.source)
    with ThreadPoolExecutor(THREADS, "thumbnail") as pool:
        for source, made in zip(plain, pool.map(maker.plain, plain), strict=True):
            found[source.source_id] = made
    packed = [c.source for k, c in choices.items() if k not in found]
    for source, made in maker.streams(packed):
        found[source.source_id] = made
    return found


def _refusal(choice: Choice) -> str:
    source = choice.source
    if not choice.reachable:
        return "far inside a compressed archive"
    remote = not (source.container or source.address).startswith("file://")
    if remote and source.size > REMOTE_BYTES:
        return "too large to fetch for a thumbnail"
    return ""


class _Maker:
    """Makes thumbnails; stops asking a store that keeps refusing."""

    def __init__(self, settings: MediaSettings, limits: Limits) -> None:
        self._settings = settings
        self._limits = limits
        self._gate = ByteGate(limits.decoded_bytes)
        self._refused = 0

    def plain(self, source: Source) -> Thumbnail:
        """Return the thumbnail of a source that is read by itself."""
        if self._refused >= REFUSALS:
            return Thumbnail(reason="not tried: the store kept refusing")
        try:
            blob = fetch(source, limits=self._limits)
        except SourceError as error:
            if isinstance(error, FetchError) and error.code in ("fetch.denied", "fetch.failed"):
                self._refused += 1
            return Thumbnail(reason=error.code, detail=str(error))
        return self._thumbnail(blob)

    def streams(self, sources: Iterable[Source]) -> Iterator[tuple[Source, Thumbnail]]:
        """Yield the thumbnails of members of compressed tars, each tar in one pass."""
        ordered = sorted(sources, key=lambda s: (s.container or "", s.offset or 0))
        for container, group in groupby(ordered, key=lambda s: s.container or ""):
            for source, blob in read_stream(container, group, limits=self._limits):
                yield source, self._given(blob)

    def _given(self, blob: Blob | SourceError) -> Thumbnail:
        if isinstance(blob, SourceError):
            return Thumbnail(reason=blob.code, detail=str(blob))
        return self._thumbnail(blob)

    def _thumbnail(self, blob: Blob) -> Thumbnail:
        try:
            picture = first_picture(blob, self._settings, self._gate)
        except SourceError as error:
            return Thumbnail(reason=error.code, detail=str(error))
        except Exception as error:  # noqa: BLE001 - nothing that a file holds may end a report
            return Thumbnail(reason="decode.unexpected", detail=f"{type(error).__name__}: {error}")
        return encode(picture) if picture is not None else Thumbnail(reason="no picture in it")


def first_picture(blob: Blob, settings: MediaSettings, gate: Gate) -> Picture | None:
    """Decode the first picture of a source."""
    decoder = media.decoder(blob.head)
    if decoder is None:
        return None
    opened = decoder.decode(blob, settings, gate)
    with contextlib.closing(opened.pictures) as pictures:
        return next(pictures, None)


def encode(picture: Picture) -> Thumbnail:
    """Return a picture scaled into WIDTH x HEIGHT, as a JPEG of at most BYTES where it can be."""
    image = Image.fromarray(picture.pixels)
    image.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS, reducing_gap=3.0)
    data = b""
    for quality in QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True)
        data = buffer.getvalue()
        if len(data) <= BYTES:
            break
    url = "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
    return Thumbnail(url, image.width, image.height)
