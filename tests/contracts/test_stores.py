"""What every store promises, run by each of them.

What it proves: the verbs of `storage.Store` do the same over a folder, memory, S3 and Google. Where
S3 is moto's server it proves that requests and answers are understood, and nothing of races: moto
looks at an etag and writes in two steps, so those racers take turns. Where Google is our own
server (`tests/servers/gcs.py`), conditional writes are decided in one step as Google promises it,
and racers race; what that server does not have is said there. `tests/live` runs this suite on real
buckets.
"""

from __future__ import annotations

import contextlib
import threading
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from imgbatch.storage import ChangedError, locate, open_store
from tests.storage.faulty import Faults, FaultyStore

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.storage import Store


@pytest.fixture
def turns(store: Store) -> contextlib.AbstractContextManager[object]:
    """What racers hold while they write: on moto's server a lock."""
    return threading.Lock() if store.root.startswith("s3") else contextlib.nullcontext()


@pytest.fixture(params=["file", "memory", "memory-prefix", "memory-slow", "s3", "gs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    name = uuid.uuid4().hex
    if request.param == "s3":
        return open_store(f"s3://{request.getfixturevalue('bucket')}/{name}")
    if request.param == "gs":
        return open_store(f"gs://{request.getfixturevalue('gs_bucket')}/{name}")
    if request.param == "memory-slow":
        return type("Slow", (FaultyStore,), {"faults": Faults(slow=0.002)})(f"memory://{name}")
    urls = {
        "file": str(tmp_path / "new folder"),
        "memory": f"memory://{name}",
        "memory-prefix": f"memory://{name}/a/prefix",
    }
    return open_store(urls[request.param])


def test_what_is_put_is_got_whole_and_in_ranges(store: Store) -> None:
    store.put("a/b.bin", b"0123456789")
    assert store.get("a/b.bin") == b"0123456789"
    assert store.get_range("a/b.bin", 2, 3) == b"234"
    assert store.get_range("a/b.bin", 8, 99) == b"89"
    assert store.get_range("a/b.bin", 50, 5) == b""


def test_put_replaces_and_changes_the_version(store: Store) -> None:
    store.put("x", b"one")
    first = store.head("x")
    store.put("x", b"three")
    second = store.head("x")
    assert (first.size, second.size) == (3, 5)
    assert first.version != second.version
    assert store.get("x") == b"three"


def test_a_file_is_put_whole_also_where_it_takes_several_requests(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 50_000)
    store.put("x", b"former")
    store.put_file("x", str(tmp_path / "file"))
    assert store.head("x").size == 12_800_000
    assert store.get_range("x", 12_799_999, 9) == b"\xff"
    assert [entry.name for entry in store.list()] == ["x"]


def test_put_once_writes_once(store: Store) -> None:
    store.put_once("marker", b"first")
    with pytest.raises(FileExistsError):
        store.put_once("marker", b"second")
    assert store.get("marker") == b"first"


def test_of_many_racers_one_put_once_wins(store: Store) -> None:
    won: list[int] = []
    barrier = threading.Barrier(8)

    def race(number: int) -> None:
        barrier.wait()
        try:
            store.put_once("race", str(number).encode())
        except FileExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=race, args=[n]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.get("race") == str(won[0]).encode()


def test_replace_writes_over_the_version_that_it_was_told_and_no_other(store: Store) -> None:
    store.put_once("a/lock", b"first")
    first = store.head("a/lock").version
    second = store.replace("a/lock", b"other", first)
    assert store.get("a/lock") == b"other"
    assert second == store.head("a/lock").version != first
    with pytest.raises(ChangedError):
        store.replace("a/lock", b"third", first)
    assert store.get("a/lock") == b"other"
    assert store.replace("a/lock", b"third", second) == store.head("a/lock").version
    assert [entry.name for entry in store.list()] == ["a/lock"]


def test_each_of_many_quick_replaces_has_a_version_of_its_own(store: Store) -> None:
    store.put_once("lock", b"000")
    versions = [store.head("lock").version]
    for number in range(1, 30):
        versions.append(store.replace("lock", b"%03d" % number, versions[-1]))
    assert len(set(versions)) == 30


def test_replacing_what_is_not_there_is_a_file_not_found(store: Store) -> None:
    store.put_once("lock", b"first")
    version = store.head("lock").version
    store.delete("lock")
    with pytest.raises(FileNotFoundError):
        store.replace("lock", b"second", version)
    assert list(store.list()) == []


def test_of_many_racers_that_replace_one_version_exactly_one_wins(
    store: Store, turns: contextlib.AbstractContextManager[object]
) -> None:
    store.put_once("race", b"first")
    for turn in range(5):
        version = store.head("race").version
        won: list[int] = []
        barrier = threading.Barrier(8)

        def race(
            number: int,
            turn: int = turn,
            version: str = version,
            won: list[int] = won,
            barrier: threading.Barrier = barrier,
        ) -> None:
            barrier.wait()
            try:
                with turns:
                    store.replace("race", b"%d.%d" % (turn, number), version)
            except ChangedError:
                return
            won.append(number)

        threads = [threading.Thread(target=race, args=[n]) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert store.get("race") == b"%d.%d" % (turn, won[0])


def test_list_gives_every_object_below_with_its_size(store: Store) -> None:
    names = {"a.txt", "folder/b.txt", "folder/deep/er/c.txt", "folder2/d.txt"}
    for name in names:
        store.put(name, name.encode())
    assert {e.name: e.size for e in store.list()} == {name: len(name) for name in names}
    assert {e.name for e in store.list("folder")} == {"folder/b.txt", "folder/deep/er/c.txt"}


def test_a_listing_of_several_pages_is_whole(store: Store) -> None:
    names = {f"folder/{number:03}.txt" for number in range(230)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.put(name, name.encode()), [*names, "folder2"]))
    found = [entry.name for entry in store.list("folder")]
    assert len(found) == len(names)
    assert set(found) == names


def test_what_is_read_is_of_the_version_that_is_asked_for(store: Store) -> None:
    store.put("a.jpg", b"one")
    (entry,) = store.list()
    assert store.get("a.jpg", entry.version) == b"one"
    assert store.get_range("a.jpg", 1, 2, entry.version) == b"ne"
    with store.open("a.jpg", entry.version) as file:
        assert file.read() == b"one"
    newer = store.replace("a.jpg", b"two", entry.version)
    assert store.get("a.jpg", newer) == b"two"
    for read in (store.get, store.open):
        with pytest.raises(ChangedError):
            read("a.jpg", entry.version)
    with pytest.raises(ChangedError):
        store.get_range("a.jpg", 0, 3, entry.version)


def test_a_file_that_is_replaced_while_it_is_read_is_never_a_mix_of_both(store: Store) -> None:
    size = 3 * 2**20
    store.put("a.mp4", b"1" * size)
    with store.open("a.mp4") as file:
        begun = file.read(10)
        store.put("a.mp4", b"2" * size)
        try:
            rest = file.read()
        except ChangedError:
            return
    assert begun + rest == b"1" * size  # a folder keeps what is open


def test_a_link_opens_the_object_wherever_one_can_be_given(store: Store) -> None:
    store.put("report/in dex?.html", b"<html>")
    link = store.link("report/in dex?.html", 60)
    if link is None:
        assert store.root.startswith(("memory:", "gs:"))
        return
    with urllib.request.urlopen(link) as page:
        assert page.read() == b"<html>"


def test_folders_are_named_one_by_one_without_what_is_in_them(store: Store) -> None:
    assert list(store.folders()) == list(store.folders("t")) == []
    for name in ("x", "t/one/a", "t/two/b/c", "t/file", "two/d", "tt/e"):
        store.put(name, b".")
    assert list(store.folders("t")) == ["one", "two"]
    assert list(store.folders()) == ["t", "tt", "two"]
    assert list(store.folders("t/one")) == list(store.folders("nowhere")) == []


def test_files_of_one_folder_are_named_without_those_below(store: Store) -> None:
    assert list(store.files()) == list(store.files("t")) == []
    for name in ("x", "t/one/a", "t/two/b/c", "t/file", "t/ein \u00e9", "tt/e"):
        store.put(name, b".")
    assert list(store.files()) == ["x"]
    assert list(store.files("t")) == ["ein \u00e9", "file"]
    assert list(store.files("t/two")) == list(store.files("nowhere")) == []


def test_list_and_head_agree_on_the_version(store: Store) -> None:
    store.put("a/b", b"x")
    assert [e.version for e in store.list()] == [store.head("a/b").version]


@pytest.mark.parametrize("verb", ["get", "head", "open"])
def test_a_missing_object_is_a_file_not_found(store: Store, verb: str) -> None:
    store.put("there", b"")
    with pytest.raises(FileNotFoundError):
        getattr(store, verb)("not/there")


def test_delete_deletes_and_deleting_again_is_no_error(store: Store) -> None:
    store.put("x", b"")
    store.delete("x")
    store.delete("x")
    assert list(store.list()) == []


def test_what_is_replaced_or_deleted_leaves_nothing_behind(store: Store) -> None:
    store.put("x", b"one")
    store.put("x", b"two")
    store.put("y", b"three")
    store.delete("y")
    assert list(store.former()) == []
    store.erase([])


def test_open_seeks_and_reads(store: Store) -> None:
    store.put("x", bytes(range(256)) * 8)
    with store.open("x") as file:
        assert file.read(2) == b"\0\1"
        file.seek(-1, 2)
        assert file.read() == b"\xff"
        file.seek(256)
        assert file.read(1) == b"\0"
        assert isinstance(file.read(3), bytes)


@pytest.mark.parametrize(
    "name",
    [
        "plain.jpg",
        "with space.jpg",
        "100%.jpg",
        "a%20b.jpg",
        "Z\u00fcrich/\u65e5\u672c.png",
        "a!b#c?d.png",
    ],
)
def test_an_address_leads_back_to_its_object(store: Store, name: str) -> None:
    store.put(name, name.encode())
    assert [e.name for e in store.list()] == [name]
    address = store.address(name)
    assert address.isprintable()
    found, found_name = locate(address)
    assert found.get(found_name) == name.encode()


def test_two_names_never_share_an_address(store: Store) -> None:
    assert store.address("a%20b") != store.address("a b")
