"""Tables: ids that are not the post's own and have lost their digits; one that cannot be had."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imgbatch.errors import FetchError
from imgbatch.sources import dumps
from imgbatch.sources.dumps import Dump, Gap, Plain, Post

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Row = dict[str, Any]


def as_csv(file: Path, row: Row) -> None:
    file.write_text(",".join(row) + "\n" + ",".join(map(str, row.values())) + "\n")


def as_json(file: Path, row: Row) -> None:
    file.write_text(json.dumps(row) + "\n")


def as_parquet(file: Path, row: Row) -> None:
    pq.write_table(pa.Table.from_pylist([row]), file)


def read(folder: Path) -> tuple[Post, list[tuple[str, str, int]]]:
    """Read the one post of a table; its gaps as kind, message and count."""
    found = [one for _, one in dumps.read_all(Dump.at(str(folder)), ["table"], Plain())]
    (post,) = (one for one in found if isinstance(one, Post))
    return post, [(one.kind, one.message, one.count) for one in found if isinstance(one, Gap)]


WRITERS = [("p.csv", as_csv), ("p.jsonl", as_json), ("p.parquet", as_parquet)]


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_rounded_ids_of_others_are_none_and_counted(
    tmp_path: Path, name: str, write: Callable[[Path, Row], None]
) -> None:
    row = {"id": "1", "image": "a.png", "user_id": 1.2345678901234568e18}
    more = {"in_reply_to": 1.7e18, "retweet_id": "1,7E+18" if name != "p.csv" else "1.7E+18"}
    write(tmp_path / name, row | more)
    post, gaps = read(tmp_path)
    assert (post.author_id, post.reply_to, post.repost_of) == (None, None, None)
    assert [gap for gap in gaps if gap[0] == "bad-field"] == [
        ("bad-field", "user_id", 1),
        ("bad-field", "in_reply_to", 1),
        ("bad-field", "retweet_id", 1),
    ]
    assert ("missing-field", "user_id", 1) not in gaps


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_other_ids_stay_as_they_are(
    tmp_path: Path, name: str, write: Callable[[Path, Row], None]
) -> None:
    ids = {"user_id": "a+b", "in_reply_to": 2**62, "retweet_id": "t3_1+1"}
    write(tmp_path / name, {"id": "1", "image": "a.png"} | ids)
    post, gaps = read(tmp_path)
    assert (post.author_id, post.reply_to, post.repost_of) == ("a+b", str(2**62), "t3_1+1")
    assert not [gap for gap in gaps if gap[0] == "bad-field"]


def test_an_author_who_is_not_there_is_missing(tmp_path: Path) -> None:
    as_json(tmp_path / "p.jsonl", {"id": "1", "image": "a.png", "user_id": None, "in_reply_to": ""})
    post, gaps = read(tmp_path)
    assert (post.author_id, post.reply_to) == (None, None)
    assert ("missing-field", "user_id", 1) in gaps


def test_a_table_behind_one_that_cannot_be_had_may_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text("id,image\n")
    (tmp_path / "b.csv").write_text("id,image\n1,a.jpg\n")
    dump, opened = Dump.at(str(tmp_path)), Dump.open

    def refused(self: Dump, name: str) -> object:
        if name == "a.csv":
            raise FetchError("fetch.denied", "not ours")
        return opened(self, name)

    monkeypatch.setattr(Dump, "open", refused)
    assert [name for name, _ in dumps.sniff(dump)] == ["table"]
