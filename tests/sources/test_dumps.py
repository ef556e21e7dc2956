"""Dumps: what they are read from, how broken files are told, and what a dump is taken for."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import json
import lzma
import random
import struct
import tarfile
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pytest
import zstandard

from imgbatch.errors import ArchiveError, DumpError
from imgbatch.sources import dumps, streams
from imgbatch.sources.dumps import (
    Dump,
    Gap,
    Post,
    lines,
    names,
    separated,
    spooled,
    values,
    walk,
    window,
)
from imgbatch.sources.dumps._cells import media_in
from imgbatch.sources.dumps._usual import moment
from imgbatch.sources.dumps.packed import unpacked
from imgbatch.storage import open_store
from tests.contracts.dumps import fixture
from tests.sources.crafted import Packed, tar_bytes, zip_bytes

if TYPE_CHECKING:
    from pathlib import Path

POST = {"id": "1", "text": "words", "author_id": "5", "conversation_id": "1", "created_at": "2020"}
LINES = b"".join(json.dumps({**POST, "id": str(n)}).encode() + b"\n" for n in range(2000))
NAMES = itertools.count()


def there(tmp_path: Path, files: dict[str, bytes]) -> Dump:
    folder = tmp_path / f"dump{next(NAMES)}"
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return Dump.at(str(folder))


def ids(found: list[Any]) -> list[str]:
    return [each[1]["id"] for each in found if not isinstance(each, Gap)]


def gaps(found: list[Any]) -> list[tuple[str, int | None]]:
    return [(each.kind, each.line) for each in found if isinstance(each, Gap)]


def window_of_two_gib(data: bytes) -> bytes:
    """A zstd frame as Reddit's are: its header asks for a window of 2**31 bytes."""
    blocks = [data[at : at + 2**16] for at in range(0, len(data), 2**16)]
    packed = b"\x28\xb5\x2f\xfd" + bytes([0, 21 << 3])
    for number, block in enumerate(blocks, 1):
        header = (len(block) << 3) | (number == len(blocks))
        packed += struct.pack("<I", header)[:3] + block
    return packed


PACKED = {
    "a.jsonl": LINES,
    "a.jsonl.gz": gzip.compress(LINES, mtime=0),
    "a.jsonl.bz2": bz2.compress(LINES),
    "a.jsonl.xz": lzma.compress(LINES, check=lzma.CHECK_NONE),
    "a.jsonl.zst": zstandard.compress(LINES),
    "wide.jsonl.zst": window_of_two_gib(LINES),
    "frames.jsonl.zst": zstandard.compress(LINES[:5000]) + zstandard.compress(LINES[5000:]),
    "named-as-none.jsonl": gzip.compress(LINES, mtime=0),
    "named-as-gz.jsonl.gz": LINES,
}


@pytest.mark.parametrize("name", PACKED)
def test_a_file_is_unpacked_by_what_it_holds(tmp_path: Path, name: str) -> None:
    dump = there(tmp_path, {name: PACKED[name]})
    assert list(dump.metadata("jsonl")) == [name]
    assert dump.read(name) == LINES
    assert dump.head(name, 5) == LINES[:5]
    assert ids(list(lines.objects(dump, name))) == [str(n) for n in range(2000)]


