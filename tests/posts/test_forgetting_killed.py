"""A takedown of posts that is killed at any of its writes (SIGKILL): the next one completes it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset, posts
from imgbatch.dataset.audit import records
from imgbatch.dataset.forget import forget
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.given import Given, look_up
from imgbatch.dataset.posts_forgotten import look_up as look_up_posts
from imgbatch.dataset.verify import verify
from tests.posts.made import Tweet, bring, photo, rows, write_dump

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND, THIRD = (f"150000000000000000{n}" for n in (1, 2, 3))

# Each call of these is a place to die at, just before it is made. The parent opens no table.
KILLER = """
import json, os, shutil, signal, sys
from imgbatch.dataset import Dataset, delta
from imgbatch.dataset.forget import forget
from imgbatch.dataset.given import Given, look_up
from imgbatch.dataset.posts_forgotten import look_up as look_up_posts
from imgbatch.storage import local

whole, out, post = sys.argv[1:]
calls, die_at = 0, 0

def watched(function):
    def call(*args, **named):
        global calls
        calls += 1
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **named)
    return call

os.link = watched(os.link)
delta.Table.commit = watched(delta.Table.commit)
while True:
    die_at += 1
    folder = f"{out}/{die_at}"
    shutil.copytree(whole, folder)
    child = os.fork()
    if not child:
        dataset = Dataset.open(folder)
        found = look_up_posts(dataset, [("", post)])
        theirs = [Given(one, one) for one in found.sources]
        forget(dataset, look_up(dataset, theirs), of_posts=found)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
print(json.dumps(die_at))
"""


@pytest.mark.slow
def test_killed_before_each_write_it_is_completed_by_the_next(tmp_path: Path) -> None:
    photo(tmp_path / "in/FfOfFirst1.jpg")
    photo(tmp_path / "in/FfOfBoth22.jpg", "china.jpg")
    answer = {"referenced_tweets": [{"type": "replied_to", "id": FIRST}]}
    tweets = [
        Tweet(FIRST, "one", ["FfOfFirst1.jpg", "FfOfBoth22.jpg", "FfGone4444.jpg"]),
        Tweet(SECOND, "two", ["FfOfBoth22.jpg"], more=answer),
        Tweet(THIRD, "three", ["FfOfFirst1.jpg"]),
    ]
    write_dump(tmp_path / "in/tweets.jsonl", tweets)
    bring(tmp_path / "in", tmp_path / "own")
    # The third is marked as removed, so it keeps no source from leaving.
    write_dump(tmp_path / "in/tweets.jsonl", tweets[:2])
    bring(tmp_path / "in", tmp_path / "own", 'removed = "mark"')
    words = [sys.executable, "-c", KILLER, str(tmp_path / "own"), str(tmp_path / "out"), FIRST]
    deaths = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
    assert deaths > 12
    whole = tmp_path / "out" / str(deaths)
    assert rows(whole, "posts", "post_id") == [(SECOND,), (THIRD,)]
    assert rows(whole, "post_media", "status") == [("matched",), ("forgotten",)]
    for death in range(1, deaths):
        _completed(tmp_path / "out" / str(death), whole, other=death % 2 == 0)


def _completed(own: Path, whole: Path, *, other: bool) -> None:
    dataset = Dataset.open(str(own))
    begun = [record for record in records(dataset.store) if record["status"] == "begun"]
    # One that is on record as begun is completed by any other.
    found = look_up_posts(dataset, [("", "9" if begun and other else FIRST)])
    theirs = [Given(one, one) for one in found.sources]
    forget(dataset, look_up(dataset, theirs), of_posts=found)
    assert verify_forgotten(dataset, of_posts=[("", FIRST)]).problems == []
    assert verify(Dataset.open(str(own))).problems == []
    for name in posts.TABLES:
        assert rows(own, name) == rows(whole, name), (own, name)
    assert posts.record(Dataset.open(str(own))) == posts.record(Dataset.open(str(whole)))


# Dies when the tombstones are there, and the record is not.
BETWEEN = """
import os, signal, sys
from imgbatch.dataset import Dataset
from imgbatch.dataset.audit import Audit
from imgbatch.dataset.forget import forget
from imgbatch.dataset.given import Given, look_up
from imgbatch.dataset.posts_forgotten import look_up as look_up_posts

Audit.write = lambda audit, store: os.kill(os.getpid(), signal.SIGKILL)
dataset = Dataset.open(sys.argv[1])
found = look_up_posts(dataset, [("x", sys.argv[2])])
forget(dataset, look_up(dataset, []), of_posts=found)
"""


def test_killed_before_its_record_it_leaves_known_which_platforms_its_posts_are_of(
    tmp_path: Path,
) -> None:
    own = tmp_path / "own"
    photo(tmp_path / "in/FfOfFirst1.jpg")
    write_dump(tmp_path / "in/tweets.jsonl", [Tweet(FIRST), Tweet(SECOND)])
    bring(tmp_path / "in", own)
    dataset = Dataset.open(str(own))
    dataset.store.put("logs/x.txt", f"as {FIRST} says\nkept".encode())
    died = subprocess.run([sys.executable, "-c", BETWEEN, str(own), FIRST], check=False)
    assert died.returncode == -signal.SIGKILL
    assert records(dataset.store) == []
    assert any("logs/x.txt" in problem for problem in verify_forgotten(dataset).problems)
    # A forget of another platform takes it out, though it names nothing of it.
    photo(tmp_path / "other/12345678901.jpg", "china.jpg")
    others = 'dump = "table"\nmedia_column = "image"\nid_column = "id"'
    (tmp_path / "other/posts.csv").write_text("id,platform,image\n12345678901,tiktok,\n")
    bring(tmp_path / "other", own, others, add_input=True)
    dataset = Dataset.open(str(own))
    found = look_up_posts(dataset, [("tiktok", "12345678901")])
    forget(dataset, look_up(dataset, []), of_posts=found)
    assert [record["platforms"] for record in records(dataset.store)] == [["tiktok"]]
    assert dataset.store.get("logs/x.txt") == b"kept"
    assert rows(own, "posts", "post_id") == [(SECOND,)]
    assert verify_forgotten(dataset, of_posts=[("x", FIRST)]).problems == []
