"""What a takedown finds by names: pictures that no post was joined to, and metadata files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.forget import forget
from imgbatch.dataset.given import look_up as look_up_sources
from imgbatch.dataset.needles import texts
from imgbatch.dataset.posts_forgotten import look_up
from imgbatch.dataset.verify import verify
from tests.posts.made import Tweet, bring, photo, rows, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

FIRST, SECOND, THIRD = (f"150000000000000000{n}" for n in (1, 2, 3))


def names(own: Path, table: str = "sources") -> set[str]:
    found = Dataset.open(str(own)).read(table, columns=["address"])["address"].to_pylist()
    return {address.rpartition("/")[2] for address in found}


def named(own: Path, word: str) -> list[str]:
    """Return the files of a dataset that hold a word anywhere but in their own names."""
    files = [path for path in own.rglob("*") if path.is_file()]
    return [p.name for p in files if any(word in text for text in texts(p.name, p.read_bytes()))]


def carousel(folder: Path) -> None:
    """Two media and three files of the first post, so that nobody knows which is which."""
    for at in (1, 2, 3):
        photo(folder / f"{FIRST}_{at}.jpg", tail=bytes([at]))
    photo(folder / f"{SECOND}_1.jpg", "china.jpg")
    photo(folder / f"{SECOND}_thumb.jpg", "flower.jpg")
    write_dump(
        folder / "tweets.jsonl",
        [Tweet(FIRST, media=["FfA.jpg", "FfB.jpg"]), Tweet(SECOND, media=[f"{SECOND}_1.jpg"])],
    )


@pytest.mark.slow
def test_pictures_that_were_not_joined_go_with_their_post_and_that_is_said(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = tmp_path / "own"
    carousel(tmp_path / "in")
    bring(tmp_path / "in", own)
    assert rows(own, "post_media", "status")[:2] == [("ambiguous",), ("ambiguous",)]
    asked = imgbatch("forget", own, "--post-id", FIRST)
    assert "forgetting 3 sources and 1 posts" in asked.stderr
    done = imgbatch("forget", own, "--post-id", FIRST, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert (done.said["sources"], done.said["sources_by_name"]) == (3, 3)
    assert done.said["ambiguous_media"] == 0
    assert done.said["rows"]["image"] == 3
    assert {f"{FIRST}_{at}.jpg" for at in (1, 2, 3)} < {
        address.rpartition("/")[2] for address in done.said["input_files"]
    }
    assert names(own) == {f"{SECOND}_1.jpg", f"{SECOND}_thumb.jpg", "tweets.jsonl"}
    assert named(own, FIRST) == []
    assert imgbatch("verify", own, "--forgotten", "--post-id", FIRST).returncode == 0
    assert verify(Dataset.open(str(own))).problems == []
    # What lies beside the picture that was joined goes too, and its gap.
    told = imgbatch("forget", own, "--post-id", SECOND, "--yes")
    assert "1 of the sources are theirs by their names alone" in told.stdout
    assert names(own) == {"tweets.jsonl"}
    assert named(own, SECOND) == []


@pytest.mark.slow
def test_pictures_that_an_earlier_takedown_left_are_reported_and_taken_by_the_next(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = tmp_path / "own"
    carousel(tmp_path / "in")
    bring(tmp_path / "in", own)
    dataset = Dataset.open(str(own))
    found = look_up(dataset, [("", FIRST)])
    forget(dataset, look_up_sources(dataset, []), of_posts=found)
    left = imgbatch("verify", own, "--forgotten", "--post-id", FIRST)
    assert left.returncode == 14
    assert "3 sources are called after forgotten posts" in left.stdout
    assert imgbatch("forget", own, "--post-id", FIRST, "--yes").returncode == 0
    assert imgbatch("verify", own, "--forgotten", "--post-id", FIRST).returncode == 0


def test_what_a_post_that_stays_has_stays_too_and_is_no_trace(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = tmp_path / "own"
    photo(tmp_path / "in" / f"{FIRST}.jpg")
    photo(tmp_path / "in" / f"{FIRST}_{SECOND}.jpg", "china.jpg")
    photo(tmp_path / "in" / f"{FIRST}_own.jpg", "flower.jpg")
    # A conversation that is called after its first post, and of which all others stay.
    tweets = [Tweet(FIRST), Tweet(SECOND), Tweet(THIRD, media=[f"{FIRST}.jpg"])]
    write_dump(tmp_path / "in" / f"{FIRST}.jsonl", tweets)
    bring(tmp_path / "in", own)
    done = imgbatch("forget", own, "--post-id", FIRST, "--yes", "--json")
    assert (done.returncode, done.said["sources"]) == (0, 1), done.stderr
    assert names(own) == {f"{FIRST}.jpg", f"{FIRST}_{SECOND}.jpg", f"{FIRST}.jsonl"}
    assert imgbatch("verify", own, "--forgotten", "--post-id", FIRST).returncode == 0


def test_the_id_of_no_post_here_counts_in_names_only_if_it_looks_like_one(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = tmp_path / "own"
    photo(tmp_path / "in/IMG_12345.jpg")
    photo(tmp_path / "in" / f"{FIRST}_1.jpg", "china.jpg")
    write_dump(tmp_path / "in/tweets.jsonl", [Tweet(SECOND)])
    bring(tmp_path / "in", own)
    words = ["forget", own, "--post-id", "12345", "--post-id", FIRST, "--missing-ok", "--yes"]
    done = imgbatch(*words, "--json")
    assert (done.returncode, done.said["posts"], done.said["sources"]) == (0, 0, 1), done.stderr
    assert names(own) == {"IMG_12345.jpg", "tweets.jsonl"}
    given = ["--post-id", "12345", "--post-id", FIRST]
    assert imgbatch("verify", own, "--forgotten", *given).returncode == 0


def test_a_medium_that_could_be_several_files_by_other_names_is_told(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = tmp_path / "own"
    photo(tmp_path / "in/one/FfPicture.jpg")
    photo(tmp_path / "in/two/FfPicture.jpg", "china.jpg")
    write_dump(tmp_path / "in/tweets.jsonl", [Tweet(FIRST, media=["FfPicture.jpg"])])
    bring(tmp_path / "in", own)
    done = imgbatch("forget", own, "--post-id", FIRST, "--yes")
    assert "1 media of theirs could be several files" in done.stdout


@pytest.mark.slow
def test_where_ids_are_pseudonyms_names_hold_the_plain_ones(
    tmp_path: Path, imgbatch: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text("a secret that is long enough")
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(key))
    own = tmp_path / "own"
    carousel(tmp_path / "in")
    bring(tmp_path / "in", own, "pseudonyms = true")
    dataset = Dataset.open(str(own))
    assert "never forgotten here" in imgbatch(*_looked(own)).stdout
    done = imgbatch("forget", own, "--post-id", FIRST, "--yes", "--json")
    assert (done.said["posts"], done.said["sources"]) == (1, 3)
    assert imgbatch(*_looked(own)).returncode == 0
    assert verify(dataset).problems == []


def _looked(own: Path) -> tuple[str | Path, ...]:
    return ("verify", own, "--forgotten", "--post-id", FIRST)


def gallery(folder: Path, tweet: str, at: int) -> None:
    """One picture and its metadata, as gallery-dl writes them side by side."""
    photo(folder / f"{tweet}_{at}.jpg", tail=f"{tweet}{at}".encode())
    said = {
        "category": "twitter",
        "subcategory": "timeline",
        "tweet_id": int(tweet),
        "num": at,
        "count": 2,
        "date": "2022-01-01 00:00:00",
        "author": {"id": 77, "name": "bob", "nick": "Bob"},
        "content": "hello",
        "filename": f"Ff{tweet}",
        "extension": "jpg",
    }
    (folder / f"{tweet}_{at}.jpg.json").write_text(json.dumps(said))


@pytest.mark.slow
def test_a_metadata_file_of_one_post_leaves_with_it(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = tmp_path / "own"
    for tweet in (FIRST, SECOND):
        for at in (1, 2):
            (tmp_path / "in").mkdir(exist_ok=True)
            gallery(tmp_path / "in", tweet, at)
    (tmp_path / "in" / f"{FIRST}_3.jpg.json").write_text("{")
    bring(tmp_path / "in", own)
    assert any(FIRST in ref for (ref,) in rows(own, "post_gaps", "ref"))
    done = imgbatch("forget", own, "--post-id", FIRST, "--yes", "--json")
    assert (done.returncode, done.said["sources"]) == (0, 5), done.stderr
    assert (
        names(own)
        == names(own, "manifest")
        == {f"{SECOND}_{at}.jpg{end}" for at in (1, 2) for end in ("", ".json")}
    )
    assert named(own, FIRST) == []
    assert imgbatch("verify", own, "--forgotten", "--post-id", FIRST).returncode == 0
    bring(tmp_path / "in", own)
    assert named(own, FIRST) == []
    assert rows(own, "posts", "post_id") == [(SECOND,)]


@pytest.mark.slow
def test_a_metadata_file_that_is_called_otherwise_leaves_where_its_media_lie_beside_it(
    own_of_files: Path, imgbatch: Callable[..., Done]
) -> None:
    done = imgbatch("forget", own_of_files, "--post-id", FIRST, "--yes")
    assert "1 of the sources are metadata files of theirs alone" in done.stdout, done.stderr
    # The table is of the second post alone, and next week's may be of others.
    assert names(own_of_files) == {"one.jpg", "table.json"}
    assert imgbatch("forget", own_of_files, "--post-id", "12345678", "--yes").returncode == 0
    assert names(own_of_files) == {"table.json"}


@pytest.fixture
def own_of_files(tmp_path: Path) -> Path:
    """A post by yt-dlp, whose files are called after their title, and a table of one post."""
    folder = tmp_path / "in"
    photo(folder / "A title.jpg")
    info = {
        "id": FIRST,
        "title": "A title",
        "extractor": "youtube",
        "extractor_key": "Youtube",
        "webpage_url": "https://www.youtube.com/watch?v=x",
        "ext": "jpg",
        "_type": "video",
        "upload_date": "20240101",
        "formats": [],
    }
    (folder / "A title.info.json").write_text(json.dumps(info))
    own = tmp_path / "own"
    bring(folder, own)
    photo(tmp_path / "table/one.jpg", "china.jpg")
    (tmp_path / "table/table.json").write_text('[{"id": "12345678", "image": "one.jpg"}]')
    said = 'dump = "table"\nmedia_column = "image"\nid_column = "id"'
    bring(tmp_path / "table", own, said, add_input=True)
    return own


TABLE = 'dump = "table"\nmedia_column = "image"\nid_column = "id"\n'


def table_and_others(folder: Path, *posts: str, said: str = TABLE) -> Path:
    """A table of posts without media, and an input that is no dump, of pictures called so too."""
    (folder / "a").mkdir()
    lines = [f"{post},7,said,\n" for post in posts]
    (folder / "a/posts.csv").write_text("".join(["id,author_id,text,image\n", *lines]))
    for at, post in enumerate(posts):
        photo(folder / "a" / f"{post}.jpg", "china.jpg", tail=bytes([at]))
        photo(folder / "b" / f"{post}.jpg", tail=bytes([at]))
    own = folder / "own"
    bring(folder / "a", own, said)
    bring(folder / "b", own, 'dump = "none"', add_input=True)
    return own


def addresses(own: Path) -> set[str]:
    found = Dataset.open(str(own)).read("manifest", columns=["address"])["address"].to_pylist()
    return {"/".join(address.split("/")[-2:]) for address in found}


@pytest.mark.slow
def test_a_post_that_a_table_lacks_takes_nothing_of_other_inputs_that_is_called_so(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    said = f'{TABLE}removed = "forget"'
    own = table_and_others(tmp_path, "1", "2", FIRST, said=said)
    before = addresses(own)
    (tmp_path / "a/posts.csv").write_text("id,author_id,text,image\n1,7,said,\n")
    summary = bring(tmp_path / "a", own, said)
    assert (summary.posts or {})["removed"] == 2
    assert addresses(own) == before - {"a/2.jpg", f"a/{FIRST}.jpg"}
    assert imgbatch("verify", own, "--forgotten").returncode == 0


@pytest.mark.slow
def test_the_post_of_a_table_that_is_given_takes_nothing_of_other_inputs_that_is_called_so(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = table_and_others(tmp_path, "1", "20190101", FIRST)
    before = addresses(own)
    words = (own, "--post-id", "20190101", "--post-id", FIRST, "--platform", "table")
    done = imgbatch("forget", *words, "--yes")
    assert done.returncode == 0, done.stderr
    assert addresses(own) == before - {"a/20190101.jpg", f"a/{FIRST}.jpg"}
    assert imgbatch("verify", own, "--forgotten", *words[1:]).returncode == 0
    # Who names no platform means any, and this number is one post wherever it stands.
    assert imgbatch("forget", own, "--post-id", FIRST, "--yes").returncode == 0
    assert addresses(own) == before - {"a/20190101.jpg", f"a/{FIRST}.jpg", f"b/{FIRST}.jpg"}
    assert imgbatch("verify", own, "--forgotten", "--post-id", FIRST).returncode == 0


def dump_and_others(folder: Path, said: str = "") -> Path:
    """A post whose id a camera may have, and its picture, which is not the one of another input."""
    own = folder / "own"
    for name in ("a/12345678_1.jpg", "b/12345678_1.jpg"):
        photo(folder / name, tail=name.encode())
    write_dump(folder / "a/tweets.jsonl", [Tweet("12345678"), Tweet(SECOND, when="2099-01-01")])
    bring(folder / "a", own, said)
    bring(folder / "b", own, f'dump = "none"\n{said}', add_input=True)
    return own


@pytest.mark.slow
def test_a_post_by_its_pseudonym_takes_what_is_called_so_in_its_own_input_alone(
    tmp_path: Path, imgbatch: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text("a secret that is long enough")
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(key))
    own = dump_and_others(tmp_path, "pseudonyms = true")
    assert imgbatch("forget", own, "--post-id", "12345678", "--yes").returncode == 0
    assert addresses(own) == {"a/tweets.jsonl", "b/12345678_1.jpg"}
    photo(tmp_path / "a/12345678_2.jpg")
    bring(tmp_path / "a", own, "pseudonyms = true")
    words = ("verify", own, "--forgotten", "--post-id", "12345678")
    assert "1 sources are called after forgotten posts" in imgbatch(*words).stdout
    assert imgbatch("forget", own, "--post-id", "12345678", "--yes").returncode == 0
    assert imgbatch(*words).returncode == 0


@pytest.mark.slow
def test_posts_past_their_time_take_nothing_of_other_inputs_that_is_called_so(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = dump_and_others(tmp_path)
    done = imgbatch("retain", own, "--days", "1", "--yes")
    assert done.returncode == 0, done.stderr
    assert addresses(own) == {"a/tweets.jsonl", "b/12345678_1.jpg"}
    assert imgbatch("verify", own, "--forgotten").returncode == 0


@pytest.mark.slow
def test_what_comes_later_into_the_input_of_a_forgotten_post_is_reported_and_taken_by_the_next(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = table_and_others(tmp_path, "1", "20190101")
    words = (own, "--post-id", "20190101", "--platform", "table")
    assert imgbatch("forget", *words, "--yes").returncode == 0
    for folder in ("a", "b"):
        photo(tmp_path / folder / "20190101.png", "flower.jpg", tail=folder.encode())
        bring(tmp_path / folder, own, TABLE if folder == "a" else 'dump = "none"')
    assert {"a/20190101.png", "b/20190101.png"} < addresses(own)
    left = imgbatch("verify", own, "--forgotten")
    assert left.returncode == 14
    assert "1 sources are called after forgotten posts" in left.stdout
    assert "a/20190101.png" in left.stdout
    assert imgbatch("forget", *words, "--yes").returncode == 0
    assert {"a/20190101.png", "b/20190101.png"} & addresses(own) == {"b/20190101.png"}
    assert imgbatch("verify", own, "--forgotten").returncode == 0
