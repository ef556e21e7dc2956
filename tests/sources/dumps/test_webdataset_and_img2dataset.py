"""Dumps whose metadata lie in tars and Parquet, which the contract suite cannot change as text."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from imgbatch.sources import dumps
from imgbatch.sources.dumps import Dump, Gap, Post
from imgbatch.sources.dumps.names import resolve
from tests.contracts.dumps import check, fixture

if TYPE_CHECKING:
    from pathlib import Path


def read(name: str, folder: Path) -> tuple[list[Post], list[Gap]]:
    found = [each for _, each in dumps.read_all(Dump.at(str(folder)), [name])]
    posts = [each for each in found if isinstance(each, Post)]
    for post in posts:
        check(post)
    return posts, [each for each in found if isinstance(each, Gap)]


def members(path: Path, *told: tuple[str, bytes]) -> None:
    path.write_bytes(shard(*told))


def shard(*told: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in told:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


PAIR = (("1.jpg", b"j"), ("1.json", b'{"caption": "c"}'))
SECOND = (("2.jpg", b"j"), ("2.txt", b"said" * 600))
CUT = [b"", shard(), shard(*PAIR)[:700], shard(*PAIR, *SECOND)[:4000]]


@pytest.mark.parametrize("tar", ["train-000000.tar", "train-000001.tar.gz"])
def test_samples_before_a_cut_are_read_and_the_cut_is_told(tmp_path: Path, tar: str) -> None:
    folder = fixture("webdataset", tmp_path / "dump")
    posts, _ = read("webdataset", folder)
    data = (folder / tar).read_bytes()
    (folder / tar).write_bytes(data[: len(data) // 2])
    left, gaps = read("webdataset", folder)
    assert len(left) < len(posts)
    assert {post.post_id for post in left} <= {post.post_id for post in posts}
    assert [gap.ref for gap in gaps if gap.kind.startswith("archive.")] == [tar]


def test_a_json_of_a_sample_that_is_none_is_told_and_the_sample_stays(tmp_path: Path) -> None:
    (tmp_path / "dump").mkdir()
    tar = tmp_path / "dump/a.tar"
    pairs = [("1.jpg", b"j"), ("1.json", b'{"text": "cut'), ("2.jpg", b"j"), ("2.json", b"[1]")]
    members(tar, *pairs, ("3.jpg", b"j"), ("3.json", b'{"text": "ca\0f\xe9", "date": "never"}'))
    posts, gaps = read("webdataset", tmp_path / "dump")
    assert [post.post_id for post in posts] == ["a/1", "a/2", "a/3"]
    assert posts[2].text == "caf\N{REPLACEMENT CHARACTER}"
    told = {(gap.kind, gap.message, gap.count) for gap in gaps if gap.kind != "unread"}
    assert told == {
        ("broken-json", "a .json that holds no object", 2),
        ("bad-field", "date", 1),
        ("bad-bytes", "no UTF-8: these bytes became U+FFFD", 1),
    }


def test_members_of_hostile_names_stay_inside_their_tar(tmp_path: Path) -> None:
    (tmp_path / "dump").mkdir()
    names = ["../../etc/x", "a'; DROP TABLE posts; --", "b\nc", "d\N{RIGHT-TO-LEFT OVERRIDE}e"]
    told = [(f"{name}.{end}", b"{}") for name in names for end in ("jpg", "json")]
    members(tmp_path / "dump/a.tar", *told)
    posts, _ = read("webdataset", tmp_path / "dump")
    paths = [medium.path or "" for post in posts for medium in post.media]
    assert len(paths) == len(names)
    resolved = [resolve(path, "a.tar") for path in paths]
    assert all(name is not None and name.startswith("a.tar!/") for name in resolved), resolved


@pytest.mark.parametrize("packed", [False, True])
def test_a_sample_has_its_own_medium_where_another_has_its_key(
    tmp_path: Path, *, packed: bool
) -> None:
    (tmp_path / "dump").mkdir()
    tar = tmp_path / "dump/a.tar"
    # A folder of that name has no address, and a member may be called as a repeated one is.
    told = [("k.jpg/", b""), ("k.jpg#2", b""), ("k.jpg", b"1"), ("k.json", b'{"id": "7"}')]
    told += [("z.jpg", b"zz"), ("z.txt", b"said"), ("k.jpg", b"two"), ("k.json", b'{"id": "8"}')]
    members(tar, *told)
    if packed:
        (tmp_path / "dump/a.tar.gz").write_bytes(gzip.compress(tar.read_bytes()))
        tar.unlink()
    dump = Dump.at(str(tmp_path / "dump"))
    posts, _ = read("webdataset", tmp_path / "dump")
    found = {post.post_id: post.media[0].path or "" for post in posts}
    sizes = {own: dump.size(resolve(path, "") or "") for own, path in found.items()}
    assert sizes == {"7": 1, "a/z": 2, "8": 3}


def test_a_parquet_that_is_cut_is_told_and_the_other_shards_are_read(tmp_path: Path) -> None:
    folder = fixture("img2dataset", tmp_path / "dump")
    data = (folder / "00000.parquet").read_bytes()
    (folder / "00000.parquet").write_bytes(data[: len(data) // 2])
    posts, gaps = read("img2dataset", folder)
    assert [post.post_id for post in posts] == ["105"]
    assert [gap.ref for gap in gaps if gap.kind == "archive.corrupt"] == ["00000.parquet"]


@pytest.mark.parametrize("column", ["url", "key", "status", "error_message", "width", "height"])
def test_a_column_that_is_gone_is_told_and_no_row_is_lost(tmp_path: Path, column: str) -> None:
    folder = fixture("img2dataset", tmp_path / "dump")
    before, _ = read("img2dataset", folder)
    for path in folder.glob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns([column]), path)
    posts, gaps = read("img2dataset", folder)
    assert len(posts) == len(before)
    missing = [gap.ref for gap in gaps if (gap.kind, gap.message) == ("missing-field", column)]
    assert missing == ["00000.parquet", "00001.parquet"]


def test_rows_of_one_post_id_are_pieces_of_one_post(tmp_path: Path) -> None:
    posts, _ = read("img2dataset", fixture("img2dataset", tmp_path / "dump"))
    assert [post.post_id for post in posts] == ["101", "102", "101", "103", "104", "105"]
    assert dumps.in_pieces("img2dataset")


def test_a_shard_says_once_that_its_files_are_not_the_originals(tmp_path: Path) -> None:
    _, gaps = read("img2dataset", fixture("img2dataset", tmp_path / "dump"))
    told = [(gap.ref, gap.message, gap.count) for gap in gaps if gap.kind == "re-encoded"]
    said = "resized and encoded anew by img2dataset, to 256 px at most"
    assert told == [("00000.parquet", said, 3), ("00001.parquet", said, 1)]


@pytest.mark.parametrize("damaged", CUT)
def test_a_damaged_shard_among_the_first_is_its_gap_and_the_others_are_read(
    tmp_path: Path, damaged: bytes
) -> None:
    (tmp_path / "s-0.tar").write_bytes(damaged)
    members(tmp_path / "s-1.tar", *PAIR)
    dump = Dump.at(str(tmp_path))
    assert dumps.choose(dump) == ["webdataset"]
    found = [one for _, one in dumps.read_all(dump, ["webdataset"])]
    assert "s-1/1" in [one.post_id for one in found if not isinstance(one, Gap)]
    told = [one.ref for one in found if isinstance(one, Gap) and one.kind.startswith("archive.")]
    assert told == ([] if damaged == shard() else ["s-0.tar"])


def test_a_shard_of_other_things_among_the_first_still_counts(tmp_path: Path) -> None:
    members(tmp_path / "s-0.tar", ("1.jpg", b"j"), ("2.jpg", b"j"))
    members(tmp_path / "s-1.tar", *PAIR)
    assert dumps.choose(Dump.at(str(tmp_path))) == []
