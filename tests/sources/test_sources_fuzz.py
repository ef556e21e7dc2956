"""Archives with seeded damage: nothing but the documented errors, and never a hang."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import random
import tarfile
import time
import zipfile
from typing import TYPE_CHECKING

import pytest
import zstandard

from imgbatch.errors import ArchiveError, FetchError
from imgbatch.settings import Limits
from imgbatch.sources import fetch, open_input, read_stream
from tests.sources.crafted import Packed, tar_bytes, zip_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMITS = Limits(fetched_bytes=2**16)
SECONDS = 5.0


def archives() -> dict[str, bytes]:
    noise = random.Random(7).randbytes(3000)
    files = {"a.jpg": noise, "n" * 150: b"two" * 50_000, "\u00e9.png": b"", "d/e": noise[:700]}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for method, (name, data) in zip((0, 8, 12, 14), files.items(), strict=True):
            archive.writestr(zipfile.ZipInfo(name), data, method)
    zst = Packed(b"z", noise * 3, 93, zstandard.compress(noise * 3))
    tar = tar_bytes(files)
    return {
        "a.zip": buffer.getvalue(),
        "b.zip": zip_bytes([zst, Packed(b"w", b"wide", zip64=True)], end64=True, prefix=b"MZ"),
        "pax.tar": tar,
        "gnu.tar": tar_bytes(files, form=tarfile.GNU_FORMAT),
        "a.tgz": gzip.compress(tar),
        "a.tar.bz2": bz2.compress(tar),
        "a.tar.xz": lzma.compress(tar),
        "a.tar.zst": zstandard.compress(tar),
    }


def flipped(data: bytes, dice: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(dice.choice((1, 4, 40))):
        damaged[dice.randrange(len(damaged))] = dice.randrange(256)
    return bytes(damaged)


def filled(data: bytes, dice: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(3):
        at, length = dice.randrange(len(damaged)), dice.choice((2, 4, 8, 12))
        damaged[at : at + length] = bytes([dice.choice((0, 127, 255))]) * length
    return bytes(damaged)


def header_filled(data: bytes, dice: random.Random) -> bytes:
    """Damage where the structure is: behind a zip's signatures, in a tar's first headers."""
    places = [i for i in range(len(data) - 4) if data[i : i + 2] == b"PK"] or [0, 512, 1024, 1536]
    at = dice.choice(places) + dice.randrange(46)
    return data[:at] + bytes([dice.choice((0, 1, 128, 255))]) * 2 + data[at + 2 :]


def cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data))]


def moved(data: bytes, dice: random.Random) -> bytes:
    one, two = sorted(dice.randrange(len(data)) for _ in range(2))
    return data[:one] + data[two:] + data[one:two]


DAMAGES: list[Callable[[bytes, random.Random], bytes]] = [
    flipped,
    filled,
    header_filled,
    cut,
    moved,
]


def use(path: Path) -> int:
    """List an archive and read all that it lists; return how many sources had an outcome."""
    sources = list(open_input(str(path)))
    assert len({source.source_id for source in sources}) == len(sources)
    assert sources[-1].verdict is not None
    wanted = [source for source in sources if source.verdict is None]
    streamed = [source for source in wanted if source.packing == "stream"]
    outcomes = list(read_stream(sources[-1].address, streamed, limits=LIMITS))
    assert [source for source, _ in outcomes] == streamed
    for source in wanted:
        if source.packing != "stream":
            with contextlib.suppress(ArchiveError, FetchError):
                assert len(fetch(source, limits=LIMITS).read()) == source.size
    return len(sources)


@pytest.mark.parametrize("name", archives())
def test_damaged_archives_give_outcomes_and_nothing_else(tmp_path: Path, name: str) -> None:
    data = archives()[name]
    for seed in range(50):
        dice = random.Random(seed)
        path = tmp_path / f"{seed}-{name}"
        path.write_bytes(DAMAGES[seed % len(DAMAGES)](data, dice))
        began = time.monotonic()
        assert use(path) >= 1
        assert time.monotonic() - began < SECONDS, path


@pytest.mark.parametrize("name", archives())
def test_the_same_archives_without_damage_are_read_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(archives()[name])
    *members, own = open_input(str(path))
    assert own.verdict is not None
    assert own.verdict.error_class == "archive"
    assert len(members) == (2 if name == "b.zip" else 4)
    assert all(member.verdict is None for member in members)
