from __future__ import annotations

import gc
import io
import os
import socket
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from imgbatch.errors import FetchError, StorageError
from imgbatch.records import Source
from imgbatch.settings import Limits
from imgbatch.sources import fetch, open_input
from imgbatch.storage import open_store
from tests.sources.crafted import Packed, tar_bytes, zip_bytes

LIMITS = Limits()
SMALL = Limits(fetched_bytes=2**16)
LARGE = bytes(range(256)) * 1000


def failure(source: Source, limits: Limits = LIMITS) -> str:
    with pytest.raises(FetchError) as caught:
        fetch(source, limits=limits)
    return caught.value.code


def one(path: Path, data: bytes) -> Source:
    path.write_bytes(data)
    (source,) = open_input(str(path))
    return source


def test_a_small_file_is_read_whole(tmp_path: Path) -> None:
    blob = fetch(one(tmp_path / "a%0A\n\udcff.jpg", LARGE), limits=LIMITS)
    assert (blob.data, blob.size, blob.head) == (LARGE, len(LARGE), LARGE[:4096])
    assert fetch(one(tmp_path / "empty.jpg", b""), limits=LIMITS).data == b""


@pytest.mark.parametrize(("name", "limits"), [("a.jpg", SMALL), ("a.mp4", LIMITS)])
def test_a_large_file_and_a_video_are_read_from_their_place(
    tmp_path: Path, name: str, limits: Limits
) -> None:
    path = tmp_path / name
    blob = fetch(one(path, LARGE), limits=limits)
    assert (blob.data, blob.size, blob.head) == (None, len(LARGE), LARGE[:4096])
    path.unlink()  # the Blob holds the file that it was made from
    with blob.open() as first, blob.open() as second:
        first.seek(1000)
        assert second.read(4) == bytes([0, 1, 2, 3])
        assert first.read(4) == bytes([232, 233, 234, 235])
        assert first.seek(-4, io.SEEK_END) == len(LARGE) - 4
        assert first.read() == bytes([252, 253, 254, 255])
        assert first.seek(2, io.SEEK_CUR) == len(LARGE) + 2
        assert first.read() == b""
    assert blob.read() == LARGE


def test_a_reader_outlives_its_blob_and_then_nothing_stays_open(tmp_path: Path) -> None:
    source = one(tmp_path / "a.mp4", LARGE)
    before = _descriptors()
    blob = fetch(source, limits=LIMITS)
    file = blob.open()
    del blob
    gc.collect()
    assert file.read() == LARGE
    file.close()
    del file
    gc.collect()
    assert not _descriptors() - before  # what other tests left may have gone meanwhile


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize("limits", [LIMITS, SMALL])
def test_a_file_of_another_size_than_listed_is_changed(tmp_path: Path, limits: Limits) -> None:
    path = tmp_path / "a.jpg"
    source = one(path, LARGE)
    path.write_bytes(LARGE + b"more")
    assert failure(source, limits) == "fetch.changed"
    path.write_bytes(LARGE[:-1])
    assert failure(source, limits) == "fetch.changed"
    path.unlink()
    assert failure(source, limits) == "fetch.missing"


def test_what_is_no_file_fails_and_never_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").symlink_to(tmp_path)
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nothing")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(tmp_path, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/socket.jpg")  # the path itself may be too long
        os.close(here)
        codes = {
            source.address.rpartition("/")[2]: failure(source)
            for source in open_input(str(tmp_path))
        }
    assert codes.pop("folder.jpg") in ("fetch.failed", "fetch.denied")
    assert codes.pop("socket.jpg") in ("fetch.failed", "fetch.denied")
    assert codes == {"pipe.jpg": "fetch.denied", "dangling.jpg": "fetch.missing"}


def test_objects_and_members_are_fetched_from_a_store_without_files() -> None:
    store = open_store("memory://fetch")
    store.put("d/a.jpg", LARGE)
    store.put("d/x.tar", tar_bytes({"a": b"one", "b": LARGE}))
    store.put("d/x.zip", zip_bytes([Packed(b"a", b"one"), Packed(b"b", LARGE)]))
    sources = [source for source in open_input("memory://fetch/d") if source.verdict is None]
    for limits in (LIMITS, SMALL):
        blobs = {source.address: fetch(source, limits=limits) for source in sources}
        assert {address: blob.read() for address, blob in blobs.items()} == {
            "memory://fetch/d/a.jpg": LARGE,
            "memory://fetch/d/x.tar!/a": b"one",
            "memory://fetch/d/x.tar!/b": LARGE,
            "memory://fetch/d/x.zip!/a": b"one",
            "memory://fetch/d/x.zip!/b": LARGE,
        }
        assert [blob.data is None for blob in blobs.values()].count(True) == (
            0 if limits is LIMITS else 3
        )
    store.put("d/a.jpg", LARGE + b"more")
    assert failure(sources[0]) == "fetch.changed"
    assert failure(sources[0], SMALL) == "fetch.changed"
    for name in ("a.jpg", "x.tar", "x.zip"):
        store.delete(f"d/{name}")
    for limits in (LIMITS, SMALL):
        assert {failure(source, limits) for source in sources} == {"fetch.missing"}


def test_a_temporary_file_leaves_no_name_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "spool"))
    (tmp_path / "spool").mkdir()
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", LARGE)
    source, _ = open_input(str(tmp_path / "x.zip"))
    blob = fetch(source, limits=SMALL)
    assert blob.data is None
    assert list((tmp_path / "spool").iterdir()) == []
    assert blob.read() == LARGE


def test_a_temporary_file_that_cannot_be_written_ends_the_run_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not-there"))
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", LARGE)
    source, _ = open_input(str(tmp_path / "x.zip"))
    with pytest.raises(StorageError) as caught:
        fetch(source, limits=SMALL)
    assert "TMPDIR" in caught.value.remedy


def test_a_member_of_a_compressed_tar_is_refused() -> None:
    source = Source("memory://a/x.tgz!/a", "1-0", 1, container="memory://a/x.tgz")
    with pytest.raises(ValueError, match="read_stream"):
        fetch(replace(source, packing="stream"), limits=LIMITS)