@pytest.mark.parametrize(
    "name", [name for name in PACKED if name not in ("a.jsonl", "named-as-gz.jsonl.gz")]
)
def test_a_packed_file_that_is_cut_gives_what_it_holds_and_a_gap(tmp_path: Path, name: str) -> None:
    data = PACKED[name]
    dump = there(tmp_path, {name: data[: len(data) * 2 // 3]})
    found = list(lines.objects(dump, name))
    assert ids(found) == [str(n) for n in range(len(ids(found)))]
    assert "archive.truncated" in dict(gaps(found))
    assert len(ids(found)) < 2000


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.xz"])
def test_all_that_stands_before_the_end_of_a_cut_file_is_read(tmp_path: Path, name: str) -> None:
    dump = there(tmp_path, {name: PACKED[name][:-1]})
    found = list(lines.objects(dump, name))
    assert len(ids(found)) == 2000
    assert "archive.truncated" in dict(gaps(found))
    table = b"id,body\n" + b"".join(b"%d,%x\n" % (n, n * 7919) for n in range(50_000))
    dump = there(tmp_path, {"a.csv.gz": gzip.compress(table)[:-1]})
    assert len(list(separated.rows(dump, "a.csv.gz"))) == 50_001
    document = b'[{"id": 1},\n{"id": 2}]'
    dump = there(tmp_path, {"a.json.gz": gzip.compress(document)[:-1]})
    assert list(walk.items(dump, "a.json.gz", ("*",)))[:2] == [(1, {"id": 1}), (2, {"id": 2})]


def test_a_packed_file_of_damaged_bytes_is_a_gap(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(random.Random(1).randbytes(2**16)))
    data[len(data) // 2] ^= 0xFF
    found = list(lines.objects(there(tmp_path, {"a.jsonl.gz": bytes(data)}), "a.jsonl.gz"))
    assert ("archive.corrupt", None) in gaps(found)


@pytest.mark.parametrize("form", ["folder", "zip", "tar", "file", "bucket"])
def test_a_dump_is_a_folder_an_archive_a_file_or_a_bucket(tmp_path: Path, form: str) -> None:
    files = {"posts.jsonl": LINES, "media/a b.jpg": b"a picture"}
    where, inside = str(tmp_path / "d"), ""
    if form == "folder":
        where = there(tmp_path, files).root
    elif form == "zip":
        with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_DEFLATED) as packed:
            for name, data in files.items():
                packed.writestr(name, data)
        where, inside = f"{where}.zip", "d.zip!/"
    elif form == "tar":
        (tmp_path / "d.tar").write_bytes(tar_bytes(files))
        where, inside = f"{where}.tar", "d.tar!/"
    elif form == "file":
        (tmp_path / "posts.jsonl").write_bytes(LINES)
        where = str(tmp_path / "posts.jsonl")
    else:
        where = f"memory://dump-{next(NAMES)}/weekly"
        for name, data in files.items():
            open_store(where).put(name, data)
    dump = Dump.at(where)
    assert list(dump.metadata("jsonl")) == [f"{inside}posts.jsonl"]
    if form != "file":
        assert list(dump.media()) == [f"{inside}media/a b.jpg"]
        assert dump.has(f"{inside}media/a b.jpg")
        assert list(dump.starting(f"{inside}media/")) == [f"{inside}media/a b.jpg"]
    assert dump.address(f"{inside}posts.jsonl") in {
        dump.source(name).address for name in dump.names()
    }
    assert ids(list(lines.objects(dump, f"{inside}posts.jsonl")))[-1] == "1999"


def test_a_file_that_changed_since_it_was_listed_is_a_gap(tmp_path: Path) -> None:
    dump = there(tmp_path, {"a.jsonl": LINES})
    (tmp_path / dump.root.rpartition("/")[2] / "a.jsonl").write_bytes(LINES * 2)
    assert gaps(list(lines.objects(dump, "a.jsonl"))) == [("fetch.changed", None)]


def test_a_compressed_tar_is_unpacked_once_for_all_its_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    monkeypatch.setattr(
        spooled, "read_stream", lambda *args, **named: passes.append(args) or read(*args, **named)
    )
    read = streams.read_stream
    members = {"b/z.jsonl": LINES, "b/p.png": b"no picture", "a.jsonl": LINES[:4000]}
    (tmp_path / "d.tar.gz").write_bytes(gzip.compress(tar_bytes(members)))
    (tmp_path / "e.tar.zst").write_bytes(zstandard.compress(tar_bytes({"c.jsonl": LINES})))
    dump = Dump.at(str(tmp_path))
    assert dumps.choose(dump) == ["twarc2"]
    found = [post for _, post in dumps.read_all(dump, ["twarc2"]) if isinstance(post, Post)]
    whole = len(LINES[:4000].splitlines()) - 1
    assert len(found) == whole + 2000 + 2000
    assert found[-1].raw_ref == "e.tar.zst!/c.jsonl:2000"
    assert len(passes) == 2


def test_metadata_of_a_name_that_their_archive_has_already_are_told(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, data in (("a.jsonl", LINES), ("a.jsonl", LINES[:400]), ("b.txt", b"words")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (tmp_path / "d.tar.gz").write_bytes(file.getvalue())
    dump = Dump.at(str(tmp_path))
    found = [one for _, one in dumps.read_all(dump, ["twarc2"])]
    assert sum(isinstance(one, Post) for one in found) == 2000
    assert ("unread", "d.tar.gz!/a.jsonl#2") in {
        (one.kind, one.ref) for one in found if isinstance(one, Gap)
    }
    assert dump.read("d.tar.gz!/a.jsonl") == LINES
    for name in ("d.tar.gz!/b.txt", "d.tar.gz!/a.jsonl#2", "d.tar.gz!/b.txt"):
        with pytest.raises(ArchiveError, match="no metadata by its name"):
            dump.open(name)


def test_a_compressed_tar_that_is_cut_gives_the_posts_before_that_and_a_gap(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(200_000)
    packed = gzip.compress(tar_bytes({"a.jsonl": LINES, "b.jsonl": LINES + noise}))
    (tmp_path / "d.tar.gz").write_bytes(packed[:-100_000])
    dump = Dump.at(str(tmp_path / "d.tar.gz"))
    assert len(ids(list(lines.objects(dump, "d.tar.gz!/a.jsonl")))) == 2000
    assert gaps(list(lines.objects(dump, "d.tar.gz!/b.jsonl"))) == [("archive.truncated", None)]


def test_a_compressed_tar_that_changed_since_it_was_listed_is_a_gap(tmp_path: Path) -> None:
    (tmp_path / "d.tar.gz").write_bytes(gzip.compress(tar_bytes({"a.jsonl": LINES})))
    dump = Dump.at(str(tmp_path / "d.tar.gz"))
    (tmp_path / "d.tar.gz").write_bytes(gzip.compress(tar_bytes({"a.jsonl": LINES * 2})))
    assert gaps(list(lines.objects(dump, "d.tar.gz!/a.jsonl"))) == [("fetch.changed", None)]


def test_an_archive_in_an_archive_is_told_and_not_opened(tmp_path: Path) -> None:
    inner = zip_bytes([Packed(b"b.jsonl", LINES)])
    outer = tar_bytes({"a.jsonl": LINES, "inner.zip": inner})
    (tmp_path / "d.tar").write_bytes(outer)
    found = [each for _, each in dumps.read_all(Dump.at(str(tmp_path / "d.tar")), ["twarc2"])]
    told = [
        (gap.kind, gap.ref) for gap in found if isinstance(gap, Gap) and "archive" in gap.message
    ]
    assert told == [("unread", "d.tar!/inner.zip")]


def test_a_member_that_claims_far_more_than_it_holds_is_a_gap(tmp_path: Path) -> None:
    member = Packed(b"a.jsonl", LINES, size=2**32 - 2)
    (tmp_path / "d.zip").write_bytes(zip_bytes([member]))
    dump = Dump.at(str(tmp_path / "d.zip"))
    found = list(lines.objects(dump, "d.zip!/a.jsonl"))
    assert [kind for kind, _ in gaps(found)] == ["archive.corrupt"]


def test_broken_lines_are_told_by_number_and_the_others_are_read(tmp_path: Path) -> None:
    data = (
        b"\xef\xbb\xbf"
        + LINES[:0]
        + b'{"id": "a"}\n{"id": \n\n[1]\nnull\n{"id": "b"}\r\n{"id": "c"'
    )
    found = list(lines.objects(there(tmp_path, {"a.jsonl": data}), "a.jsonl"))
    assert ids(found) == ["a", "b"]
    assert gaps(found) == [
        ("broken-line", 2),
        ("broken-line", 4),
        ("broken-line", 5),
        ("cut-line", 7),
    ]


def test_a_last_line_without_an_end_is_whole_where_it_is_json(tmp_path: Path) -> None:
    found = list(lines.objects(there(tmp_path, {"a.jsonl": b'{"id": "a"}'}), "a.jsonl"))
    assert ids(found) == ["a"]
    assert gaps(found) == []


def test_thousands_of_broken_lines_become_a_count(tmp_path: Path) -> None:
    found = list(lines.objects(there(tmp_path, {"a.jsonl": b"{\n" * 2500}), "a.jsonl"))
    assert len(found) == lines.TOLD + 1
    assert sum(gap.count for gap in found if isinstance(gap, Gap)) == 2500


def test_a_line_without_end_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINE", 100)
    monkeypatch.setattr(lines, "BLOCK", 16)
    data = b'{"id": "a"}\n{"x": "' + b"x" * 1000 + b'"}\n{"id": "b"}\n'
    found = list(lines.objects(there(tmp_path, {"a.jsonl": data}), "a.jsonl"))
    assert ids(found) == ["a", "b"]
    assert gaps(found) == [("long-line", 2)]


def test_a_line_nested_too_deeply_is_a_gap(tmp_path: Path) -> None:
    data = b'{"id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n" + b'{"id": "b"}\n'
    found = list(lines.objects(there(tmp_path, {"a.jsonl": data}), "a.jsonl"))
    assert ids(found) == ["b"]
    assert gaps(found) == [("broken-line", 1)]


def test_a_document_gives_its_items_whatever_stands_before(tmp_path: Path) -> None:
    files = {
        "a.js": b'window.YTD.tweets.part0 = [{"id": "1"}, {"id": "2"}]',
        "b.json": b'\xef\xbb\xbf{"data": {"videos": [{"id": "1"}, {"id": "2"}]}}',
    }
    dump = there(tmp_path, files)
    assert ids(list(walk.items(dump, "a.js", ITEMS))) == ["1", "2"]
    assert ids(list(walk.items(dump, "b.json", ("data", "videos", *ITEMS)))) == ["1", "2"]
    assert list(walk.pairs(dump, "b.json")) == [
        (1, ("data", {"videos": [{"id": "1"}, {"id": "2"}]}))
    ]


def test_a_number_beyond_64_bits_keeps_all_its_digits(tmp_path: Path) -> None:
    data = json.dumps([{"id": "1"}, {"id": 2**70 + 1}, {"id": "3", "rate": 1.5}]).encode()
    found = list(walk.items(there(tmp_path, {"a.json": data}), "a.json", ITEMS))
    assert [values.text_id(each) for each in ids(found)] == ["1", str(2**70 + 1), "3"]
    assert gaps(found) == []


def test_a_document_that_breaks_says_how_much_was_read(tmp_path: Path) -> None:
    whole = json.dumps([{"id": str(n)} for n in range(5)]).encode()
    for data, kind in ((whole[:-14], "cut-line"), (whole.replace(b'"3"', b'"3'), "broken-json")):
        found = list(walk.items(there(tmp_path, {"a.json": data}), "a.json", ITEMS))
        assert ids(found) == [str(n) for n in range(len(ids(found)))]
        ((found_kind, line),) = gaps(found)
        assert (found_kind, line) == (kind, len(ids(found)) + 1)


@pytest.mark.parametrize("piece", [7, 13, 64, 1000])
def test_a_document_is_the_same_however_it_is_cut_into_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    draw = random.Random(piece)
    letters = ["\U0001f600", "a", "\\", "\\ud83d", "\\\\", "\u00e9", "\n", '"']
    texts = ["".join(draw.choices(letters, k=60)) for _ in range(50)]
    data = b"[" + b",".join(
        json.dumps({"id": text}, ensure_ascii=n % 2 == 0).encode() for n, text in enumerate(texts)
    )
    monkeypatch.setattr(window, "PIECE", piece)
    found = list(walk.items(there(tmp_path, {"a.json": data + b"]"}), "a.json", ITEMS))
    assert ids(found) == texts
    assert gaps(found) == []


SAID = "caf\u00e9 \u4e0a \U0001f600"
WINDOWS = "".join(f'{{"id": "{n}", "text": "{SAID}"}}\r\n' for n in range(4000))


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("packed", [False, True])
def test_lines_of_utf_16_are_those_of_utf_8(tmp_path: Path, coding: str, *, packed: bool) -> None:
    written = f"\ufeff{WINDOWS}".encode(coding)
    data = gzip.compress(written, mtime=0) if packed else written
    found = list(lines.objects(there(tmp_path, {"a.jsonl": data}), "a.jsonl"))
    items = [each[1] for each in found if not isinstance(each, Gap)]
    assert [item["id"] for item in items] == [str(n) for n in range(4000)]
    assert {item["text"] for item in items} == {SAID}
    assert gaps(found) == []


class Slow(io.RawIOBase):
    """A file that gives one byte at a time, as a socket may."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(1)
        buffer[: len(data)] = data
        return len(data)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("text", ["", "a", "a\u4e0a\n" * 99])
def test_a_file_that_comes_byte_by_byte_is_what_its_first_bytes_say(
    text: str, *, packed: bool
) -> None:
    for written in (text.encode(), text.encode("utf-16")):
        data = gzip.compress(written, mtime=0) if packed else written
        file = Slow(data)
        with unpacked(cast("BinaryIO", file)) as stream:
            assert stream.read().decode() == text
        assert file.closed


@pytest.mark.parametrize("cut", [1, 3, 9])
def test_lines_of_utf_16_that_are_cut_say_so(tmp_path: Path, cut: int) -> None:
    data = WINDOWS.encode("utf-16")[: -4 - cut]
    found = list(lines.objects(there(tmp_path, {"a.jsonl": data}), "a.jsonl"))
    assert sum(not isinstance(each, Gap) for each in found) == 3999
    assert ("cut-line", 4000) in gaps(found)


def test_half_a_character_of_utf_16_loses_no_line(tmp_path: Path) -> None:
    text = '{"id": "1"}\n{"id": "2", "text": "\ud800"}\n{"id": "3"}\n'
    data = b"\xff\xfe" + text.encode("utf-16-le", "surrogatepass")
    found = list(lines.objects(there(tmp_path, {"a.jsonl": data}), "a.jsonl"))
    assert [each[1]["id"] for each in found if not isinstance(each, Gap)] == ["1", "2", "3"]
    assert [kind for kind, _ in gaps(found)] == ["bad-bytes"]


ITEMS = (walk.STEP,)
TABLE = 'id,body\n1,one\n2,"two\nlines, and a comma"\n3,three\n'


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", TABLE.encode()),
        ("a.csv", b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").encode()),
        ("a.csv", TABLE.encode("utf-16")),
        ("a.csv.gz", gzip.compress(TABLE.encode(), mtime=0)),
        ("a.csv", TABLE.replace(",", ";").replace("; and", ", and").encode()),
        ("a.tsv", TABLE.replace(",", "\t").replace("\t and", ", and").encode()),
    ],
)
def test_a_table_is_read_as_people_write_it(tmp_path: Path, name: str, data: bytes) -> None:
    found = list(separated.rows(there(tmp_path, {name: data}), name))
    assert gaps(found) == []
    assert [(line, row[0]) for line, row in found] == [(2, "1"), (3, "2"), (5, "3")]  # type: ignore[misc, index] # no gaps, as just seen
    assert "comma" in found[1][1][1]  # type: ignore[index] # the same


def test_a_row_of_other_columns_is_a_gap_and_the_next_is_read(tmp_path: Path) -> None:
    data = b"id,body\n1,one,more\n2\n3,three\n4"
    found = list(separated.rows(there(tmp_path, {"a.csv": data}), "a.csv"))
    assert [each for each in found if not isinstance(each, Gap)] == [(4, ["3", "three"])]
    assert gaps(found) == [("broken-line", 2), ("broken-line", 3), ("cut-line", 5)]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 16, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_table_is_the_same_however_it_is_cut_into_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, end: str
) -> None:
    monkeypatch.setattr(separated, "BLOCK", block)
    text = 'id,body\n\n1,"caf\u00e9 ""so"", \U0001f600"\n2,a\0b\nonly one\n3,"two\nlines"\n4,last'
    data = text.replace("\n", end).encode() + b" \xff"
    found = list(separated.rows(there(tmp_path, {"a.csv": data}), "a.csv"))
    assert [each for each in found if not isinstance(each, Gap)] == [
        (3, ["1", 'caf\u00e9 "so", \U0001f600']),
        (4, ["2", "ab"]),
        (6, ["3", f"two{end}lines"]),
        (8, ["4", "last \ufffd"]),
    ]
    told = [("broken-line", 5), ("cut-line", 8), ("bad-bytes", 4), ("bad-bytes", 8)]
    assert gaps(found) == told


def test_a_quotation_mark_that_never_ends_does_not_take_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = csv.field_size_limit(1000)
    monkeypatch.setattr(separated, "BLOCK", 100)
    data = b'id,body\n1,"never ends\n' + b"2,a row\n" * 500
    try:
        found = list(separated.rows(there(tmp_path, {"a.csv": data}), "a.csv"))
    finally:
        csv.field_size_limit(limit)
    assert gaps(found) == [("broken-line", 2)]
    assert len(found) > 350
    assert "it goes on to line" in next(each.message for each in found if isinstance(each, Gap))


@pytest.mark.parametrize(
    ("text", "kept", "line"),
    [
        ('id,body\n1,one\n2,"open\n3,three\n4,four\n', ["1"], 3),
        ('id,body\n1,one\n2,"open\n3,three', ["1"], 3),
        ('id,body\n1,one\n"2\n3\n', ["1"], 3),
        ('id\n1\n"2\n3\n', ["1"], 3),
        ('id,"body\n1,one\n', [], 1),
        ('id,body\n1,one\n2,""\n', ["1", "2"], None),
        ('id,body\n1,one\n2,in"side\n', ["1", "2"], None),
        ("id,body\n1,one\n\n", ["1"], None),
        ("id\n1\n", ["1"], None),
        ("id,body\n", [], None),
    ],
)
def test_rows_behind_a_quotation_mark_that_never_ends_are_told(
    tmp_path: Path, text: str, kept: list[str], line: int | None
) -> None:
    found = list(separated.rows(there(tmp_path, {"a.csv": text.encode()}), "a.csv"))
    assert [each[1][0] for each in found if not isinstance(each, Gap)] == kept
    assert gaps(found) == ([] if line is None else [("cut-line", line)])


@pytest.mark.parametrize(
    ("path", "beside", "name"),
    [
        ("a.jpg", "posts.json", "a.jpg"),
        ("photos/a.jpg", "chat/result.json", "chat/photos/a.jpg"),
        ("photos\\a.jpg", "chat/result.json", "chat/photos/a.jpg"),
        ("../a.jpg", "chat/result.json", "a.jpg"),
        ("/media/a.jpg", "posts/p.json", "media/a.jpg"),
        ("/media/a.jpg", "d.zip!/posts/p.json", "d.zip!/media/a.jpg"),
        ("a.jpg", "d.tar!/./posts/p.json", "d.tar!/./posts/a.jpg"),
        ("100%.jpg", "p.json", "100%25.jpg"),
        ("//d.zip!/a.jpg", "posts.csv", "d.zip!/a.jpg"),
        ("a\ud800.jpg", "chat/result.json", "chat/a%ED%A0%80.jpg"),
        ("../../a.jpg", "chat/result.json", None),
        ("../d.zip", "d.zip!/p.json", None),
        ("../../a.jpg", "d.tar!/./posts/p.json", None),
        ("https://example.org/a.jpg", "p.json", None),
        ("C:/a.jpg", "p.json", None),
        ("", "p.json", None),
    ],
)
def test_a_path_means_a_name_of_the_dump_or_none(path: str, beside: str, name: str | None) -> None:
    assert names.resolve(path, beside) == name


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://pbs.twimg.com/media/ABC?format=jpg&name=orig", "ABC.jpg"),
        ("https://pbs.twimg.com/media/ABC.jpg:orig", "ABC.jpg"),
        ("https://cdn.example.org/v/1_n.jpg?stp=a/b#c", "1_n.jpg"),
        ("photos/a b.jpg", "a b.jpg"),
        ("d.zip!/x/a#2.jpg", "a#2.jpg"),
    ],
)
def test_the_base_of_a_url_is_what_downloaders_make_of_it(url: str, base: str) -> None:
    assert names.base(url) == base


def test_times_are_utc_before_1970_too_and_none_where_no_calendar_holds_them() -> None:
    assert values.unix_time("-14182940") == datetime(1969, 7, 20, 20, 17, 40, tzinfo=UTC)
    assert values.unix_time(1_614_834_367_000) == values.unix_time(1_614_834_367)
    assert values.iso_time("2021-03-04T05:06:07+02:00") == datetime(2021, 3, 4, 3, 6, 7, tzinfo=UTC)
    written = values.x_time("Sun Jul 20 20:17:40 +0000 1969")
    assert written == datetime(1969, 7, 20, 20, 17, 40, tzinfo=UTC)
    for wrong in ("Sun Jux 20 20:17:40 +0000 1969", "Sun Jul 20", 5, None):
        assert values.x_time(wrong) is None
    for wrong in (1e300, float("nan"), "soon", True, None, [], 10**400, 0, 0.0, "0", "-0"):
        assert values.unix_time(wrong) is None
    for wrong in ("0001-01-01T00:00:00+14:00", "32.13.2021", 5):
        assert values.iso_time(wrong) is None


@pytest.mark.parametrize("day", [20231224, "20231224", 20231224.0, "20231224.0", " 20231224 "])
def test_a_day_in_a_record_is_one_as_a_number_too(day: Any) -> None:
    assert moment(day) == datetime(2023, 12, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    "wrong",
    [
        2023, "2023", 2023.0, "2023.0", "23", 231224, 45284, "45284.5", 0, "0", 24122023,
        "24122023", "24.12.2023", "24.12", "24/12/2023", "24-12-2023", "1-2-2023", 20230231,
        "20230231", 20231224.5, 99_999_999, 202313241530, 20231224250000, "99999999999999",
        10**11, 10**17, 10**25,
    ],
)  # fmt: skip
def test_a_number_that_would_be_long_past_or_far_ahead_is_no_seconds(wrong: Any) -> None:
    assert moment(wrong) is None


@pytest.mark.parametrize(
    "told",
    [
        20231224153000, "20231224153000", 20231224153000.0, 202312241530, "202312241530.0",
        1_703_431_800, 1_703_431_800_000, 1_703_431_800_000_000, "1703431800000000000",
        1_703_431_800_000_000_000,
    ],
)  # fmt: skip
def test_a_moment_in_a_record_is_one_as_a_number_too(told: Any) -> None:
    assert moment(told) == datetime(2023, 12, 24, 15, 30, tzinfo=UTC)


def test_seconds_in_a_record_are_those_from_1973_on_and_those_before_1970() -> None:
    assert moment(10**8) == moment("100000000") == datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)
    assert moment(-86_400) == moment("-86400.0") == datetime(1969, 12, 31, tzinfo=UTC)
    assert moment(1_703_376_000_000) == moment(1_703_376_000) == moment("2023-12-24")


def test_ids_keep_their_digits_or_are_none() -> None:
    assert values.text_id(2**70) == str(2**70)
    assert values.text_id(" 7 ") == "7"
    assert values.text_id(1.0) == "1"
    for wrong in (1.3670000000000001e18, True, None, "", [], float("nan")):
        assert values.text_id(wrong) is None


def test_two_formats_of_different_files_are_both_taken(tmp_path: Path) -> None:
    fixture("twarc2", tmp_path / "d" / "one")
    fixture("zeeschuimer", tmp_path / "d" / "two")
    dump = Dump.at(str(tmp_path / "d"))
    assert sorted(dumps.choose(dump)) == ["twarc2", "zeeschuimer"]
    read = {name for name, _ in dumps.read_all(dump, dumps.choose(dump))}
    assert read == {"twarc2", "zeeschuimer"}


def test_a_file_of_two_formats_is_an_error_that_names_both(tmp_path: Path) -> None:
    item = {**POST, "source_platform": "x.com", "data": {}, "item_id": "1"}
    dump = there(tmp_path, {"a.ndjson": json.dumps(item).encode() + b"\n"})
    with pytest.raises(DumpError, match=r"a\.ndjson is taken for zeeschuimer and for twarc2"):
        dumps.choose(dump)
    assert dumps.choose(dump, "twarc2") == ["twarc2"]


def test_a_folder_that_is_no_dump_is_taken_for_none(tmp_path: Path) -> None:
    dump = there(tmp_path, {"a.jpg": b"x", "notes.txt": b"words", "data.json": b"[1, 2"})
    assert dumps.choose(dump) == []
    assert dumps.choose(dump, "none") == []
    with pytest.raises(DumpError, match="has no file of the format twarc2"):
        dumps.choose(dump, "twarc2")
    with pytest.raises(DumpError, match="did you mean 'twarc2'"):
        dumps.choose(dump, "twarc")


def test_metadata_that_the_format_does_not_read_is_told(tmp_path: Path) -> None:
    dump = there(tmp_path, {"a.jsonl": LINES, "b.json": b"{}", "c.csv": b"x\n1\n", "d.txt": b"no"})
    found = [each for _, each in dumps.read_all(dump, ["twarc2"])]
    told = [(gap.kind, gap.ref) for gap in found if isinstance(gap, Gap) and gap.line is None]
    assert told == [("unread", "b.json"), ("unread", "c.csv")]


def test_a_tar_is_read_through_its_headers_and_a_changed_one_is_a_gap(tmp_path: Path) -> None:
    (tmp_path / "d.tar").write_bytes(tar_bytes({"a.jsonl": LINES}))
    dump = Dump.at(str(tmp_path / "d.tar"))
    with tarfile.open(tmp_path / "d.tar", "w") as packed:
        info = tarfile.TarInfo("other.jsonl")
        info.size, info.mtime = 4, 7
        packed.addfile(info, io.BytesIO(b"else"))
    assert gaps(list(lines.objects(dump, "d.tar!/a.jsonl"))) == [("fetch.changed", None)]


@pytest.mark.parametrize("depth", [1, 900, 1020])
def test_lists_in_a_cell_are_read_however_deep_they_lie(tmp_path: Path, depth: int) -> None:
    cell = b"[" * depth + b'"b.jpg", ["c.jpg"]' + b"]" * depth
    text = b'id,image\n1,"%s"\n' % cell.replace(b'"', b'""')
    rows = b'{"id": "1", "image": %s}\n{"id": "2", "image": "d.jpg"}\n' % cell
    for name, data in {"a.csv": text, "a.jsonl": rows}.items():
        read = dumps.read_all(there(tmp_path, {name: data}), ["table"])
        found = {one.post_id: one.media for _, one in read if isinstance(one, Post)}
        assert [medium.path for medium in found["1"]][-2:] == ["b.jpg", "c.jpg"] or depth > 1000
        assert name == "a.csv" or [medium.path for medium in found["2"]] == ["d.jpg"]


@pytest.mark.parametrize(
    ("cell", "media"),
    [
        ("a.jpg , b, c.png;d.jpg|", ["a.jpg", "b, c.png", "d.jpg"]),
        ("https://x.org/a , https://x.org/b", ["https://x.org/a", "https://x.org/b"]),
        ("a.jpg" + " ,;|" * 16_000 + "b.jpg", ["a.jpg", "b.jpg"]),
        ("a" + " " * 60_000 + "b.jpg", ["a" + " " * 60_000 + "b.jpg"]),
        ("x, " * 20_000 + "b.jpg", ["x, " * 20_000 + "b.jpg"]),
    ],
)
def test_a_cell_is_parted_at_once_however_much_stands_between(cell: str, media: list[str]) -> None:
    assert media_in(cell) == media
