from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from imgbatch.errors import SettingsError, StorageError
from imgbatch.storage import locate, open_store
from imgbatch.storage.addresses import quote, unquote


def test_a_name_that_is_no_utf8_is_listed_addressed_and_read(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9\n.jpg"
    Path(os.fsdecode(raw)).write_bytes(b"x")
    (entry,) = open_store(str(tmp_path)).list()
    address = open_store(str(tmp_path)).address(entry.name)
    assert address.endswith("/caf%E9%0A.jpg")
    address.encode()  # would raise on a surrogate
    store, name = locate(address)
    assert store.get(name) == b"x"


def test_quoting_is_undone_exactly() -> None:
    for name in [
        "a b",
        "50%",
        "%41",
        "tab\t",
        "\udce9",
        "\u00fc",
        "\u202e",
        "%",
        "a!/b",
        "wow!",
        "!x",
    ]:
        assert unquote(quote(name)) == name


def test_a_folder_that_is_a_link_is_not_entered_and_a_loop_ends(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").write_bytes(b"")
    (tmp_path / "d" / "loop").symlink_to(tmp_path)
    assert sorted(e.name for e in open_store(str(tmp_path)).list()) == ["d/loop", "d/x"]


def test_a_link_to_nothing_is_listed_and_not_lost(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (entry,) = open_store(str(tmp_path)).list()
    assert (entry.name, entry.version) == ("gone.jpg", "missing")


def test_a_link_to_itself_does_not_end_the_listing(tmp_path: Path) -> None:
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "x.jpg").write_bytes(b"x")
    assert sorted(e.name for e in open_store(str(tmp_path)).list()) == ["loop.jpg", "x.jpg"]


def test_a_file_in_a_folder_named_like_an_archive_member_has_another_address(
    tmp_path: Path,
) -> None:
    (tmp_path / "x.zip!").mkdir()
    (tmp_path / "x.zip!" / "a.jpg").write_bytes(b"")
    (entry,) = open_store(str(tmp_path)).list()
    assert "!/" not in open_store(str(tmp_path)).address(entry.name)
    assert "!/" not in open_store(str(tmp_path / "x.zip!")).address("a.jpg")


def test_a_pipe_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(PermissionError, match="not a regular file"):
        open_store(str(tmp_path)).open("pipe.jpg")


def test_a_failed_put_leaves_the_old_object_and_nothing_beside_it(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("x", b"old")
    with pytest.raises(TypeError):
        store.put("x", "no bytes")  # type: ignore[arg-type] # on purpose
    assert store.get("x") == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_write_that_the_disk_refuses_is_a_storage_error_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    store = open_store(str(tmp_path))
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, former[1]))
    try:
        with pytest.raises(StorageError, match="x: "):
            store.put("x", bytes(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_scheme_names_its_neighbours() -> None:
    with pytest.raises(SettingsError, match="did you mean 's3'"):
        open_store("s4://bucket/x")


def test_plain_paths_and_file_urls_are_the_same_store(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    assert open_store(str(tmp_path / "a b")).root == open_store(f"file://{tmp_path}/a b").root
