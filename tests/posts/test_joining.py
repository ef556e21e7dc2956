"""Which medium is which source: every level, in its order, and nothing where two would do."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import TYPE_CHECKING

import pytest

from imgbatch.posts.keys import of_url
from imgbatch.sources.dumps import Media
from tests.corpus import run_inline
from tests.posts.joins import image, joined, post
from tests.posts.made import RECIPE, photo

if TYPE_CHECKING:
    from pathlib import Path

# Every file is another picture's bytes: the tail tells them apart.
FILES = (
    "media/AbcDefGh1.jpg",
    "media/one.jpg",
    "elsewhere/one.jpg",
    "p/2024-01-02_UTC.jpg",
    "p/2024-01-03_UTC_1.jpg",
    "p/2024-01-03_UTC_2.jpg",
    "p/named.jpg",
    "ids/1700000000000000001_2.jpg",
    "ids/1700000000000000001_10.jpg",
    "ids/1700000000000000002-x.jpg",
    "copies/Twice9999.jpg",
    "other/Twice9999.jpg",
    "v/720_video_name.jpg",
    unicodedata.normalize("NFD", "media/\u00e9l\u00e9phant.jpg"),
    "media/100%.jpg",
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joining")
    for number, name in enumerate(FILES):
        tail = b"same" if "Twice" in name else str(number).encode()
        photo(folder / "in" / name, tail=tail)
    run_inline(folder / "in", folder / "own", recipe=RECIPE)
    return folder


LINK = "https://cdn.example/AbcDefGh1.jpg?size=large"


CASES = [
    (image(path="media/one.jpg"), ("matched", "metadata", "media/one.jpg")),
    (image(path="/media/one.jpg"), ("matched", "metadata", "media/one.jpg")),
    (image(path="media\\one.jpg"), ("matched", "metadata", "media/one.jpg")),
    (image(path="media/100%.jpg"), ("matched", "metadata", "media/100%25.jpg")),
    (image(path="media/one.jpg", url=LINK), ("matched", "metadata", "media/one.jpg")),
    (image(path="../../etc/passwd"), ("missing", "", None)),
    (image(path="media/gone.jpg"), ("missing", "", None)),
    (image(url=LINK), ("matched", "basename", "media/AbcDefGh1.jpg")),
    (image(url="https://x/AbcDefGh1?format=jpg"), ("matched", "basename", "media/AbcDefGh1.jpg")),
    (image(url="https://x/AbcDefGh1.jpg:orig"), ("matched", "basename", "media/AbcDefGh1.jpg")),
    (image(url="https://x/AbcDefGh1.webp"), ("matched", "basename", "media/AbcDefGh1.jpg")),
    (Media(0, "video", url="https://x/AbcDefGh1.mp4"), ("linked", "", None)),
    (image(url="https://x/Twice9999.jpg"), ("matched", "basename", "copies/Twice9999.jpg")),
    (image(url="http://[broken"), ("linked", "", None)),
    (image(status="not-included"), ("not-included", "", None)),
    (image(), ("missing", "", None)),
]


def test_a_medium_is_found_by_what_the_dump_says_of_it(corpus: Path) -> None:
    posts = [post(medium, post_id=f"P{at:02}") for at, (medium, _) in enumerate(CASES)]
    found = joined(corpus, posts)
    for (medium, expected), told in zip(CASES, found, strict=True):
        assert told == expected, medium


def test_a_name_in_another_unicode_form_is_the_same_name(corpus: Path) -> None:
    path = unicodedata.normalize("NFC", "media/\u00e9l\u00e9phant.jpg")
    ((status, level, file),) = joined(corpus, [post(image(path=path))])
    assert (status, level) == ("matched", "metadata")
    assert file is not None
    assert unicodedata.normalize("NFC", file) == path


def test_media_lie_beside_a_metadata_file_of_one_post(corpus: Path) -> None:
    found = joined(
        corpus,
        [
            post(image(), post_id="A", ref="p/2024-01-02_UTC.json.xz:1"),
            post(image(0), image(1), post_id="B", ref="p/2024-01-03_UTC.json:1"),
            post(image(), post_id="C", ref="p/named.jpg.json:1"),
        ],
    )
    assert found == [
        ("matched", "stem", "p/2024-01-02_UTC.jpg"),
        ("matched", "stem", "p/2024-01-03_UTC_1.jpg"),
        ("matched", "stem", "p/2024-01-03_UTC_2.jpg"),
        ("matched", "stem", "p/named.jpg"),
    ]


def test_a_metadata_file_of_many_posts_names_none_of_their_media(corpus: Path) -> None:
    refs = ("p/named.json:1", "p/named.json:2")
    posts = [post(image(), post_id=ref, ref=ref) for ref in refs]
    assert joined(corpus, posts) == [("missing", "", None)] * 2


def test_files_that_hold_the_posts_id_go_to_its_media_in_order(corpus: Path) -> None:
    found = joined(
        corpus,
        [
            post(image(0), image(1), post_id="1700000000000000001"),
            post(image(0), post_id="1700000000000000002"),
        ],
    )
    assert found == [
        ("matched", "id", "ids/1700000000000000001_2.jpg"),
        ("matched", "id", "ids/1700000000000000001_10.jpg"),
        ("matched", "id", "ids/1700000000000000002-x.jpg"),
    ]


def test_of_three_media_and_two_files_with_the_posts_id_none_is_guessed(corpus: Path) -> None:
    media = [image(at) for at in range(3)]
    assert joined(corpus, [post(*media, post_id="1700000000000000001")]) == [
        ("ambiguous", "", None),
        ("ambiguous", "", None),
        ("missing", "", None),
    ]


def test_of_two_files_of_one_name_and_other_content_none_is_guessed(corpus: Path) -> None:
    assert joined(corpus, [post(image(url="https://x/one.jpg"))]) == [("ambiguous", "", None)]


def test_a_digest_finds_what_no_name_does(corpus: Path) -> None:
    data = (corpus / "in/media/one.jpg").read_bytes()
    digest = hashlib.sha256(data).hexdigest().upper()
    assert joined(corpus, [post(image(sha256=digest))]) == [("matched", "hash", "media/one.jpg")]


def test_an_address_whose_end_many_others_share_names_no_file(corpus: Path) -> None:
    posts = [
        post(image(url=f"https://v.example/{name}/720_video_name.jpg"), post_id=name)
        for name in ("aaa", "bbb")
    ]
    assert joined(corpus, posts) == [("ambiguous", "", None)] * 2
    assert joined(corpus, posts[:1])[0][1] == "basename"


def test_one_file_of_many_posts_and_the_same_address_at_two_hosts(corpus: Path) -> None:
    posts = [
        post(image(url=f"https://cdn-{name}.example/t51/AbcDefGh1.jpg?sig={name}"), post_id=name)
        for name in ("aaa", "bbb", "ccc")
    ]
    assert joined(corpus, posts) == [("matched", "basename", "media/AbcDefGh1.jpg")] * 3


def test_places_that_a_dump_gives_twice_are_counted_anew(corpus: Path) -> None:
    twice = post(image(0, path="media/one.jpg"), image(0, path="elsewhere/one.jpg"))
    assert [file for _, _, file in joined(corpus, [twice])] == [
        "media/one.jpg",
        "elsewhere/one.jpg",
    ]


def test_an_address_is_taken_apart() -> None:
    assert of_url("https://x/a/b%20c.jpg?d=e#f") == ("b c.jpg", "b c", "/a/b c")
    assert of_url("https://x/") == (None, None, None)
    assert of_url(None) == (None, None, None)
