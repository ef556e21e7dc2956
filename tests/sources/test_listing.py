from __future__ import annotations

import gzip
import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import FetchError, InputError, SettingsError
from imgbatch.records import Source, Verdict
from imgbatch.settings import Limits
from imgbatch.sources import fetch, list_sources, open_input
from imgbatch.storage import open_store
from tests.sources.crafted import Packed, error_class, names, tar_bytes, zip_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534
LIMITS = Limits()


@contextmanager
def as_nobody() -> Iterator[Path]:
    """Give a folder, and the rights of somebody whom permissions bind."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o777)
        if root:
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            for path in folder.rglob("*"):
                path.chmod(stat.S_IRWXU)


def test_a_folder_of_nasty_names_is_listed_whole_and_every_name_is_fetched_again(
    tmp_path: Path,
) -> None:
    wanted = [
        "new\nline.jpg",
        "per%cent%0A.jpg",
        "no utf-8 \udcff\udcc3.jpg",
        "tab\t\x1b[31m.jpg",
        "\u202egpj.exe",
        "\U0001f600 \u00e9 e\u0301.png",
        " lead and trail ",
        "-rf",
        "a!",
        "'\";<script>.gif",
        "x" * 255,
        "/".join(["deep"] * 200) + "/a.jpg",
    ]
    for number, name in enumerate(wanted):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)
    sources = list(list_sources(open_store(str(tmp_path))))
    assert len({source.source_id for source in sources}) == len(wanted)
    assert all(source.address.isprintable() for source in sources)
    assert {fetch(source, limits=LIMITS).data for source in sources} == {
        b"%d" % number for number in range(len(wanted))
    }
    for source in sources:
        assert list(open_input(source.address)) == [source]


def test_links_are_listed_and_folders_behind_links_are_not_entered(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    (tmp_path / "same.jpg").symlink_to("a.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nothing")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    found = sorted(source.address.rpartition("/")[2] for source in open_input(str(tmp_path)))
    assert found == ["a.jpg", "dangling.jpg", "loop", "same.jpg"]


def test_a_single_file_is_an_input(tmp_path: Path) -> None:
    path = tmp_path / "50% a.jpg"
    path.write_bytes(b"abc")
    (source,) = open_input(str(path))
    assert source.address == f"file://{tmp_path}/50%25 a.jpg"
    assert source.version == f"3-{path.stat().st_mtime_ns}"
    assert list(open_input(source.address)) == [source]
    assert source in list(open_input(str(tmp_path)))


def test_a_single_archive_is_an_input_and_gives_what_its_folder_gives(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zip_bytes([Packed(b"a", b"1"), Packed(b"y.zip", b"PK")]))
    alone = list(open_input(str(tmp_path / "x.zip")))
    assert names(alone[:-1]) == ["a", "y.zip"]
    assert [source.verdict for source in alone[:-1]] == [None, None]  # no archive in an archive
    assert list(open_input(str(tmp_path))) == alone


def test_a_store_in_memory_is_listed_by_prefix_and_by_object() -> None:
    store = open_store("memory://listing")
    store.put("d/a.jpg", b"a")
    store.put("d/x.tar", tar_bytes({"m": b"1"}))
    store.put("e.tgz", gzip.compress(tar_bytes({"m": b"1"})))
    whole = {source.address for source in open_input("memory://listing")}
    assert whole == {
        "memory://listing/d/a.jpg",
        "memory://listing/d/x.tar",
        "memory://listing/d/x.tar!/m",
        "memory://listing/e.tgz",
        "memory://listing/e.tgz!/m",
    }
    assert [s.address for s in open_input("memory://listing/d/a.jpg")] == [
        "memory://listing/d/a.jpg"
    ]
    assert [s.address for s in open_input("memory://listing/d/x.tar")] == [
        "memory://listing/d/x.tar!/m",
        "memory://listing/d/x.tar",
    ]
    alone = {s.address: s for s in open_input("memory://listing/d")}
    assert alone == {s.address: s for s in open_input("memory://listing") if "/d/" in s.address}


@pytest.mark.parametrize("url", ["memory://empty", "memory://empty/nothing", "/not/there", "."])
def test_nothing_there_is_an_input_error_that_names_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"nothing|there|no files") as caught:
        list(open_input(url))
    assert caught.value.remedy


def test_an_unknown_scheme_is_a_settings_error() -> None:
    with pytest.raises(SettingsError):
        list(open_input("s4://bucket/a"))


def test_listing_a_file_as_a_store_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(InputError, match="is a file"):
        list(list_sources(open_store(str(tmp_path / "a"))))


def test_an_unreadable_folder_below_is_an_input_error_that_names_it() -> None:
    with as_nobody() as folder:
        (folder / "sub\nfolder").mkdir(mode=0)
        (folder / "a.jpg").write_bytes(b"a")
        with pytest.raises(InputError, match=r"sub%0Afolder: Permission denied"):
            list(open_input(str(folder)))


def test_an_unreadable_file_or_archive_is_a_row() -> None:
    with as_nobody() as folder:
        (folder / "a.jpg").write_bytes(b"a")
        (folder / "x.zip").write_bytes(zip_bytes([Packed(b"a")]))
        (folder / "a.jpg").chmod(0)
        (folder / "x.zip").chmod(0)
        first, second = sorted(open_input(str(folder)), key=lambda source: source.address)
        assert (first.verdict, error_class(second)) == (None, "fetch.denied")
        with pytest.raises(FetchError) as caught:
            fetch(first, limits=LIMITS)
        assert caught.value.code == "fetch.denied"


def test_a_known_archive_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(zip_bytes([Packed(b"a", b"1")]))
    former = list(open_input(str(path)))
    own = former[-1]
    with path.open("r+b") as file:  # damage that keeps the size; the version is set back
        file.write(bytes(path.stat().st_size))
    os.utime(path, ns=(0, int(own.version.partition("-")[2])))
    asked = []

    def known(address: str, version: str) -> list[Source] | None:
        asked.append((address, version))
        return former if (address, version) == (own.address, own.version) else None

    assert list(open_input(str(path), known=known)) == former
    assert asked == [(own.address, own.version)]
    os.utime(path, ns=(0, 1))
    assert error_class(list(open_input(str(path), known=known))[-1]) == "archive.corrupt"


def test_a_known_archive_that_could_not_be_fetched_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(zip_bytes([Packed(b"a", b"1")]))
    *_, own = open_input(str(path))
    denied = Verdict("failed", "fetch.denied", "refused")
    unread = [Source(own.address, own.version, own.size, verdict=denied)]
    assert names(list(open_input(str(path), known=lambda *_: unread))[:-1]) == ["a"]
