"""The key of pseudonyms: that of another dataset is refused, and one that lies in its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import SettingsError
from tests.posts.made import Tweet, bring, photo, rows, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

OLD, NEW = "1500000000000000001", "1500000000000000002"
SAID = "pseudonyms = true"


def dump(folder: Path) -> None:
    photo(folder / "media/FfOfFirst1.jpg")
    photo(folder / "media/FfOther222.jpg", "china.jpg")
    tweets = [
        Tweet(OLD, "one", ["FfOfFirst1.jpg"], when="2020-03-04T05:06:07.000Z"),
        Tweet(NEW, "two", ["FfOther222.jpg"], when="2100-03-04T05:06:07.000Z"),
    ]
    write_dump(folder / "tweets.jsonl", tweets)


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Name the file of a key."""

    def use(name: str) -> None:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"a secret that is long enough, of {name}")
        monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(file))

    return use


def test_a_takedown_by_another_key_is_refused_and_none_is_proved_by_it(
    tmp_path: Path, imgbatch: Callable[..., Done], keys: Callable[[str], None]
) -> None:
    dump(tmp_path / "in")
    own, deleted = tmp_path / "own", tmp_path / "deleted.txt"
    deleted.write_text(f"{OLD}\n")
    keys("first")
    bring(tmp_path / "in", own, SAID)
    keys("second")
    for words in (
        ("forget", own, "--deleted-posts", deleted, "--yes"),
        ("forget", own, "--post-id", OLD, "--missing-ok", "--yes"),
        ("verify", own, "--forgotten", "--deleted-posts", deleted),
    ):
        done = imgbatch(*words)
        assert (done.returncode, "pseudonyms of another key" in done.stderr) == (10, True), done
    # By their time posts need no id, so no key: the right ones leave.
    done = imgbatch("retain", own, "--days", "30", "--yes", "--json")
    assert (done.returncode, done.said["posts"], done.said["sources"]) == (0, 1, 1), done.stderr
    keys("first")
    assert imgbatch("verify", own, "--forgotten", "--deleted-posts", deleted).returncode == 0
    assert imgbatch("forget", own, "--post-id", NEW, "--yes").returncode == 0
    assert rows(own, "posts") == []


def test_a_key_inside_of_the_dataset_is_refused(
    tmp_path: Path, imgbatch: Callable[..., Done], keys: Callable[[str], None]
) -> None:
    dump(tmp_path / "in")
    own = tmp_path / "own"
    keys("key")
    bring(tmp_path / "in", own, SAID)
    keys("own/key")
    (own / "key").write_bytes((tmp_path / "key").read_bytes())
    with pytest.raises(SettingsError, match="inside of the dataset"):
        bring(tmp_path / "in", own, SAID)
    done = imgbatch("forget", own, "--post-id", OLD, "--yes")
    assert (done.returncode, "inside of the dataset" in done.stderr) == (10, True)
    # By a link to it, or to the dataset, it lies there too.
    (tmp_path / "link").symlink_to(own / "key")
    keys("link")
    done = imgbatch("forget", own, "--post-id", OLD, "--yes")
    assert (done.returncode, "inside of the dataset" in done.stderr) == (10, True)
    assert len(rows(own, "posts")) == 2


def test_what_a_fetch_wrote_is_asked_by_ids_and_not_by_pseudonyms(
    tmp_path: Path, imgbatch: Callable[..., Done], keys: Callable[[str], None]
) -> None:
    dump(tmp_path / "in")
    own, out = tmp_path / "own", tmp_path / "out"
    keys("first")
    bring(tmp_path / "in", own, SAID)
    before = rows(own, "posts", "post_id")
    for words in (("forget", own, "--yes"), ("verify", own, "--forgotten")):
        done = imgbatch(*words, "--post-id", before[0][0], "--fetched", out)
        assert (done.returncode, "is a pseudonym" in done.stderr) == (10, True), done
    assert rows(own, "posts", "post_id") == before
