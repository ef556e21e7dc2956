"""Which names of files say something of a post, and which anybody's file may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch.sources.dumps import gallery_dl, reddit, x_archive
from imgbatch.sources.dumps._gallery_dl_post import shortcode
from tests.corpus import run_inline
from tests.posts.joins import image, joined, post
from tests.posts.made import RECIPE, bring, photo, rows

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.sources.dumps import Post

FIRST, SECOND, THIRD = (f"730000000000000000{at}" for at in (1, 2, 3))
FILES = (
    f"in/ids/{FIRST}_1.webp",
    f"in/ids/{FIRST}_2.jpg",
    f"in/ids/{SECOND}-aaa.jpg",
    f"in/ids/{SECOND}-bbb.jpg",
    f"in/ids/{THIRD}.jpg",
    f"in/ids/{THIRD}_1.jpg",
    "in/beach.jpg",
    "in/17.jpg",
    "in/my_sunset.jpg",
    "in/IMG_20190101_x.jpg",
    "in/IMG_12345678_x.jpg",
    "in/reddit/18abcd 02 Three nights.jpg",
    "in/reddit/18abcd 01 Three nights.png",
    "in/x/data/tweets_media/20-AbCd.jpg",
    "in/21-AbCd.jpg",
    "in/instagram/ada/3265000000000000000.jpg",
    "in/photo.jpg",
    "in/named.jpg",
    "other/7300000000000000009.jpg",
    "other/99.jpg",
    "other/IMG_87654321_x.jpg",
    "other/image.jpg",
    "other/AbcDefGh1.jpg",
    "other/holiday.jpg",
)
NONE = ("missing", "", None)
LINKED = ("linked", "", None)
VAGUE = ("ambiguous", "", None)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two inputs; the posts are of the first."""
    folder = tmp_path_factory.mktemp("names")
    for number, name in enumerate(FILES):
        photo(folder / name, tail=str(number).encode())
    for input_ in ("in", "other"):
        run_inline(folder / input_, folder / "own", recipe=RECIPE, add_input=input_ != "in")
    return folder


def test_files_go_by_the_number_behind_the_id_whatever_their_extension(corpus: Path) -> None:
    assert joined(corpus, [post(image(0), image(1), post_id=FIRST)]) == [
        ("matched", "id", f"ids/{FIRST}_1.webp"),
        ("matched", "id", f"ids/{FIRST}_2.jpg"),
    ]


@pytest.mark.parametrize("post_id", [SECOND, THIRD])
def test_files_that_nothing_orders_are_ambiguous(corpus: Path, post_id: str) -> None:
    assert joined(corpus, [post(image(0), image(1), post_id=post_id)]) == [VAGUE] * 2


@pytest.mark.parametrize(
    ("post_id", "expected"),
    [
        ("beach", ("matched", "id", "beach.jpg")),
        ("17", ("matched", "id", "17.jpg")),
        ("12345678", ("matched", "id", "IMG_12345678_x.jpg")),
        ("sunset", NONE),
        ("20190101", NONE),
        ("99", NONE),
        ("87654321", NONE),
    ],
)
def test_an_id_that_tells_little_is_found_in_its_own_input_alone(
    corpus: Path, post_id: str, expected: tuple[str, str, str | None]
) -> None:
    assert joined(corpus, [post(image(), post_id=post_id)]) == [expected]


def test_an_id_that_nobody_else_has_is_found_in_every_input(corpus: Path) -> None:
    ((status, level, file),) = joined(corpus, [post(image(), post_id="7300000000000000009")])
    assert (status, level) == ("matched", "id")
    assert file is not None
    assert file.endswith("/other/7300000000000000009.jpg")


def test_a_file_that_posts_of_two_platforms_claim_is_ambiguous(corpus: Path) -> None:
    both = [post(image(), post_id="17", platform=name) for name in ("tiktok", "x")]
    assert joined(corpus, both) == [VAGUE] * 2
    # Who has no medium claims none.
    assert joined(corpus, [both[0], post(post_id="17")]) == [("matched", "id", "17.jpg")]


def test_a_formats_own_names_are_read_for_its_own_posts(corpus: Path) -> None:
    namers = {"reddit": reddit.posts_of}
    posts = [
        post(image(0), image(1), post_id="t3_18abcd"),
        post(image(), post_id="t3_sunset"),
    ]
    found = [
        ("matched", "id", "reddit/18abcd 01 Three nights.png"),
        ("matched", "id", "reddit/18abcd 02 Three nights.jpg"),
        ("matched", "id", "my_sunset.jpg"),
    ]
    assert joined(corpus, posts, form="reddit", namers=namers) == found
    assert joined(corpus, posts, form="made", namers=namers) == [NONE] * 3


def test_a_formats_names_are_known_by_their_folders(corpus: Path) -> None:
    archive = {"x-archive": x_archive.posts_of}
    found = joined(
        corpus,
        [post(image(), post_id="20"), post(image(), post_id="21")],
        form="x-archive",
        namers=archive,
    )
    assert found == [("matched", "id", "x/data/tweets_media/20-AbCd.jpg"), NONE]
    (told,) = joined(
        corpus,
        [post(image(), post_id=shortcode(3265000000000000000) or "")],
        namers={"gallery-dl": gallery_dl.posts_of},
    )
    assert told == ("matched", "id", "instagram/ada/3265000000000000000.jpg")


