"""Enters: chosen sources. Leaves: pictures of them as small JPEG data, or why there is none."""

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
    from collections.abc import Collection, Generator, Iterable, Iterator, Mapping

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
# Frames come one after the other: of what lies further in a video, none is shown.
FAR = 300


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
    """Fetch and decode the chosen sources; every one of them gets a thumbnail or a reason.

    Of a video it is the first frame; see `of_frames`.
    """
    made = of_frames(choices, {}, settings, limits)
    return {key: frames[0] for key, frames in made.items()}


def of_frames(
    choices: Mapping[str, Choice],
    frames: Mapping[str, Collection[int]],
    settings: MediaSettings,
    limits: Limits,
) -> dict[str, dict[int, Thumbnail]]:
    """Fetch and decode the chosen sources; each wanted frame gets a thumbnail or a reason.

    Args:
        choices: by source_id.
        frames: the wanted ones of some sources, as `settings` sample them; else the first.
        settings: of decoding.
        limits: of fetching and decoding.
    """
    maker = _Maker(frames, settings, limits)
    found: dict[str, dict[int, Thumbnail]] = {}
    plain = []
    for key, choice in choices.items():
        reason = _refusal(choice)
        if reason:
            found[key] = maker.none(choice.source, reason)
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

    def __init__(
        self, frames: Mapping[str, Collection[int]], settings: MediaSettings, limits: Limits
    ) -> None:
        self._frames = frames
        self._settings = settings
        self._limits = limits
        self._gate = ByteGate(limits.decoded_bytes)
        self._refused = 0

    def _wanted(self, source: Source) -> Collection[int]:
        return self._frames.get(source.source_id, (0,))

    def none(self, source: Source, reason: str, detail: str = "") -> dict[int, Thumbnail]:
        """Return why there is no thumbnail of a source."""
        return dict.fromkeys(self._wanted(source), Thumbnail(reason=reason, detail=detail))

    def plain(self, source: Source) -> dict[int, Thumbnail]:
        """Return the thumbnails of a source that is read by itself."""
        if self._refused >= REFUSALS:
            return self.none(source, "not tried: the store kept refusing")
        try:
            blob = fetch(source, limits=self._limits)
        except SourceError as error:
            if isinstance(error, FetchError) and error.code in ("fetch.denied", "fetch.failed"):
                self._refused += 1
            return self.none(source, error.code, str(error))
        return self._thumbnails(source, blob)

    def streams(self, sources: Iterable[Source]) -> Iterator[tuple[Source, dict[int, Thumbnail]]]:
        """Yield the thumbnails of members of compressed tars, each tar in one pass."""
        ordered = sorted(sources, key=lambda s: (s.container or "", s.offset or 0))
        for container, group in groupby(ordered, key=lambda s: s.container or ""):
            for source, blob in read_stream(container, group, limits=self._limits):
                yield source, self._given(source, blob)

    def _given(self, source: Source, blob: Blob | SourceError) -> dict[int, Thumbnail]:
        if isinstance(blob, SourceError):
            return self.none(source, blob.code, str(blob))
        return self._thumbnails(source, blob)

    def _thumbnails(self, source: Source, blob: Blob) -> dict[int, Thumbnail]:
        found = {
            frame: Thumbnail(reason="far inside a video" if frame > FAR else "no picture in it")
            for frame in self._wanted(source)
        }
        try:
            for picture in pictures_at(self._wanted(source), blob, self._settings, self._gate):
                found[picture.frame] = encode(picture)
        except SourceError as error:
            return self.none(source, error.code, str(error)) | _made(found)
        except Exception as error:  # noqa: BLE001 - nothing that a file holds may end a report
            detail = f"{type(error).__name__}: {error}"
            return self.none(source, "decode.unexpected", detail) | _made(found)
        return found


def _made(found: Mapping[int, Thumbnail]) -> dict[int, Thumbnail]:
    return {frame: made for frame, made in found.items() if made.data}


def pictures_at(
    frames: Collection[int],
    blob: Blob,
    settings: MediaSettings,
    gate: Gate,
    *,
    full_size: bool = False,
    copies: float = 0.0,
) -> Generator[Picture]:
    """Decode a source as far as needed; yield its pictures of some frames, up to FAR."""
    decoder = media.decoder(blob.head)
    if decoder is None:
        return
    last = min(max(frames), FAR)
    opened = decoder.decode(blob, settings, gate, full_size=full_size, copies=copies)
    with contextlib.closing(opened.pictures) as pictures:
        for picture in pictures:
            if picture.frame in frames:
                yield picture
            if picture.frame >= last:
                return


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
