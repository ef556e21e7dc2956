"""Where ids are pseudonyms, names of files have the plain ones, and tell whose they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from tests.posts.made import Tweet, bring, photo, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

FIRST, SECOND = (f"150000000000000000{n}" for n in (1, 2))
SAID = "pseudonyms = true"
POLICY = f'{SAID}\nremoved = "forget"'


@pytest.fixture(autouse=True)
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "key"
    file.write_text("a secret that is long enough")
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(file))
    return file


def names(own: Path) -> set[str]:
    found = Dataset.open(str(own)).read("sources", columns=["address"])["address"].to_pylist()
    return {address.rpartition("/")[2] for address in found}


def two(folder: Path, said: str = SAID) -> Path:
    """Two pictures that are one post's and joined to none, and one that another post may have."""
    for at, name in enumerate((f"{FIRST}.jpg", f"{FIRST}-b.jpg", f"{FIRST}_{SECOND}.jpg")):
        photo(folder / "in" / name, tail=bytes([at]))
    tweets = [
        Tweet(FIRST, media=["FfA.jpg", "FfB.jpg"], when="2020-03-04T05:06:07.000Z"),
        Tweet(SECOND, when="2100-03-04T05:06:07.000Z"),
    ]
    write_dump(folder / "in/tweets.jsonl", tweets)
    bring(folder / "in", folder / "own", said)
    return folder / "own"


LEFT = {f"{FIRST}_{SECOND}.jpg", "tweets.jsonl"}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["policy", "retain", "forget"])
def test_what_is_called_after_a_post_leaves_with_it_and_what_another_has_stays(
    tmp_path: Path, imgbatch: Callable[..., Done], how: str
) -> None:
    own = two(tmp_path, POLICY if how == "policy" else SAID)
    if how == "policy":
        write_dump(tmp_path / "in/tweets.jsonl", [Tweet(SECOND, when="2100-03-04T05:06:07.000Z")])
        bring(tmp_path / "in", own, POLICY)
    else:
        by = ("--days", "30") if how == "retain" else ("--post-id", FIRST)
        done = imgbatch(how, own, *by, "--yes")
        assert (done.returncode, "key" in done.stdout) == (0, False), done.stderr
    assert names(own) == LEFT
    assert Dataset.open(str(own)).read("image").num_rows == 1
    for words in ((), ("--post-id", FIRST, "--platform", "x")):
        done = imgbatch("verify", own, "--forgotten", *words)
        assert (done.returncode, "key" in done.stdout) == (0, False), done.stdout
    assert verify(Dataset.open(str(own))).problems == []


@pytest.mark.slow
def test_without_the_key_it_is_said_that_names_tell_nothing_and_the_next_takes_them(
    tmp_path: Path, imgbatch: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, key: Path
) -> None:
    own = two(tmp_path)
    monkeypatch.delenv("IMGBATCH_PSEUDONYM_KEY_FILE")
    done = imgbatch("retain", own, "--days", "30", "--yes")
    assert (done.returncode, "WARNING: without the key" in done.stdout) == (0, True), done.stderr
    looked = imgbatch("verify", own, "--forgotten")
    assert (looked.returncode, "WARNING: without the key" in looked.stdout) == (0, True)
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(key))
    left = imgbatch("verify", own, "--forgotten")
    assert left.returncode == 14
    assert "2 sources are called after forgotten posts" in left.stdout
    assert imgbatch("forget", own, "--post-id", FIRST, "--yes").returncode == 0
    assert names(own) == LEFT
    assert imgbatch("verify", own, "--forgotten").returncode == 0
