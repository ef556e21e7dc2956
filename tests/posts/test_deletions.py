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
        json.dumps({"id": int(BIG)}),
        json.dumps({"id": BIG, "action": "delete", "reason": "deleted"}),
        json.dumps({"id": int(BIG[:-1] + "0"), "id_str": BIG}),
        json.dumps({"delete": {"status": {"id": int(BIG), "id_str": BIG, "user_id": 3}}}),
        json.dumps({"data": {"delete": {"tweet": {"id": BIG, "author_id": "3"}}}}),
        f"{json.dumps({'post_id': BIG})}\n{json.dumps({'post_id': BIG})}\n",
    ],
)
def test_every_form_gives_the_id_with_all_its_digits(text: str) -> None:
    assert read_deletions(text) == Deletions((BIG,))


def test_what_is_no_deleted_post_is_counted_and_not_applied() -> None:
    lines = [
        {"user_delete": {"id": 3}},
        {"data": {"scrub_geo": {"tweet": {"id": "5"}}}},
        {"id": "6", "action": "withhold"},
        {"id": "7", "action": "delete"},
    ]
    text = "\n".join(map(json.dumps, lines))
    assert read_deletions(text) == Deletions(("7",), others=3)


@pytest.mark.parametrize(
    "text",
    [
        "7\na sentence\n8",
        '{"id": "7"}\n{"id": "8"',
        '{"text": "x"}',
        '{"id": 1.5e18}',
        'id\n7\n""\n',
    ],
)
def test_a_line_that_names_nothing_changes_nothing(text: str) -> None:
    with pytest.raises(SettingsError, match="no id of a post in line"):
        read_deletions(text)
