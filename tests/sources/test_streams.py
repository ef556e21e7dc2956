from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest
import zstandard

from imgbatch.errors import SourceError
from imgbatch.settings import Limits
from imgbatch.sources import open_input, read_stream
from imgbatch.sources.streams import compression_of
from tests.sources.crafted import END, error_class, listed, names, padded, tar_bytes, tar_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from imgbatch.media import Blob
    from imgbatch.records import Source

LIMITS = Limits()
SMALL = Limits(fetched_bytes=2**16)
FILES = {"a.jpg": b"one", "b.jpg": bytes(range(256)) * 1000, "c.json": b"{}", "d.png": b"four"}
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "tar.gz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
    "tar.zst": zstandard.compress,
    "tgz": lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]),
    "tzst": lambda data: (
        b"\x50\x2a\x4d\x18\x01\0\0\0_"
        + zstandard.compress(data[:700])
        + zstandard.compress(data[700:])
    ),
}


def contents(read: Iterable[tuple[Source, Blob | SourceError]]) -> dict[str, bytes | str]:
    return {
        names([source])[0]: got.code if isinstance(got, SourceError) else got.read()
        for source, got in read
    }


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("limits", [LIMITS, SMALL])
def test_members_are_listed_and_read_in_one_pass_each(
    tmp_path: Path, ending: str, limits: Limits
) -> None:
    files = FILES | {"../../etc/passwd": b"up", "..": b"dots", "/abs.png": b"abs"}
    members, own = listed(tmp_path / f"x.{ending}", COMPRESS[ending](tar_bytes(files)))
    plain, _ = listed(tmp_path / "x.tar", tar_bytes(files))
    assert names(members) == list(files)
    assert {m.packing for m in members} == {"stream"}
    assert [(m.offset, m.version) for m in members] == [(m.offset, m.version) for m in plain]
    assert error_class(own) == "archive"
    assert contents(read_stream(own.address, members, limits=limits)) == files


def test_large_members_go_to_a_file_and_small_ones_stay_in_memory(tmp_path: Path) -> None:
    members, own = listed(tmp_path / "x.tgz", gzip.compress(tar_bytes(FILES)))
    blobs = [blob for _, blob in read_stream(own.address, members, limits=SMALL)]
    assert not any(isinstance(blob, SourceError) for blob in blobs)
    assert [blob.data is None for blob in blobs if not isinstance(blob, SourceError)] == [
        False,
        True,
        False,
        False,
    ]


def test_how_a_tar_is_compressed_is_told_by_its_bytes(tmp_path: Path) -> None:
    members, _ = listed(tmp_path / "x.tar.gz", tar_bytes(FILES))
    assert {m.packing for m in members} == {"tar"}
    members, _ = listed(tmp_path / "x.tar", gzip.compress(tar_bytes(FILES)))
    assert {m.packing for m in members} == {"stream"}
    assert compression_of(b"") is None


