"""A medium whose source is forgotten is known again by what it is told by, and no other is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset, forget, medium_marks
from imgbatch.dataset.medium_words import words_of
from imgbatch.dataset.verify import verify
from tests.posts.made import Tweet, bring, photo, rows, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

POST, NEXT = "1600000000000000001", "1600000000000000002"
GONE = ("forgotten", None, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder `in` with two photographs."""
    for name in ("x", "y"):
        photo(tmp_path / f"in/{name}.jpg", tail=name.encode())
    return tmp_path


@pytest.fixture
def forgotten(folder: Path, imgbatch: Callable[..., Done]) -> Callable[..., None]:
    """Forget a photograph, or a post."""

    def call(*words: str) -> None:
        named = ("--source", folder / words[0]) if len(words) == 1 else words
        done = imgbatch("forget", folder / "own", *named, "--yes")
        assert done.returncode == 0, done.stderr

    return call


def week(folder: Path, number: int, *media: str, post: str = POST) -> None:
    """Write a weekly export of one post, and bring the input."""
    cell = ",".join(media)
    text = f'id,platform,author,text,image\n{post},x,ada,said,"{cell}"\n'
    (folder / f"in/week{number}.csv").write_text(text)
    bring(folder / "in", folder / "own", 'media_column = "image"')


def url(name: str, week_: int) -> str:
    return f"https://cdn.example/a/{name}.jpg?sig={week_}"


def media(folder: Path) -> list[tuple[str, str | None, str | None]]:
    """Return status, file and what the dump says of each medium of the post."""
    found = Dataset.open(str(folder / "own")).read("sources", columns=["source_id", "address"])
    file = {
        one["source_id"]: one["address"].partition("/in/")[2].removesuffix(".jpg")
        for one in found.to_pylist()
    }
    return [
        (row["status"], file.get(row["source_id"]), row["local_path"] or row["source_url"])
        for row in rows(folder / "own", "post_media")
        if row["post_id"] == POST
    ]


def photos(folder: Path) -> set[str]:
    found = Dataset.open(str(folder / "own")).read("sources", columns=["address"])
    names = {one.partition("/in/")[2] for one in found["address"].to_pylist()}
    return {name for name in names if name.endswith(".jpg")}


def test_no_medium_of_another_copy_is_taken_for_it(
    folder: Path, forgotten: Callable[..., None]
) -> None:
    week(folder, 1, "x.jpg", "y.jpg")
    week(folder, 2, "y.jpg")
    forgotten("in/y.jpg")
    week(folder, 3, post=NEXT)
    assert [one[:2] for one in media(folder)] == [GONE[:2], ("other-copy", "x")]
    assert verify(Dataset.open(str(folder / "own"))).problems == []
    forgotten("--post-id", POST)
    assert photos(folder) == set()


def test_a_signed_address_of_another_week_and_place_is_known_again(
    folder: Path, forgotten: Callable[..., None]
) -> None:
    week(folder, 1, url("x", 1), url("y", 1))
    forgotten("in/y.jpg")
    week(folder, 2, url("y", 2), url("x", 2))
    assert media(folder) == [GONE, ("matched", "x", url("x", 2))]
    forgotten("--post-id", POST)
    assert photos(folder) == set()


def test_addresses_that_differ_behind_the_path_alone_are_told_apart(
    folder: Path, forgotten: Callable[..., None]
) -> None:
    one, other = (f"https://cdn.example/x.jpg?id={at}" for at in "12")
    week(folder, 1, one)
    assert media(folder) == [("matched", "x", one)]
    forgotten("in/x.jpg")
    week(folder, 2, other, one)
    assert media(folder) == [("linked", None, other), GONE]


def test_a_file_of_a_copy_stays_where_another_file_of_the_medium_is_forgotten(
    folder: Path, forgotten: Callable[..., None]
) -> None:
    week(folder, 1, url("x", 1))
    forgotten("in/x.jpg")
    # The next export comes with files, and says where they were.
    photo(folder / "in/files/x.jpg", tail=b"again")
    text = f'id,platform,author,text,image,photo\n{POST},x,ada,said,"{url("x", 1)}",files/x.jpg\n'
    (folder / "in/week2.csv").write_text(text)
    bring(folder / "in", folder / "own", 'media_column = "photo"')
    assert ("matched", "files/x", "files/x.jpg") in media(folder)
    forgotten("--post-id", POST)
    assert "files/x.jpg" not in photos(folder)


