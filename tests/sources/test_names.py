from __future__ import annotations

import pytest

from imgbatch.sources import archive_form, claims_media, claims_video, is_sidecar


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.zip", "zip"),
        ("A.ZIP", "zip"),
        ("00000.tar", "tar"),
        ("a.tar.gz", "tar"),
        ("a.tgz", "tar"),
        ("a.tar.zst", "tar"),
        ("a.tzst", "tar"),
        ("a.tar.bz2", "tar"),
        ("a.TAR.XZ", "tar"),
        ("a.gz", None),
        ("tar", None),
        ("a.tar.png", None),
        ("a.zip/b.jpg", None),
        ("avatar", None),
    ],
)
def test_an_archive_is_told_by_its_extension(name: str, form: str | None) -> None:
    assert archive_form(name) == form


@pytest.mark.parametrize(
    "name", ["a.json", "A.JSON", "d.e/a.jpg.txt", "post.json.xz", "LICENSE", "x.tar!/a.json#2"]
)
def test_a_sidecar_is_told_by_its_extension(name: str) -> None:
    assert is_sidecar(name)
    assert not claims_media(name)


@pytest.mark.parametrize(
    "name", ["a.jpg", "A.HEIC", "json/a.webp", "x.zip!/a.jpg#12", "a.json.png"]
)
def test_an_image_name_claims_media(name: str) -> None:
    assert claims_media(name)
    assert not claims_video(name)
    assert not is_sidecar(name)


def test_a_video_name_claims_media_and_video() -> None:
    assert claims_media("a.MP4")
    assert claims_video("a.MP4")


@pytest.mark.parametrize("name", ["", "jpg", "a", "a.xz", "x.json/a", ".jpg/x", "a.bin", "xz"])
def test_other_names_claim_nothing(name: str) -> None:
    assert not is_sidecar(name)
    assert claims_media(name) is (name == "jpg")