def test_unwanted_members_are_passed_over_and_the_pass_ends_with_the_last_wanted(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.tgz"
    members, own = listed(path, gzip.compress(tar_bytes(FILES)))
    wanted = [members[0], members[3]]
    assert contents(read_stream(own.address, wanted, limits=LIMITS)) == {
        "a.jpg": b"one",
        "d.png": b"four",
    }
    path.write_bytes(path.read_bytes()[:-200])  # behind the first member nobody looks
    assert contents(read_stream(own.address, members[:1], limits=LIMITS)) == {"a.jpg": b"one"}
    assert list(read_stream("file:///nowhere.tgz", [], limits=LIMITS)) == []


def test_wanted_members_are_asked_for_one_by_one(tmp_path: Path) -> None:
    members, own = listed(tmp_path / "x.tgz", gzip.compress(tar_bytes(FILES)))
    asked: list[str] = []

    def wanted() -> Iterable[Source]:
        for member in members:
            asked.append(member.address)
            yield member

    read = read_stream(own.address, wanted(), limits=LIMITS)
    next(iter(read))
    assert asked == [members[0].address]


@pytest.mark.parametrize("ending", COMPRESS)
def test_after_a_cut_the_rest_fails_one_by_one_and_what_came_before_stays(
    tmp_path: Path, ending: str
) -> None:
    noise = Path(__file__).read_bytes() + bytes(gzip.compress(Path(__file__).read_bytes()))
    files = {"a": b"one", "b": noise, "c": b"three"}
    path = tmp_path / f"x.{ending}"
    data = COMPRESS[ending](tar_bytes(files))
    members, own = listed(path, data)
    assert len(members) == len(files)
    cut = len(data) * 2 // 3
    path.write_bytes(data[:cut])
    got = contents(read_stream(own.address, members, limits=LIMITS))
    assert list(got) == ["a", "b", "c"]
    assert got["c"] == "archive.truncated"
    again, own = listed(path, data[:cut])
    assert error_class(own) == "archive.truncated"
    assert names(again) == ["a", "b"][: len(again)]


@pytest.mark.parametrize("ending", ["tar.gz", "tar.bz2", "tar.xz", "tar.zst"])
def test_damage_in_the_middle_fails_the_rest(tmp_path: Path, ending: str) -> None:
    files = {"a": b"one", "b": gzip.compress(Path(__file__).read_bytes()) * 20, "c": b"three"}
    path = tmp_path / f"x.{ending}"
    data = bytearray(COMPRESS[ending](tar_bytes(files)))
    if ending == "tar.zst":  # a frame with a checksum, as the zstd tool writes it
        data = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(tar_bytes(files)))
    members, own = listed(path, bytes(data))
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    damaged, own = listed(path, bytes(data))
    assert own.verdict is not None
    assert own.verdict.status == "failed"
    assert own.verdict.error_class in ("archive.corrupt", "archive.truncated")
    got = contents(read_stream(own.address, members, limits=LIMITS))
    assert list(got) == ["a", "b", "c"]
    assert len(damaged) <= len(files)


def test_a_wrong_checksum_at_the_end_is_corrupt_and_the_members_stay(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(tar_bytes(FILES)))
    data[-8] ^= 1
    members, own = listed(tmp_path / "x.tgz", bytes(data))
    assert names(members) == list(FILES)
    assert error_class(own) == "archive.corrupt"


def test_another_archive_in_its_place_is_changed_not_mixed_up(tmp_path: Path) -> None:
    path = tmp_path / "x.tgz"
    members, own = listed(path, gzip.compress(tar_bytes(FILES)))
    path.write_bytes(gzip.compress(tar_bytes({"new": b"x" * 600} | FILES)))
    got = contents(read_stream(own.address, members, limits=LIMITS))
    assert set(got.values()) == {"fetch.changed"}
    path.write_bytes(gzip.compress(tar_bytes({"a.jpg": b"ONE!"})))
    got = contents(read_stream(own.address, members, limits=LIMITS))
    assert got == dict.fromkeys(FILES, "fetch.changed")
    path.unlink()
    got = contents(read_stream(own.address, members, limits=LIMITS))
    assert got == dict.fromkeys(FILES, "fetch.missing")


def test_a_member_over_the_limit_is_a_bomb_and_the_next_one_is_read(tmp_path: Path) -> None:
    size = 2**30 + 1
    path = tmp_path / "x.tar.zst"
    # A window smaller than what comes again, so that it does not pack away.
    near = zstandard.ZstdCompressionParameters.from_level(1, window_log=17)
    engine = zstandard.ZstdCompressor(compression_params=near)
    with path.open("wb") as file, engine.stream_writer(file) as writer:
        writer.write(tar_header("big", size=size))
        _write_noise(writer, size + -size % 512)
        writer.write(tar_bytes({"a": b"one"}))
    big, small, own = open_input(str(path))
    assert (error_class(big), error_class(small)) == ("archive.bomb", None)
    got = contents(read_stream(own.address, [big, small], limits=LIMITS))
    assert got == {"big": "archive.bomb", "a": b"one"}


