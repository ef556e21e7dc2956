"""Files of deleted posts, as platforms and people write them."""

from __future__ import annotations

import json

import pytest

from imgbatch.errors import SettingsError
from imgbatch.posts.deletions import Deletions, read_deletions

BIG = "1500000000000000001"


@pytest.mark.parametrize(
    "text",
    [
        f"# week 7\n{BIG}\n\n",
        f"\ufeffid\n{BIG}\n",
        f'Post_ID , reason\n"{BIG}",spam\n',
        f"{BIG},\n",
        f"# week 7\n\nid,reason\n{BIG},spam\n",
        f"reason;post_id\nspam, again;{BIG}\n",
        f"tweet_id\treason\r\n{BIG}\tspam\r\n",
        f'{{"id": "{BIG}", "text": "one\u2028two"}}\n',
        json.dumps({"id": int(BIG)}),
        json.dumps({"id": BIG, "action": "delete", "reason": "deleted"}),
        json.dumps({"id": int(BIG[:-1] + "0"), "id_str": BIG}),
        json.dumps({"delete": {"status": {"id": int(BIG), "id_str": BIG, "user_id": 3}}}),
        json.dumps({"data": {"delete": {"tweet": {"id": BIG, "author_id": "3"}}}}),
        f"{json.dumps({'post_id': BIG})}\n{json.dumps({'post_id': BIG})}\n",
    ],
)
def test_every_form_gives_the_id_with_all_its_digits(text: str) -> None:
    assert read_deletions(text) == Deletions([BIG])


def test_what_is_no_deleted_post_is_counted_by_its_name_and_not_applied() -> None:
    lines = [
        {"user_protect": {"id": 3}},
        {"data": {"scrub_geo": {"tweet": {"id": "5"}}}},
        {"id": "6", "action": "withhold"},
        {"id": "8", "action": "Withhold"},
        {"status_withheld": {"id": 9, "user_id": 3, "withheld_in_countries": ["XY"]}},
        {"delete": {"favorite": {"tweet_id": 1, "user_id": 3}}},
        {"id": "7", "action": "delete"},
    ]
    found = read_deletions("\n".join(map(json.dumps, lines)))
    assert (found.ids, found.authors) == (["7"], [])
    assert found.others == {
        "withhold": 2,
        "user_protect": 1,
        "scrub_geo": 1,
        "status_withheld": 1,
        "delete of no post": 1,
    }


def test_an_account_that_is_deleted_is_an_author_unless_it_comes_back() -> None:
    lines = [
        {"user_delete": {"id": int(BIG), "timestamp_ms": "1474495250154"}},
        {"data": {"user_delete": {"user": {"id": "4"}, "event_at": "2026-11-02T10:00:00.000Z"}}},
        {"user_delete": {"id": 5}},
        {"data": {"user_undelete": {"user": {"id": "5"}, "event_at": "2026-11-03T10:00:00.000Z"}}},
        {"user_undelete": {"id": 6}},
    ]
    assert read_deletions("\n".join(map(json.dumps, lines))) == Deletions([], [BIG, "4"])


@pytest.mark.parametrize(
    "text",
    [
        "7\na sentence\n8",
        '{"id": "7"}\n{"id": "8"',
        '{"text": "x"}',
        '{"id": 1.5e18}',
        '{"user_delete": {"timestamp_ms": "1"}}',
        'id\n7\n""\n',
        "id\n1.5E+18\n",
        "1,23457E+18\n",
        "7;spam\n",
        '["7", "8"]',
        '["7"]',
        "7\x00\n",
        '{"a":' * 100_000,
    ],
)
def test_a_line_that_names_nothing_changes_nothing(text: str) -> None:
    with pytest.raises(SettingsError, match="no id of a post in line"):
        read_deletions(text)


@pytest.mark.parametrize("text", ['id,text\n1,"open\n2,b\n3,c\n', "id,text\n1," + "x" * 2**23])
def test_a_table_that_is_none_changes_nothing(text: str) -> None:
    with pytest.raises(SettingsError, match="no CSV from line"):
        read_deletions(text)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("id,reason\n1,spam\n2\n3,spam\n", 3, "1 cell, and the header has 2"),
        ("id,reason\n1,spam\n2,spam, twice\n", 3, "3 cells, and the header has 2"),
        ("# week 7\nid;reason\n1;a;b\n", 3, "3 cells, and the header has 2"),
        ('id,text\n1,"of two\nlines"\n2,a,b\n', 4, "3 cells, and the header has 2"),
        ("id\n1,2\n", 2, "2 cells, and the header has 1"),
        ('id,note\n1,"stray\n2,b\n3,stray"\n4,c\n', 2, "3 lines stand between two quotes"),
        ('id,note\n1,a\n2,"b\n3,c"\n', 3, "2 lines stand between two quotes"),
        ('note;id;more\nx;1;"y\nz;2;y"\n', 2, "2 lines stand between two quotes"),
    ],
)
def test_a_line_of_a_table_that_would_not_be_done_changes_nothing(
    text: str, line: int, why: str
) -> None:
    with pytest.raises(SettingsError, match=f"line {line}: {why}") as refused:
        read_deletions(text)
    assert "Nothing was changed" in str(refused.value.remedy)


@pytest.mark.parametrize(
    "text",
    [
        'id,text\n1,"two\nlines"\n2,"a, b"\n',
        'id,text\n1,"two lines\nand, as one may, commas"\n2,b\n',
        'text,id\n"hello\nworld, good bye",1\nb,2\n',
        "id,text\n1,\n\n  \n2,b\n",
    ],
)
def test_texts_of_several_lines_are_no_lines_of_the_table(text: str) -> None:
    assert read_deletions(text).ids == ["1", "2"]