PHOTO = "https://ex.example/u/12/photo.jpg"


def test_a_common_name_is_joined_in_its_own_input_where_there_is_one(corpus: Path) -> None:
    assert joined(corpus, [post(image(url=PHOTO))]) == [("matched", "basename", "photo.jpg")]
    again = [post(image(url=PHOTO), post_id=name) for name in ("A", "B")]
    assert joined(corpus, again) == [("matched", "basename", "photo.jpg")] * 2


@pytest.mark.parametrize(
    "other",
    ["https://ex.example/u/13/photo.jpg", "https://two.example/u/12/photo.jpg", f"{PHOTO}?id=2"],
)
def test_of_two_addresses_with_a_common_name_none_is_guessed(corpus: Path, other: str) -> None:
    posts = [post(image(url=url), post_id=name) for name, url in (("A", PHOTO), ("B", other))]
    assert joined(corpus, posts) == [VAGUE] * 2


def test_a_common_name_does_not_take_a_file_that_is_another_medium(corpus: Path) -> None:
    posts = [
        post(image(path="named.jpg", url="https://x/AAbbCCdd11.jpg"), post_id="A"),
        post(image(url="https://ex.example/u/named.jpg"), post_id="B"),
    ]
    assert joined(corpus, posts) == [("matched", "metadata", "named.jpg"), LINKED]


@pytest.mark.parametrize("name", ["image.jpg", "holiday.jpg", "holiday.webp"])
def test_a_common_name_says_nothing_of_files_of_another_input(corpus: Path, name: str) -> None:
    assert joined(corpus, [post(image(url=f"https://ex.example/u/{name}"))]) == [LINKED]


@pytest.mark.parametrize("name", ["AbcDefGh1.jpg", "AbcDefGh1.webp"])
def test_a_name_that_nobody_else_has_finds_its_file_in_every_input(corpus: Path, name: str) -> None:
    ((status, level, file),) = joined(corpus, [post(image(url=f"https://ex.example/u/{name}"))])
    assert (status, level) == ("matched", "basename")
    assert file is not None
    assert file.endswith("/other/AbcDefGh1.jpg")


def test_pseudonyms_join_what_plain_ids_join(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "in" / "posts.csv"
    for number, name in enumerate(FILES[:8]):
        photo(tmp_path / name, tail=str(number).encode())
    links = "https://ex.example/u/aa/1 https://ex.example/u/bb/2"
    table.write_text(
        "id,platform,images\n"
        f"{FIRST},tiktok,{links}\n"
        f"{SECOND},tiktok,{links.replace('/u/', '/v/')}\n"
        "beach,x,https://ex.example/w/1\n"
        "17,x,https://ex.example/w/2\n"
        "17,tiktok,https://ex.example/w/3\n",
        "utf-8",
    )
    key = tmp_path / "key"
    key.write_text("0123456789abcdef" * 4)
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(key))
    said = 'media_column = "images"\nid_column = "id"\n'
    found = {}
    for name, more in (("plain", ""), ("hidden", "pseudonyms = true\n")):
        bring(tmp_path / "in", tmp_path / name, said + more)
        columns = ("source_url", "status", "joined_by", "source_id")
        found[name] = sorted(rows(tmp_path / name, "post_media", *columns), key=str)
    assert found["hidden"] == found["plain"]
    told = [(url[-6:], status, level) for url, status, level, _ in found["plain"]]
    assert told == [
        ("u/aa/1", "matched", "id"),
        ("u/bb/2", "matched", "id"),
        ("v/aa/1", "ambiguous", ""),
        ("v/bb/2", "ambiguous", ""),
        ("le/w/1", "matched", "id"),
        ("le/w/2", "ambiguous", ""),
        ("le/w/3", "ambiguous", ""),
    ]
    for table_ in ("posts", "post_media"):
        assert all(len(own) == 32 for (own,) in rows(tmp_path / "hidden", table_, "post_id"))


def signed(week: int, *names: str, post_id: str = "P") -> Post:
    """Return a post of a weekly export, whose addresses are signed anew each time."""
    urls = (f"https://cdn.example/{name}?sig={week}" for name in names)
    media = (image(at, url=url) for at, url in enumerate(urls))
    return post(*media, post_id=post_id, ref=f"week{week}.csv:1")


def test_copies_of_a_post_with_signed_addresses_leave_a_name_to_it(corpus: Path) -> None:
    own = ("matched", "basename", "beach.jpg")
    assert joined(corpus, [signed(1, "a/beach.jpg"), signed(2, "a/beach.jpg")]) == [own]
    # Of the copies one may have several, or have them elsewhere.
    assert joined(corpus, [signed(1, "b/beach.jpg"), signed(2, "a/beach.jpg")]) == [own]
    two = ("a/beach.jpg", "b/beach.jpg")
    assert joined(corpus, [signed(1, *two), signed(2, *two)]) == [VAGUE] * 2
    assert joined(corpus, [signed(1, *two), signed(2, "a/beach.jpg")]) == [VAGUE]


def test_posts_of_two_exports_leave_a_name_to_none_of_them(corpus: Path) -> None:
    posts = [signed(week, "a/beach.jpg") for week in (1, 2)]
    other = signed(1, "b/beach.jpg", post_id="Q")
    assert joined(corpus, [*posts, other]) == [VAGUE] * 2
