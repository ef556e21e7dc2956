from __future__ import annotations

import bz2
import io
import lzma
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest
import zstandard

from imgbatch.errors import ArchiveError, FetchError
from imgbatch.settings import Limits
from imgbatch.sources import fetch, open_input
from tests.sources.crafted import Packed, error_class, listed, names, zip_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.records import Source

LIMITS = Limits()
SMALL = Limits(fetched_bytes=2**16)
TEXT = b"0123456789" * 30_000  # 300,000 bytes: more than SMALL holds in memory


def deflated(data: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return engine.compress(data) + engine.flush()


def failure(source: Source, limits: Limits = LIMITS) -> str:
    with pytest.raises((ArchiveError, FetchError)) as caught:
        fetch(source, limits=limits)
    return caught.value.code


def test_members_are_listed_as_zipfile_lists_them(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("d/", b"")
        archive.writestr("d/a.jpg", b"aaaa")
        archive.writestr("\u00fcml.png", b"u" * 999)
    members, own = listed(tmp_path / "x.zip", buffer.getvalue())
    with zipfile.ZipFile(buffer) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
    assert names(members) == [info.filename for info in infos]
    assert [m.version for m in members] == [f"{info.CRC:08x}" for info in infos]
    assert [m.size for m in members] == [info.file_size for info in infos]
    assert [m.offset for m in members] == [info.header_offset for info in infos]
    assert [m.packed_size for m in members] == [info.compress_size for info in infos]
    assert {(m.packing, m.container, m.method) for m in members} == {("zip", own.address, 8)}
    assert own.verdict is not None
    assert (own.verdict.status, own.verdict.error_class) == ("filtered", "archive")
    assert own.verdict.message == "2 members"
    stat = (tmp_path / "x.zip").stat()
    assert own.version == f"{stat.st_size}-{stat.st_mtime_ns}"


@pytest.mark.parametrize("method", [0, 8, 12, 14])
@pytest.mark.parametrize("limits", [LIMITS, SMALL])
def test_what_zipfile_wrote_is_read_back(tmp_path: Path, method: int, limits: Limits) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", method) as archive:
        archive.writestr("empty.png", b"")
        archive.writestr("a.png", TEXT)
    empty, text, _ = open_input(str(tmp_path / "x.zip"))
    assert fetch(empty, limits=limits).read() == b""
    blob = fetch(text, limits=limits)
    assert (blob.data is None) is (limits is SMALL)
    assert blob.size == len(TEXT)
    assert blob.head == TEXT[:4096]
    assert blob.read() == TEXT


def test_a_zstd_member_is_read(tmp_path: Path) -> None:
    packed = zstandard.compress(TEXT[:1000]) + zstandard.compress(TEXT[1000:])
    (member,), _ = listed(tmp_path / "x.zip", zip_bytes([Packed(b"a", TEXT, 93, packed)]))
    assert fetch(member, limits=LIMITS).data == TEXT
    assert fetch(member, limits=SMALL).read() == TEXT


def test_an_lzma_member_without_an_end_mark_is_read(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 2**16, "lc": 3, "lp": 0, "pb": 2}]
    raw = lzma.compress(TEXT, lzma.FORMAT_RAW, filters=filters)
    header = struct.pack("<BBHBL", 9, 20, 5, (2 * 5 + 0) * 9 + 3, 2**16)
    (member,), _ = listed(tmp_path / "x.zip", zip_bytes([Packed(b"a", TEXT, 14, header + raw)]))
    assert fetch(member, limits=LIMITS).data == TEXT


def test_output_that_hides_behind_the_last_input_byte_is_not_lost(tmp_path: Path) -> None:
    # Sizes just above the chunk of 1 MiB: zlib took all input and still owes a few bytes.
    for size in (2**20 - 1, 2**20, 2**20 + 5, 2**20 + 262, 2**20 + 263):
        data = bytes(size)
        entry = Packed(b"a", data, 8, deflated(data))
        (member,), _ = listed(tmp_path / "x.zip", zip_bytes([entry]))
        assert fetch(member, limits=LIMITS).data == data


def test_a_streamed_zip_with_data_descriptors_is_read(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", TEXT)
        archive.writestr("b.png", b"b")
    members, _ = listed(tmp_path / "x.zip", pipe.data)
    assert [fetch(m, limits=LIMITS).data for m in members] == [TEXT, b"b"]


def test_zip64_sizes_offsets_and_end_record_are_read(tmp_path: Path) -> None:
    entries = [Packed(b"a", b"one", zip64=True), Packed(b"b", b"second", zip64=True)]
    for prefix in (b"", b"#!/bin/sh\n" * 9):
        data = zip_bytes(entries, prefix=prefix, end64=True)
        assert zipfile.ZipFile(io.BytesIO(data)).namelist() == ["a", "b"]
        members, _ = listed(tmp_path / "x.zip", data)
        assert [(m.size, m.packed_size) for m in members] == [(3, 3), (6, 6)]
        assert [fetch(m, limits=LIMITS).data for m in members] == [b"one", b"second"]


def test_offsets_move_with_a_program_before_the_zip(tmp_path: Path) -> None:
    data = zip_bytes([Packed(b"a", b"one")], prefix=b"MZ" * 1000, comment=b"c" * 300)
    (member,), _ = listed(tmp_path / "x.zip", data)
    assert member.offset == 2000
    assert fetch(member, limits=LIMITS).data == b"one"


def test_an_end_record_in_a_comment_is_not_taken_for_the_end(tmp_path: Path) -> None:
    data = zip_bytes([Packed(b"a", b"one")], comment=b"PK\5\6" + bytes(18) + b"tail")
    members, own = listed(tmp_path / "x.zip", data)
    assert names(members) == ["a"]
    assert error_class(own) == "archive"


def test_a_long_local_extra_field_is_skipped(tmp_path: Path) -> None:
    entries = [Packed(b"a", b"one", local_extra=bytes(60_000)), Packed(b"b", b"two")]
    members, _ = listed(tmp_path / "x.zip", zip_bytes(entries))
    assert [fetch(m, limits=LIMITS).data for m in members] == [b"one", b"two"]


def test_names_are_decoded_quoted_and_made_unique(tmp_path: Path) -> None:
    entries = [
        Packed("\u00e9.png".encode(), flags=0x800),  # said to be UTF-8
        Packed("\u00e9.png".encode(), b"1"),  # is UTF-8 and does not say so
        Packed(b"\x82.png", b"2"),  # e acute in code page 437
        Packed(b"\xff.png", b"3", flags=0x800),  # said to be UTF-8 and is not
        Packed(b"a\nb%.png", b"4"),
        Packed(b"", b"5"),
        Packed(b"\xc3\xa9.png#2", b"6"),
        Packed(b"../../etc/passwd", b"7"),
        Packed(b"/abs.png", b"8"),
        Packed(b"C:\\abs.png", b"9"),
        Packed(b"folder\\"),
        Packed(b"not-a-folder/", b"x"),
    ]
    members, own = listed(tmp_path / "x.zip", zip_bytes(entries))
    assert names(members) == [
        "\u00e9.png",
        "\u00e9.png#2",
        "\u00e9.png#3",
        "%FF.png",
        "a%0Ab%25.png",
        "",
        "\u00e9.png#2#2",
        "../../etc/passwd",
        "/abs.png",
        "C:\\abs.png",
        "not-a-folder/",
    ]
    assert own.verdict is not None
    assert own.verdict.message == "11 members"
    assert [fetch(m, limits=LIMITS).data for m in members[1:3]] == [b"1", b"2"]
    assert fetch(members[7], limits=LIMITS).data == b"7"


def test_a_name_in_a_code_page_is_read_from_the_field_that_has_it_in_utf8(tmp_path: Path) -> None:
    raw, name = "\u043c\u0438\u0440.png".encode("cp866"), "\u043c\u0438\u0440.png"

    def told(crc: int) -> bytes:
        text = struct.pack("<BL", 1, crc) + name.encode()
        return struct.pack("<2H", 0x7075, len(text)) + text

    renamed = "old.png"
    data = zip_bytes(
        [
            Packed(raw, b"1", extra=struct.pack("<2H", 0x5455, 1) + b"\0" + told(zlib.crc32(raw))),
            Packed(raw, b"2", extra=told(zlib.crc32(raw)), zip64=True),
            # Made for another name, by a tool that did not know the field when it renamed this.
            Packed(renamed.encode(), b"3", extra=told(zlib.crc32(raw))),
            Packed(b"cut.png", b"4", extra=struct.pack("<2H", 0x7075, 99) + b"\1"),
        ]
    )
    members, _ = listed(tmp_path / "x.zip", data)
    assert names(members) == [name, f"{name}#2", renamed, "cut.png"]
    assert [fetch(member, limits=LIMITS).read() for member in members] == [b"1", b"2", b"3", b"4"]


def test_links_devices_and_what_cannot_be_unpacked_carry_a_verdict(tmp_path: Path) -> None:
    unix = 3 << 8 | 20
    entries = [
        Packed(b"link", b"/etc/passwd", made_by=unix, attributes=0o120777 << 16),
        Packed(b"fifo", made_by=unix, attributes=0o010644 << 16),
        Packed(b"file", b"x", made_by=unix, attributes=0o100644 << 16),
        Packed(b"dos", b"x", made_by=20, attributes=0o120777 << 16),
        Packed(b"secret", b"x", flags=1),
        Packed(b"deflate64", b"x", 9),
        Packed(b"bomb", b"x", 8, size=2**30 + 1),
        Packed(b"nowhere", b"x", offset=10_000),
    ]
    members, own = listed(tmp_path / "x.zip", zip_bytes(entries))
    assert [error_class(m) for m in members] == [
        "link",
        "special",
        None,
        None,
        "archive.encrypted",
        "archive.unsupported",
        "archive.bomb",
        "archive.corrupt",
    ]
    assert error_class(own) == "archive"
    assert members[0].verdict is not None
    assert members[0].verdict.status == "filtered"


def test_a_wrong_crc_is_corrupt_in_memory_and_in_a_file(tmp_path: Path) -> None:
    (member,), _ = listed(tmp_path / "x.zip", zip_bytes([Packed(b"a", TEXT, crc=1)]))
    assert failure(member) == "archive.corrupt"
    assert failure(member, SMALL) == "archive.corrupt"


@pytest.mark.parametrize(
    ("method", "packed"),
    [
        (8, deflated(b"hello")),
        (12, bz2.compress(b"hello")),
        (93, zstandard.compress(b"hello")),
        (0, b"hello"),
    ],
)
@pytest.mark.parametrize("size", [4, 6])
def test_more_or_less_than_the_declared_size_is_corrupt(
    tmp_path: Path, method: int, packed: bytes, size: int
) -> None:
    entry = Packed(b"a", b"hello", method, packed, size=size)
    (member,), _ = listed(tmp_path / "x.zip", zip_bytes([entry]))
    assert failure(member) == "archive.corrupt"


def test_a_deflate_bomb_is_stopped_at_its_declared_size(tmp_path: Path) -> None:
    entry = Packed(b"a", b"", 8, deflated(bytes(300 * 2**20)), crc=0, size=1000)
    (member,), _ = listed(tmp_path / "x.zip", zip_bytes([entry]))
    assert failure(member) == "archive.corrupt"


@pytest.mark.parametrize("method", [8, 12, 14, 93])
def test_packed_bytes_that_are_noise_are_corrupt(tmp_path: Path, method: int) -> None:
    entry = Packed(b"a", b"hello", method, b"\x09\x14\x05\x00\x5d\xff\xfe noise, no stream " * 9)
    (member,), _ = listed(tmp_path / "x.zip", zip_bytes([entry]))
    assert failure(member) == "archive.corrupt"


def test_overlapping_members_are_each_read_within_their_bounds(tmp_path: Path) -> None:
    entries = [Packed(b"a", b"kernel"), Packed(b"a", b"kernel", offset=0)]
    members, _ = listed(tmp_path / "x.zip", zip_bytes(entries))
    assert names(members) == ["a", "a#2"]
    assert [fetch(m, limits=LIMITS).data for m in members] == [b"kernel", b"kernel"]


def test_members_before_a_damaged_entry_stay(tmp_path: Path) -> None:
    data = bytearray(zip_bytes([Packed(b"a", b"one"), Packed(b"b", b"two")]))
    data[data.rindex(b"PK\1\2")] = 0
    members, own = listed(tmp_path / "x.zip", bytes(data))
    assert names(members) == ["a"]
    assert error_class(own) == "archive.corrupt"
    assert own.verdict is not None
    assert own.verdict.message.endswith("1 members before that")


def test_a_zip_that_lost_its_end_is_truncated_and_other_bytes_are_corrupt(tmp_path: Path) -> None:
    data = zip_bytes([Packed(b"a", TEXT)])
    assert error_class(listed(tmp_path / "a.zip", data[:-400])[1]) == "archive.truncated"
    assert error_class(listed(tmp_path / "b.zip", b"")[1]) == "archive.truncated"
    assert error_class(listed(tmp_path / "c.zip", b"<html>404</html>")[1]) == "archive.corrupt"


def test_fewer_entries_than_told_are_corrupt(tmp_path: Path) -> None:
    data = bytearray(zip_bytes([Packed(b"a", b"one")]))
    data[-12:-10] = struct.pack("<H", 2)
    members, own = listed(tmp_path / "x.zip", bytes(data))
    assert names(members) == ["a"]
    assert error_class(own) == "archive.corrupt"


def test_a_part_of_a_split_zip_is_unsupported(tmp_path: Path) -> None:
    data = bytearray(zip_bytes([Packed(b"a", b"one")]))
    data[-18:-16] = struct.pack("<H", 3)
    assert error_class(listed(tmp_path / "x.zip", bytes(data))[1]) == "archive.unsupported"


def test_an_archive_cut_after_its_listing_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    (member,), _ = listed(path, zip_bytes([Packed(b"a", TEXT)]))
    path.write_bytes(path.read_bytes()[:1000])
    assert failure(member) == "archive.truncated"
    assert failure(member, SMALL) == "archive.truncated"
    path.write_bytes(b"")
    assert failure(member) == "archive.truncated"
    path.unlink()
    assert failure(member) == "fetch.missing"