def _write_noise(writer: BinaryIO, size: int) -> None:
    """Write bytes that pack about 64 times: below the ratio of a bomb, and soon done."""
    dice = random.Random(3)
    unit = b"".join(dice.randbytes(2**12) + bytes(63 * 2**12) for _ in range(16))
    while size > 0:
        writer.write(unit[:size])
        size -= len(unit[:size])


@pytest.mark.slow
def test_a_stream_of_zeros_is_a_bomb_in_little_memory_and_time(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.zst"
    engine = zstandard.ZstdCompressor(level=1)
    with path.open("wb") as file, engine.stream_writer(file) as writer:
        writer.write(tar_header("a", size=2**35))
        for _ in range(3 * 2**10):
            writer.write(bytes(2**20))
    before, began = _peak(), time.monotonic()
    *members, own = open_input(str(path))
    assert names(members) == ["a"]
    assert error_class(own) == "archive.bomb"
    assert _peak() - before < 200 * 2**20
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_a_header_that_claims_gigabytes_is_refused_unread(tmp_path: Path, kind: bytes) -> None:
    data = gzip.compress(tar_header("h", kind=kind, size=8_000_000_000) + bytes(2**20))
    members, own = listed(tmp_path / "x.tgz", data)
    assert members == []
    assert error_class(own) == "archive.bomb"


def test_a_zstd_window_beyond_the_limit_is_unsupported(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, write_content_size=False)
    buffer = io.BytesIO()
    engine = zstandard.ZstdCompressor(compression_params=parameters)
    with engine.stream_writer(buffer, closefd=False) as writer:
        writer.write(tar_bytes(FILES))
    members, own = listed(tmp_path / "x.tar.zst", buffer.getvalue())
    assert members == []
    assert error_class(own) == "archive.unsupported"


def test_links_in_a_stream_carry_their_verdict(tmp_path: Path) -> None:
    data = tar_header("l", kind=b"2") + tar_header("a", size=1) + padded(b"x") + END
    members, _ = listed(tmp_path / "x.tgz", gzip.compress(data))
    assert [error_class(m) for m in members] == ["link", None]


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.slow
def test_seventy_thousand_digits_are_listed_and_read_in_one_pass_each() -> None:
    archive = Path(__file__).parents[3] / "shared" / "corpora" / "mnist-png.tar.gz"
    if not archive.exists():
        pytest.skip("needs corpora/mnist-png.tar.gz in a folder `shared` beside the checkout")
    *members, own = open_input(str(archive))
    pictures = [m for m in members if m.address.endswith(".png")]
    assert len(pictures) == 70_000
    assert len({m.address for m in members}) == len(members)
    assert error_class(own) == "archive"
    read = read_stream(own.address, pictures, limits=LIMITS)
    heads = {blob.head[:8] for _, blob in read if not isinstance(blob, SourceError)}
    assert heads == {b"\x89PNG\r\n\x1a\n"}


def test_members_that_are_wanted_out_of_order_are_all_read(tmp_path: Path) -> None:
    members, own = listed(tmp_path / "x.tgz", gzip.compress(tar_bytes(FILES)))
    a, b, c, d = members
    for wanted in ([a, c, b, d], [d, c, b, a], [b, d, a]):
        found = list(read_stream(own.address, wanted, limits=LIMITS))
        assert [source for source, _ in found] == wanted
        assert contents(found) == {names([s])[0]: FILES[names([s])[0]] for s in wanted}


def test_what_is_gone_is_told_once_whatever_the_order(tmp_path: Path) -> None:
    members, own = listed(tmp_path / "x.tgz", gzip.compress(tar_bytes(FILES)))
    a, b, c, d = members
    Path(tmp_path / "x.tgz").write_bytes(gzip.compress(tar_bytes({"a.jpg": b"one"})))
    found = list(read_stream(own.address, [d, b, a, c], limits=LIMITS))
    assert [source for source, _ in found] == [d, b, a, c]
    assert contents(found) == {
        "a.jpg": b"one",
        **dict.fromkeys(["b.jpg", "c.json", "d.png"], "fetch.changed"),
    }
