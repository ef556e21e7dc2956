"""What is kept of people in posts, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from PIL import Image
from PIL.ExifTags import GPS, IFD

from imgbatch.dataset import Dataset
from imgbatch.dataset.needles import texts
from imgbatch.dataset.post_marks import author_mark
from imgbatch.dataset.tombstones import Tombstones
from imgbatch.errors import SettingsError
from imgbatch.posts.left_out import is_post_forgotten
from imgbatch.posts.privacy import private, pseudonym, read_key
from imgbatch.report import write_report
from imgbatch.settings import PostSettings
from imgbatch.sources.dumps import Media, Post
from tests.posts.made import Tweet, bring, rows, write_dump

if TYPE_CHECKING:
    from pathlib import Path

KEY = b"k" * 32
POST = Post(
    "1500000000000000001",
    "x",
    "tweets.jsonl:1",
    author_id="7",
    author_name="ada",
    created_at=datetime(2024, 3, 4, tzinfo=UTC),
    text="hello @bob",
    url="https://x.com/ada/status/1500000000000000001",
    reply_to="1400000000000000001",
    metrics={"likes": 3},
    media=(Media(0, "image", url="https://cdn/a.jpg", key="3_15", alt_text="a cat"),),
)


def test_without_settings_a_post_stays_as_it_is() -> None:
    assert private(POST, PostSettings(), None) == POST


def test_texts_are_left_out_with_what_describes_media() -> None:
    kept = private(POST, PostSettings(text=False), None)
    assert (kept.text, kept.media[0].alt_text) == (None, None)
    assert (kept.author_name, kept.media[0].url) == ("ada", "https://cdn/a.jpg")


def test_names_are_left_out_with_the_address_that_has_them_too() -> None:
    kept = private(POST, PostSettings(names=False), None)
    assert (kept.author_name, kept.url, kept.author_id, kept.text) == (None, None, "7", POST.text)


def test_a_name_that_stands_for_an_id_is_left_out_too() -> None:
    """Rows of 4CAT may have no other; a takedown of that author means the post all the same."""
    post = replace(POST, author_id="ada")
    kept = private(post, PostSettings(names=False), None)
    assert (kept.author_name, kept.author_id) == (None, None)
    stone = Tombstones(KEY).hash(author_mark("x", "ada"))
    assert is_post_forgotten(Tombstones(KEY, frozenset({stone})), kept)
    assert not is_post_forgotten(
        Tombstones(KEY, frozenset({stone})), private(POST, PostSettings(names=False), None)
    )
    assert private(post, PostSettings(), None) == post
    hidden = private(post, PostSettings(names=False, pseudonyms=True), KEY)
    assert hidden.author_id == pseudonym(KEY, "author", "x", "ada")


def test_pseudonyms_hide_every_id_and_join_what_belonged_together() -> None:
    kept = private(POST, PostSettings(pseudonyms=True, text=False), KEY)
    for known in (POST.post_id, POST.reply_to, POST.author_name, "3_15", "'7'"):
        assert known not in repr(kept)
    answered = private(
        Post(POST.reply_to or "", "x", "", author_id="7"), PostSettings(pseudonyms=True), KEY
    )
    assert kept.reply_to == answered.post_id
    assert kept.author_id == answered.author_id
    assert (kept.created_at, kept.metrics) == (POST.created_at, POST.metrics)


def test_a_pseudonym_is_of_its_key_kind_and_platform() -> None:
    found = {
        pseudonym(KEY, "post", "x", "7"),
        pseudonym(KEY, "author", "x", "7"),
        pseudonym(KEY, "post", "tiktok", "7"),
        pseudonym(b"j" * 32, "post", "x", "7"),
    }
    assert len(found) == 4
    assert all(len(one) == 32 for one in found)


def test_a_key_is_of_its_file_and_a_bad_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="no file of a key is named"):
        read_key()
    file = tmp_path / "key"
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(file))
    with pytest.raises(SettingsError, match="No such file"):
        read_key()
    file.write_text("short\n")
    with pytest.raises(SettingsError, match="holds 5 bytes"):
        read_key()
    file.write_text("0123456789abcdef\n")
    found = read_key()
    file.write_text("0123456789abcdef")
    assert read_key() == found


def test_neither_key_nor_ids_nor_positions_lie_anywhere_in_a_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text("a secret that is long enough")
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(file))
    (tmp_path / "in").mkdir()
    photo = Image.new("RGB", (300, 300), "red")
    exif = photo.getexif()
    exif.get_ifd(IFD.GPSInfo).update(
        {GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: (47.0, 11.0, 17.25), GPS.GPSMapDatum: "WGS-4711"}
    )
    photo.save(tmp_path / "in/FfAAbbCCdd.jpg", exif=exif)
    assert b"WGS-4711" in (tmp_path / "in/FfAAbbCCdd.jpg").read_bytes()
    tweet = Tweet("1500000000000000001", "said so", ["FfAAbbCCdd.jpg"], author="7654321")
    write_dump(tmp_path / "in/tweets.jsonl", [tweet])
    bring(tmp_path / "in", tmp_path / "own", "pseudonyms = true\ntext = false")
    dataset = Dataset.open(str(tmp_path / "own"))
    write_report(dataset, thumbnails=True)
    ((own, name, text, url),) = rows(
        tmp_path / "own", "posts", "post_id", "author_name", "text", "url"
    )
    assert (name, text, url) == (None, None, None)
    assert own == pseudonym(read_key(), "post", "x", "1500000000000000001")
    assert rows(tmp_path / "own", "post_media", "status") == [("matched",)]
    ((image,),) = [tuple(dataset.read("image").to_pylist())]
    assert "47." not in str(image)
    for path in (tmp_path / "own").rglob("*"):
        said = list(texts(path.name, path.read_bytes())) if path.is_file() else []
        for secret in ("long enough", "1500000000000000001", "7654321", "said so", "WGS-4711"):
            assert not any(secret in text for text in said), path
    codebook = (tmp_path / "own/report/codebook.md").read_text()
    assert "keyed hash here (pseudonyms = true)" in codebook
    assert "left out here (text = false)" in codebook
    assert "plain here" not in codebook