def test_a_medium_is_of_the_other_file_with_the_same_bytes(
    folder: Path, forgotten: Callable[..., None]
) -> None:
    photo(folder / "in/again/x.jpg", tail=b"x")
    week(folder, 1, url("x", 1))
    assert media(folder) == [("matched", "again/x", url("x", 1))]
    forgotten("in/again/x.jpg")
    week(folder, 2, url("x", 2))
    assert media(folder) == [("matched", "x", url("x", 2))]
    forgotten("--post-id", POST)
    assert photos(folder) == {"y.jpg"}


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have `forget` mark a place, as it did before media were known by what they are told by."""

    def call(place: int) -> None:
        marks = frozenset({f"medium x {POST} {place}"})
        monkeypatch.setattr(forget, "medium_marks", Marks(marks))

    return call


class Marks:
    """Stands for `medium_marks` of a former version."""

    def __init__(self, marks: frozenset[str]) -> None:
        self._marks = marks

    def media_marks(self, *_: object) -> frozenset[str]:
        return self._marks


def test_a_mark_of_before_holds_in_the_copy_that_it_was_made_of_alone(
    folder: Path, forgotten: Callable[..., None], before: Callable[[int], None]
) -> None:
    week(folder, 1, url("x", 1), url("y", 1))
    week(folder, 2, url("y", 2))
    before(0)
    forgotten("in/y.jpg")
    week(folder, 3, post=NEXT)
    assert [one[:2] for one in media(folder)] == [GONE[:2], ("other-copy", "x")]
    forgotten("--post-id", POST)
    assert photos(folder) == set()


@pytest.mark.parametrize("turned", [False, True])
def test_a_mark_of_before_holds_in_a_file_that_was_written_anew_but_for_what_has_a_source(
    folder: Path, forgotten: Callable[..., None], before: Callable[[int], None], *, turned: bool
) -> None:
    week(folder, 1, url("x", 1), url("y", 1))
    before(1)
    forgotten("in/y.jpg")
    (folder / "in/week1.csv").unlink()
    order = ("y", "x") if turned else ("x", "y")
    week(folder, 2, *(url(name, 2) for name in order))
    found = {said: (status, file) for status, file, said in media(folder)}
    assert found[url("x", 2)] == ("matched", "x")
    assert (None in found) is not turned
    forgotten("--post-id", POST)
    assert photos(folder) == set()


def test_it_is_known_again_by_pseudonyms_too(
    folder: Path, forgotten: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "key").write_text("0123456789abcdef" * 4)
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(folder / "key"))
    one, own = Tweet(POST, media=["x.jpg", "y.jpg"]), folder / "own"
    write_dump(folder / "in/tweets.jsonl", [one])
    bring(folder / "in", own, "pseudonyms = true")
    assert rows(own, "post_media", "status") == [("matched",)] * 2
    forgotten("in/y.jpg")
    # As the first of the two, at another address.
    page = (folder / "in/tweets.jsonl").read_text()
    key, other = f"3_{POST}0", f"3_{POST}1"
    turned = page.replace(f'"{key}", "{other}"', f'"{other}", "{key}"')
    (folder / "in/tweets.jsonl").write_text(turned.replace("y.jpg", "z.jpg"))
    assert turned != page
    bring(folder / "in", own, "pseudonyms = true")
    assert rows(own, "post_media", "status") == [("forgotten",), ("matched",)]


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("https://a.example/p/Ab3dE9fGh.jpg?s=1", "https://a.example/p/Ab3dE9fGh.jpg?s=2", 2),
        ("https://a.example/p/Ab3dE9fGh.jpg:orig", "https://b.example/p/Ab3dE9fGh?format=jpg", 1),
        ("https://A.example/p/1.jpg#x", "https://a.example/p/1.mp4", 1),
        ("https://a.example/p/1.jpg", "https://a.example/q/1.jpg", 0),
        ("https://a.example/", "https://a.example/", 0),
        ("http://[", "http://[", 0),
    ],
)
def test_addresses_are_alike_as_far_as_their_paths_are(one: str, other: str, shared: int) -> None:
    words = [
        words_of(place=0, kind="image", key=None, url=url, paths=(), sha256=None)
        for url in (one, other)
    ]
    assert len(words[0].likely & words[1].likely) == shared
    assert (words[0].sure == words[1].sure) is (one == other)


def test_words_of_what_stays_are_not_marked(folder: Path) -> None:
    week(folder, 1, "x.jpg", "y.jpg")
    dataset = Dataset.open(str(folder / "own"))
    ids = {row["source_id"] for row in rows(folder / "own", "post_media")}
    both = medium_marks.media_marks(dataset, ids)
    each = [medium_marks.media_marks(dataset, {own}) for own in ids]
    assert both == each[0] | each[1]
    assert each[0] & each[1] == {f"media x {POST}"}
    assert medium_marks.media_marks(dataset, {"0" * 32}) == frozenset()
