from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import ArchiveError, FetchError
from imgbatch.settings import Limits
from imgbatch.sources import fetch, open_input
from tests.sources.crafted import (
    END,
    error_class,
    listed,
    names,
    padded,
    rechecked,
    tar_bytes,
    tar_header,
)

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.records import Source

LIMITS = Limits()
SMALL = Limits(fetched_bytes=2**16)
FORMS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def failure(source: Source, limits: Limits = LIMITS) -> str:
    with pytest.raises((ArchiveError, FetchError)) as caught:
        fetch(source, limits=limits)
    return caught.value.code


@pytest.mark.parametrize("form", FORMS)
def test_members_are_listed_as_tarfile_lists_them(tmp_path: Path, form: int) -> None:
    files = {"a.jpg": b"one", "./d/\u00fc.png": bytes(1500), "empty": b"", "x/" * 40 + "y": b"y"}
    files |= {"../../etc/passwd": b"up", "..": b"dots", "/abs.png": b"abs"}
    if form != tarfile.USTAR_FORMAT:
        files["n" * 300] = b"long"
        files["\u00e9" * 200] = b"long, and not in ASCII"
    data = tar_bytes(files, form=form)
    members, own = listed(tmp_path / "x.tar", data)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        infos = tar.getmembers()
    assert names(members) == [info.name for info in infos] == list(files)
    assert [m.offset for m in members] == [info.offset_data for info in infos]
    assert [m.version for m in members] == [f"{info.size}-{int(info.mtime)}" for info in infos]
    assert {(m.packing, m.container, m.method) for m in members} == {("tar", own.address, None)}
    assert [fetch(m, limits=LIMITS).data for m in members] == list(files.values())
    assert own.verdict is not None
    assert own.verdict.message == f"{len(files)} members"


def test_links_devices_sparse_files_and_unknown_types_carry_a_verdict(tmp_path: Path) -> None:
    kinds = (b"1", b"2", b"3", b"4", b"6", b"V", b"?", b"S", b"7")
    blocks = b"".join(tar_header(f"kind {k.decode()}", kind=k) for k in kinds)
    folders = tar_header("d", kind=b"5") + tar_header("e/", kind=b"\0") + tar_header("f", kind=b"D")
    members, own = listed(tmp_path / "x.tar", folders + blocks + END)
    assert names(members) == [f"kind {k.decode()}" for k in kinds]
    assert [error_class(m) for m in members] == [
        *["link"] * 2,
        *["special"] * 5,
        "archive.unsupported",
        None,
    ]
    assert error_class(own) == "archive"


def test_the_size_of_a_link_or_folder_moves_nothing(tmp_path: Path) -> None:
    data = tar_header("l", kind=b"2", size=5000) + tar_header("d", kind=b"5", size=5000)
    members, _ = listed(tmp_path / "x.tar", data + tar_bytes({"a": b"x"}))
    assert names(members) == ["l", "a"]
    assert fetch(members[1], limits=LIMITS).data == b"x"


def test_an_extended_sparse_map_is_skipped(tmp_path: Path) -> None:
    header = bytearray(tar_header("s", kind=b"S", size=3))
    header[482] = 1
    more = bytearray(512)
    more[504] = 1
    data = rechecked(bytes(header)) + bytes(more) + bytes(512) + padded(b"abc")
    members, own = listed(tmp_path / "x.tar", data + tar_bytes({"a": b"x"}))
    assert names(members) == ["s", "a"]
    assert error_class(own) == "archive"


def pax(records: bytes, kind: bytes = b"x") -> bytes:
    return tar_header("pax", kind=kind, size=len(records)) + padded(records)


def test_pax_records_set_path_and_size_and_mark_sparse_files(tmp_path: Path) -> None:
    data = (
        pax(b"11 path=P\xff\n9 size=3\n")
        + tar_header("short")
        + padded(b"abc")
        + pax(b"22 GNU.sparse.major=1\n21 GNU.sparse.name=S\n")
        + tar_header("GNUSparseFile.0/S")
        + END
    )
    members, own = listed(tmp_path / "x.tar", data)
    assert names(members) == ["P%FF", "S"]
    assert members[0].size == 3
    assert fetch(members[0], limits=LIMITS).data == b"abc"
    assert error_class(members[1]) == "archive.unsupported"
    assert error_class(own) == "archive"


