"""Bringing posts is killed at any of its writes, by SIGKILL: the next run completes it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.dataset import Dataset, posts
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.verify import verify
from tests.posts.made import Tweet, bring, photo, rows, write_dump

if TYPE_CHECKING:
    from pathlib import Path

# Each write of a run is a place to die at, just before it is made: that is also just after the one
# before. The parent forks and never opens a table itself.
KILLER = """
import json, os, shutil, signal, sys
from pathlib import Path
from imgbatch.dataset import delta
from imgbatch.storage import local
from tests.posts.made import bring

dump, whole, out = map(Path, sys.argv[1:])
calls, die_at = 0, 0

def watched(function):
    def call(*args, **named):
        global calls
        calls += 1
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **named)
    return call

os.replace, os.link = watched(os.replace), watched(os.link)
delta.Table.commit = watched(delta.Table.commit)
while True:
    die_at += 1
    folder = out / str(die_at)
    shutil.copytree(whole, folder)
    child = os.fork()
    if not child:
        bring(dump, folder, 'removed = "forget"')
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
print(json.dumps(die_at - 1))
"""
IDS = [str(1500000000000000000 + at) for at in range(12)]


def told(own: Path) -> dict[str, list[Any]]:
    return {name: rows(own, name) for name in posts.TABLES}


@pytest.mark.slow
def test_killed_before_each_write_it_is_whole_after_the_next_run(
    tmp_path: Path, root: Path
) -> None:
    dump, own = tmp_path / "in", tmp_path / "own"
    photo(dump / "media/FfFirst111.jpg")
    photo(dump / "media/FfOther222.jpg", "china.jpg")
    tweets = [Tweet(post_id, "then", ["FfFirst111.jpg"]) for post_id in IDS]
    write_dump(dump / "tweets.jsonl", tweets)
    bring(dump, own, 'removed = "forget"')
    before = told(own)
    write_dump(dump / "tweets.jsonl", [Tweet(p, "now", ["FfOther222.jpg"]) for p in IDS[2:]])
    # The metadata file's own outcome first, so that the posts are all that is left to do.
    bring(dump, own, dump="none")
    words = [sys.executable, "-c", KILLER, str(dump), str(own), str(tmp_path / "out")]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True, cwd=root)
    deaths = json.loads(done.stdout)
    assert deaths > 10
    shutil.copytree(own, tmp_path / "kept")
    bring(dump, own, 'removed = "forget"')
    after = told(own)
    assert [row["text"] for row in after["posts"]] == ["now"] * 10
    gone = [("x", post_id) for post_id in IDS[:2]]
    for at in range(1, deaths + 1):
        killed = tmp_path / "out" / str(at)
        for name, found in told(killed).items():
            assert found in (before[name], after[name]), (at, name)
        bring(dump, killed, 'removed = "forget"')
        assert told(killed) == after, at
        dataset = Dataset.open(str(killed))
        assert verify(dataset).problems == [], at
        assert posts.strays(dataset) == [], at  # forgotten posts are in no former version either
        assert verify_forgotten(dataset, of_posts=gone).problems == [], at
