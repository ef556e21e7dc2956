"""Each week's zip of 4CAT has the pictures of all posts that the export still has."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.forgotten import verify_forgotten
from tests.corpus import PHOTOS
from tests.posts.made import photo, rows
from tests.posts.test_linked_files import CODE, OTHER, PICTURE, export, has_picture, pack, read, url

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

FIRST, SECOND = "images-0a1b2c.zip", "images-3d4e5f.zip"


def media(folder: Path) -> list[tuple[str, str]]:
    """Return status and path of the media."""
    return rows(folder / "own", "post_media", "status", "local_path")


def test_a_picture_that_two_zips_have_is_one_medium(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    export(tmp_path / "in", CODE)
    pack(tmp_path / "in", CODE, name=FIRST)
    read(tmp_path)
    assert media(tmp_path) == [("matched", f"//{FIRST}!/{PICTURE}")]
    pack(tmp_path / "in", CODE, name=SECOND)
    counts = read(tmp_path)
    both = [("matched", f"//{SECOND}!/{PICTURE}"), ("other-copy", f"//{FIRST}!/{PICTURE}")]
    assert (media(tmp_path), counts["changed"]) == (both, 1)
    assert rows(tmp_path / "own", "posts", "n_media") == [(1,)]
    assert "unmatched-source" not in counts["gaps"]
    # Read once more it is as it was.
    photo(tmp_path / "in/else.jpg", "china.jpg")
    counts = read(tmp_path)
    assert (media(tmp_path), counts["changed"]) == (both, 0)
    words = ("--post-id", CODE, "--platform", "instagram", "--yes")
    assert imgbatch("forget", tmp_path / "own", *words).returncode == 0
    assert not has_picture(tmp_path, ".zip")
    proof = verify_forgotten(Dataset.open(str(tmp_path / "own")), of_posts=[("instagram", CODE)])
    assert proof.problems == []


@pytest.mark.parametrize("failed", [FIRST, SECOND])
def test_what_one_zip_could_not_get_is_no_medium_where_another_did(
    tmp_path: Path, failed: str
) -> None:
    export(tmp_path / "in", CODE)
    for name in (FIRST, SECOND):
        pack(tmp_path / "in", CODE, name=name)
    with zipfile.ZipFile(tmp_path / "in" / failed, "w") as packed:
        told = {"filename": "", "success": False, "post_ids": [CODE]}
        packed.writestr(".metadata.json", json.dumps({url(CODE): told}))
    read(tmp_path)
    had = SECOND if failed == FIRST else FIRST
    assert media(tmp_path) == [("matched", f"//{had}!/{PICTURE}")]


def test_addresses_that_are_signed_anew_are_those_of_the_zips(tmp_path: Path) -> None:
    export(tmp_path / "in", CODE)
    for name, sign in ((FIRST, "2"), (SECOND, "3")):
        told = {"filename": PICTURE, "success": True, "post_ids": [CODE]}
        with zipfile.ZipFile(tmp_path / "in" / name, "w") as packed:
            packed.writestr(PICTURE, PHOTOS["rocket.jpg"].read_bytes())
            where = url(CODE).replace("stp=1", f"stp={sign}")
            packed.writestr(".metadata.json", json.dumps({where: told}))
    read(tmp_path)
    both = [("matched", f"//{SECOND}!/{PICTURE}"), ("other-copy", f"//{FIRST}!/{PICTURE}")]
    assert media(tmp_path) == both
    assert rows(tmp_path / "own", "post_media", "source_url")[0] == (url(CODE),)


def test_so_it_is_where_no_export_says_more(tmp_path: Path) -> None:
    for name in (FIRST, SECOND):
        pack(tmp_path / "in", CODE, name=name)
    read(tmp_path)
    assert [status for status, _ in media(tmp_path)] == ["matched", "other-copy"]
    (tmp_path / "in" / FIRST).unlink()
    read(tmp_path)
    assert media(tmp_path) == [("matched", f"//{SECOND}!/{PICTURE}")]


@pytest.mark.parametrize("address", ["same", "other"])
def test_other_pictures_of_a_post_are_other_media(tmp_path: Path, address: str) -> None:
    export(tmp_path / "in", CODE)
    pack(tmp_path / "in", CODE, name=FIRST)
    told = {"filename": "1.jpg", "success": True, "post_ids": [CODE]}
    with zipfile.ZipFile(tmp_path / "in" / SECOND, "w") as packed:
        packed.writestr("1.jpg", PHOTOS["china.jpg"].read_bytes())
        where = url(CODE if address == "same" else OTHER)
        packed.writestr(".metadata.json", json.dumps({where: told}))
    read(tmp_path)
    assert [status for status, _ in media(tmp_path)] == ["matched", "matched"]
    assert rows(tmp_path / "own", "posts", "n_media") == [(2,)]