@pytest.mark.parametrize(
    ("records", "code"),
    [
        (b"path=no length\n", "archive.corrupt"),
        (b"999 path=beyond\n", "archive.corrupt"),
        (b"5 path=shorter than its key\n", "archive.corrupt"),
        (b"10 size=x2\n", "archive.corrupt"),
        (b"30 size=9999999999999999999999\n", "archive.corrupt"),
    ],
)
def test_a_damaged_pax_header_is_corrupt(tmp_path: Path, records: bytes, code: str) -> None:
    data = tar_bytes({"a": b"x"})[:1024] + pax(records) + tar_header("b") + END
    members, own = listed(tmp_path / "x.tar", data)
    assert names(members) == ["a"]
    assert error_class(own) == code


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_a_header_that_claims_gigabytes_is_a_bomb(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(tar_header("h", kind=kind, size=8_000_000_000))
    with path.open("r+b") as file:
        file.truncate(8_000_001_024)  # a hole: takes no room on the disk
    *members, own = open_input(str(path))
    assert members == []
    assert error_class(own) == "archive.bomb"


def test_a_negative_size_is_corrupt(tmp_path: Path) -> None:
    header = bytearray(tar_header("a"))
    header[124:136] = b"\xff" * 12
    _, own = listed(tmp_path / "x.tar", rechecked(bytes(header)) + END)
    assert error_class(own) == "archive.corrupt"


def test_a_size_beyond_64_bits_is_corrupt(tmp_path: Path) -> None:
    header = bytearray(tar_header("a"))
    header[124:136] = b"\x80\x7f" + b"\xff" * 10
    _, own = listed(tmp_path / "x.tar", rechecked(bytes(header)) + END)
    assert error_class(own) == "archive.corrupt"


def test_a_damaged_header_ends_the_listing_with_a_word(tmp_path: Path) -> None:
    data = bytearray(tar_bytes({"a": b"one", "b": b"two"}))
    data[1024] ^= 1
    members, own = listed(tmp_path / "x.tar", bytes(data))
    assert names(members) == ["a"]
    assert error_class(own) == "archive.corrupt"
    assert own.verdict is not None
    assert "damaged header at byte 1024" in own.verdict.message


@pytest.mark.parametrize("cut", [512, 900, 1024, 1300, 1536])
def test_a_cut_tar_is_truncated_wherever_it_is_cut(tmp_path: Path, cut: int) -> None:
    data = tar_bytes({"a": b"one", "b": b"x" * 600})
    members, own = listed(tmp_path / "x.tar", data[:cut])
    assert names(members) == (["a"] if cut < 1536 else ["a", "b"])
    assert error_class(own) == "archive.truncated"


def test_bytes_that_are_no_tar_are_corrupt_and_none_are_truncated(tmp_path: Path) -> None:
    assert error_class(listed(tmp_path / "a.tar", b"<html>" * 200)[1]) == "archive.corrupt"
    assert error_class(listed(tmp_path / "b.tar", b"")[1]) == "archive.truncated"
    assert error_class(listed(tmp_path / "c.tar", END)[1]) == "archive"


def test_joined_tars_are_read_to_their_end_and_rubbish_behind_the_end_is_ignored(
    tmp_path: Path,
) -> None:
    data = tar_bytes({"a": b"one"}) + tar_bytes({"a": b"two"}) + b"rubbish" * 500
    members, own = listed(tmp_path / "x.tar", data)
    assert names(members) == ["a", "a#2"]
    assert [fetch(m, limits=LIMITS).data for m in members] == [b"one", b"two"]
    assert error_class(own) == "archive"


def test_repeats_of_a_name_are_numbered_in_order(tmp_path: Path) -> None:
    data = tar_header("a") * 5000
    members, _ = listed(tmp_path / "x.tar", data + END)
    assert names(members) == ["a", *(f"a#{n}" for n in range(2, 5001))]
    data = b"".join(tar_header(name) for name in ("a#2", "a", "a", "a#2"))
    members, _ = listed(tmp_path / "x.tar", data + END)
    assert names(members) == ["a#2", "a", "a#3", "a#2#2"]


def test_a_large_member_is_read_from_its_place_in_the_archive(tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    members, _ = listed(tmp_path / "x.tar", tar_bytes({"a": b"one", "b": data, "c": b"two"}))
    blob = fetch(members[1], limits=SMALL)
    assert blob.data is None
    assert blob.head == data[:4096]
    (tmp_path / "x.tar").unlink()  # the Blob holds the file
    with blob.open() as file:
        assert file.seek(-10, 2) == len(data) - 10
        assert file.read() == data[-10:]
    assert blob.read() == data


def test_an_archive_that_changed_after_its_listing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    (_, member), _ = listed(path, tar_bytes({"a": b"one", "b": b"x" * 100_000}))
    path.write_bytes(tar_bytes({"a": b"one" * 300, "b": b"x" * 100_000}))
    assert failure(member) == "fetch.changed"
    assert failure(member, SMALL) == "fetch.changed"
    path.write_bytes(tar_bytes({"a": b"one", "b": b"x" * 100_000})[:50_000])
    assert failure(member) == "archive.truncated"
    assert failure(member, SMALL) == "archive.truncated"


def test_an_extended_attribute_of_the_longest_name_costs_no_member(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.jpg")
    info.size = 3
    info.pax_headers = {"SCHILY.xattr.user." + "x" * 250: "value"}
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tape:
        tape.addfile(info, io.BytesIO(b"one"))
    members, own = listed(tmp_path / "x.tar", file.getvalue())
    assert names(members) == ["a.jpg"]
    assert error_class(own) == "archive"


@pytest.mark.parametrize("form", FORMS)
def test_a_member_in_the_place_of_another_is_not_taken_for_it(tmp_path: Path, form: int) -> None:
    """Neither one of the same size and time, nor a larger one with the same time."""
    files = {"a.png": b"one", "b.png": b"two", "long/" * 19 + "c.png": b"six", "d.png": b"four!"}
    members, _ = listed(tmp_path / "x.tar", tar_bytes(files, form=form))
    assert [fetch(m, limits=LIMITS).data for m in members] == list(files.values())
    names_now = ["b.png", "a.png", "d.png"]
    swapped = {name: files[name] for name in names_now}
    (tmp_path / "x.tar").write_bytes(tar_bytes(swapped, form=form))
    for member in members[:2]:
        with pytest.raises(FetchError, match="no such member"):
            fetch(member, limits=LIMITS)
