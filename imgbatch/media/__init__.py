"""Bytes to Pictures, by what the bytes are and never by their name.

A decoder is one module of this folder that exports `claims(head) -> bool` and
`decode(blob, settings, gate, full_size=..., copies=...) -> Media`.
"""

from __future__ import annotations

import hashlib
import importlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from imgbatch.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

    from imgbatch.records import Facts, Picture
    from imgbatch.settings import MediaSettings

HEAD_BYTES = 4096

# The decoders of this folder, in the order in which they are asked; no two claim the same bytes.
# The folder cannot be the registry here: to find what a module exports is to import it, and the
# other modules serve these two.
DECODERS = ("raster", "video")


@dataclass(frozen=True, slots=True)
class Blob:
    """The bytes of one source, in memory or in a file on this machine.

    Attributes:
        head: the first 4096 bytes, or all when there are fewer.
        size: bytes in all.
        data: all bytes, or None when they are too many to hold.
        opener: opens the bytes as a seekable file; None when `data` is there.
    """

    head: bytes
    size: int
    data: bytes | None = None
    opener: Callable[[], BinaryIO] | None = None

    @classmethod
    def of(cls, data: bytes) -> Blob:
        """Hold bytes in memory."""
        return cls(data[:HEAD_BYTES], len(data), data)

    def open(self) -> BinaryIO:
        """Open as a seekable binary file; the caller closes it."""
        if self.data is not None:
            return io.BytesIO(self.data)
        assert self.opener is not None, "a Blob has data or an opener"
        return self.opener()

    def read(self) -> bytes:
        """Return all bytes."""
        if self.data is not None:
            return self.data
        with self.open() as file:
            return file.read()

    def sha256(self) -> str:
        """Return the SHA-256 of all bytes, as 64 hex digits."""
        if self.data is not None:
            return hashlib.sha256(self.data).hexdigest()
        with self.open() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type] # an opener gives an io file, which has readinto


class Gate(Protocol):
    """Caps decoded bytes in flight over all threads of a worker."""

    def hold(self, decoded_bytes: int) -> AbstractContextManager[None]:
        """Wait until that many bytes may be decoded; more than the cap waits to run alone."""


@dataclass(slots=True)
class Media:
    """An opened image or video: what its header says, and its pictures.

    Attributes:
        pictures: decodes as it goes; raises DecodeError. Each picture may be dropped before the
            next is asked for. Closing it frees the decoder.
        notes: grows while pictures are decoded: `decode.tail`, `alpha:white`, `animated`, ...
    """

    facts: Facts
    pictures: Generator[Picture]
    notes: list[str] = field(default_factory=list)


class Decoder(Protocol):
    """What a module exports to be a decoder."""

    __name__: str

    def claims(self, head: bytes) -> bool:
        """Say whether these first bytes begin a file of this decoder's."""

    def decode(
        self,
        blob: Blob,
        settings: MediaSettings,
        gate: Gate,
        *,
        full_size: bool = False,
        copies: float = 0.0,
    ) -> Media:
        """Read the header; pictures are decoded as they are asked for.

        Args:
            blob: bytes that it claims.
            settings: what `Picture.pixels` are.
            gate: caps decoded bytes in flight.
            full_size: pictures can be had in full size besides (`Picture.whole`).
            copies: how many of a picture in full size are made at once while it is had so: `gate`
                counts them too.

        Raises:
            DecodeError: the bytes are not a usable picture or video.
        """


def decoder(head: bytes) -> Decoder | None:
    """Return the module that claims a file by its first bytes, None when it is no medium.

    A decoder is imported when it is first asked, so a corpus of images never pays for the import
    of a video library.

    Raises:
        DecodeError: decode.empty, there are no bytes.
    """
    if not head:
        raise DecodeError("decode.empty", "the file has no bytes")
    for name in DECODERS:
        module = cast("Decoder", importlib.import_module(f"{__name__}.{name}"))
        if module.claims(head):
            return module
    return None
