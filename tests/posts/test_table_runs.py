"""A run over a table: its files are the sources, its rows the posts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from imgbatch.dataset import Dataset
from imgbatch.errors import DumpError, SettingsError
from imgbatch.platforms import FORMS
from imgbatch.sources import dumps
from tests.contracts.dumps import fixture
from tests.corpus import run_inline

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = '[posts]\nmedia_column = "Image Path"\nid_column = "id"\n[analyzers.image]\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fixture("table", tmp_path_factory.mktemp("tables") / "in")


@pytest.fixture(scope="module")
def own(folder: Path) -> Path:
    run_inline(folder / "posts.csv", folder.parent / "own", recipe=RECIPE)
    return folder.parent / "own"


def rows(own: Path, name: str, *columns: str) -> list[tuple[object, ...]]:
    table = Dataset.open(str(own)).table(name).dataset().to_table().select(list(columns))
    return sorted(tuple(row.values()) for row in table.to_pylist())


def test_the_table_and_the_files_that_it_names_are_sources(own: Path, folder: Path) -> None:
    before = f"file://{folder}/"
    found = rows(own, "tables/sources", "address", "status")
    assert [(str(address).removeprefix(before), status) for address, status in found] == [
        ("pictures/one.png", "ok"),
        ("pictures/six.png", "ok"),
        ("pictures/three, four.png", "ok"),
        ("pictures/two.png", "ok"),
        ("posts.csv", "filtered"),
    ]


def test_rows_of_one_id_are_one_post_whose_media_add_up(own: Path) -> None:
    assert rows(own, "posts", "post_id", "n_media") == [
        ("1001", 2),
        ("1002", 2),
        ("1003", 1),
        ("1004", 1),
        ("1005", 1),
        ("9223372036854775807", 1),
    ]
    columns = ("post_id", "media_idx", "local_path", "status", "joined_by")
    assert rows(own, "post_media", *columns)[:5] == [
        ("1001", 0, "pictures/one.png", "matched", "metadata"),
        ("1001", 1, "pictures/six.png", "matched", "metadata"),
        ("1002", 0, "pictures/two.png", "matched", "metadata"),
        ("1002", 1, "pictures/three, four.png", "matched", "metadata"),
        ("1003", 0, "pictures/one.png", "matched", "metadata"),
    ]
    assert "duplicate-posts" not in dict(rows(own, "post_gaps", "kind", "message"))


def test_what_is_missing_or_linked_is_told(own: Path) -> None:
    found = rows(own, "post_media", "post_id", "status", "local_path", "source_url")[-3:]
    assert found == [
        ("1004", "missing", "videos/gone.mp4", None),
        ("1005", "linked", None, "https://example.org/media/five.png?size=big"),
        ("9223372036854775807", "missing", "../outside.png", None),
    ]


def test_a_second_run_does_nothing(own: Path, folder: Path) -> None:
    again = run_inline(folder / "posts.csv", own, recipe=RECIPE)
    assert (again.new, again.changed, again.removed, again.posts) == (0, 0, 0, None)


def test_a_folder_of_tables_is_listed_whole(folder: Path, tmp_path: Path) -> None:
    run_inline(folder, tmp_path / "own", recipe=RECIPE)
    assert len(rows(tmp_path / "own", "posts", "post_id")) == 10
    media = rows(tmp_path / "own", "post_media", "post_id", "local_path", "status")
    assert ("3001", "pictures/nine.png", "matched") in media


@pytest.mark.parametrize("name", ["img2dataset", "webdataset"])
def test_archives_of_pictures_are_joined_member_by_member(name: str, tmp_path: Path) -> None:
    run_inline(fixture(name, tmp_path / "in"), tmp_path / "own", recipe="[analyzers.image]\n")
    found = rows(tmp_path / "own", "post_media", "status", "joined_by")
    assert {pair for pair in found if pair[0] == "matched"} == {("matched", "metadata")}
    assert (
        sum(status == "matched" for status, _ in found) == {"img2dataset": 4, "webdataset": 6}[name]
    )
    unmatched = rows(tmp_path / "own", "post_gaps", "kind", "ref")
    assert not [ref for kind, ref in unmatched if kind == "unmatched-source"]


def test_a_typing_error_in_a_column_ends_the_run_before_anything_is_made(
    folder: Path, tmp_path: Path
) -> None:
    recipe = RECIPE.replace("Image Path", "Image Pth")
    with pytest.raises(DumpError, match="did you mean 'Image Path'"):
        run_inline(folder / "posts.csv", tmp_path / "own", recipe=recipe)
    assert not (tmp_path / "own").exists()


def test_a_column_of_media_beside_another_format_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--media-column Image Path is of tables"):
        run_inline(folder, tmp_path / "own", recipe=RECIPE, dump="twarc2")


def test_formats_say_whether_posts_come_in_pieces_and_how_far_ids_go() -> None:
    known = dumps.formats()
    pieces = ["gallery-dl", "yt-dlp", "img2dataset", "table"]
    assert [name for name in known if dumps.in_pieces(name)] == pieces
    # Platforms know marks of these alone.
    assert {name for name in known if dumps.ids_within(name)} == set(FORMS)


@pytest.mark.parametrize("whole", [True, False])
def test_a_column_of_ids_that_no_table_has_is_refused_before_anything_is_analysed(
    folder: Path, tmp_path: Path, *, whole: bool
) -> None:
    said = 'media_column = "Image Path"\ndump = "table"\nid_column = "Post ID"\n'
    with pytest.raises(DumpError, match="no table has a column 'Post ID'"):
        run_inline(
            folder if whole else folder / "posts.csv",
            tmp_path / "own",
            recipe=f"[posts]\n{said}[analyzers.image]\n",
        )
    # A table that is the INPUT is looked at when it is listed, a folder when its manifest is made.
    assert (tmp_path / "own").exists() == whole
    if whole:
        assert not Dataset.open(str(tmp_path / "own")).table("tables/sources").exists


def test_so_are_pseudonyms_in_a_dataset_of_plain_ids(
    folder: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / "key").write_text("0" * 32)
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(folder.parent / "key"))
    Image.new("RGB", (8, 8)).save(folder / "new.png")
    before = Dataset.open(str(own)).table("tables/sources").version
    with pytest.raises(SettingsError, match="by plain ids"):
        run_inline(
            folder / "posts.csv",
            own,
            recipe=RECIPE.replace(
                "[analyzers", "pseudonyms = true\n[analyzers.hashes]\n[analyzers"
            ),
        )
    assert Dataset.open(str(own)).table("tables/sources").version == before
    assert not Dataset.open(str(own)).table("tables/hashes").exists
