"""`imgbatch search` as people type it: lines, JSON, files, and a page that a browser opens."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import boto3
import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from PIL import Image

from imgbatch.dataset import Dataset
from imgbatch.records import source_id_of
from imgbatch.search import like, page
from imgbatch.settings import Limits
from tests import corpus
from tests.corpus import PHOTOS
from tests.report.conftest import HOSTILE, Page
from tests.report.test_browser import CHROMIUM, POLICY, browse
from tests.search.conftest import RECIPE

if TYPE_CHECKING:
    from pathlib import Path


def imgbatch(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "imgbatch", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset `d` of hostile names, and `asked.jpg`."""
    folder = tmp_path_factory.mktemp("hostile")
    for number, name in enumerate(HOSTILE):
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(PHOTOS["china.jpg"]) as photo:
            photo.rotate(number).save(path, "JPEG")
    (folder / "in" / "clip.mp4").write_bytes(PHOTOS["coffee.png"].read_bytes())
    corpus.run_inline(folder / "in", folder / "d", recipe=RECIPE)
    (folder / "asked <b>.jpg").write_bytes(PHOTOS["flower.jpg"].read_bytes())
    return folder


def test_search_prints_lines_and_writes_parquet_and_a_page(made: Path, tmp_path: Path) -> None:
    words = ["--like", PHOTOS["china.jpg"], "-k", "3", "--html", "--out", tmp_path / "x.parquet"]
    done = imgbatch("search", made / "d", *words)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].endswith("vectors of table classic (model classic) compared")
    assert lines[3].split()[:3] == ["1", "1.0000", "0.0000"]
    assert lines[6] == f"file://{tmp_path}/x.parquet"
    assert (made / "d" / lines[7].rpartition("/d/")[2]).read_text("utf-8").startswith("<!doctype")
    table = pq.read_table(tmp_path / "x.parquet")
    assert table["rank"].to_pylist() == [1, 2, 3]
    assert table["picture_id"][0].as_py() == table["source_id"][0].as_py() + "-0"


def test_search_prints_json_and_writes_csv(made: Path, tmp_path: Path) -> None:
    words = ["--like", made / "in" / "coffee.png", "-k", "4", "--json", "--out", tmp_path / "x.csv"]
    done = imgbatch("search", made / "d", *words)
    query, *hits, written = map(json.loads, done.stdout.splitlines())
    assert query["event"] == "query"
    assert (query["metric"], query["table"], query["threshold"]) == ("cosine", "classic", None)
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4]
    assert all(hit["similarity"] + hit["distance"] == pytest.approx(1) for hit in hits)
    assert written == {"event": "written", "address": f"file://{tmp_path}/x.csv"}
    table = pyarrow.csv.read_csv(tmp_path / "x.csv")
    assert table["address"].to_pylist() == [hit["address"] for hit in hits]


def test_an_error_of_search_has_its_own_exit_code_and_writes_nothing(
    made: Path, tmp_path: Path
) -> None:
    done = imgbatch("search", made / "d", "--like", "nix.jpg", "--out", tmp_path / "x.csv")
    assert done.returncode == 25
    assert "to do: Give a photo that opens" in done.stderr
    assert list(tmp_path.iterdir()) == []
    done = imgbatch("search", made / "d", "--like", PHOTOS["china.jpg"], "--out", "x.xlsx")
    assert done.returncode == 10
    assert ".parquet" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--like", "a.jpg", "--text", "a"),
        ("--like", "a.jpg", "--threshold", "0.5"),
    ],
)
def test_a_search_for_nothing_or_two_things_is_refused(made: Path, words: tuple[str, ...]) -> None:
    done = imgbatch("search", made / "d", *words)
    assert done.returncode == 10
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_forget_takes_the_pages_out_with_the_report(tmp_path: Path) -> None:
    corpus.many(tmp_path / "in", 5)
    corpus.run_inline(tmp_path / "in", tmp_path / "d", recipe=RECIPE)
    opened = Dataset.open(str(tmp_path / "d"))
    found = like(opened, str(PHOTOS["china.jpg"]), Limits())
    page.put(found, page.render(found, Limits()))
    source = tmp_path / "in" / "00001.jpg"
    done = imgbatch("forget", tmp_path / "d", "--source", source, "--yes")
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "d" / "report").rglob("*.html"))
    done = imgbatch("verify", tmp_path / "d", "--forgotten", "--source", source)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_a_search_in_a_bucket_fetches_photo_table_and_thumbnails_from_there(
    bucket: str, tmp_path: Path
) -> None:
    s3 = boto3.client("s3")
    for path in corpus.many(tmp_path / "in", 6).iterdir():
        s3.put_object(Bucket=bucket, Key=f"search/in/{path.name}", Body=path.read_bytes())
    s3.put_object(
        Bucket=bucket, Key="search/asked.jpg", Body=(tmp_path / "in" / "00003.jpg").read_bytes()
    )
    url = f"s3://{bucket}/search"
    corpus.run_inline(f"{url}/in", f"{url}/d", recipe=RECIPE)  # type: ignore[arg-type] # URLs
    opened = Dataset.open(f"{url}/d")
    for photo in (f"{url}/asked.jpg", f"{url}/in/00003.jpg"):
        found = like(opened, photo, Limits(), k=6)
        assert found.compared == 6
    assert found.hits.num_rows == 5
    shown = Page(page.render(found, Limits()).decode())
    assert len(shown.attributes("img", "src")) == 6
    assert page.put(found, b"<!doctype html>").startswith(f"{url}/d/report/search/like-")


@pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt install chromium)"
)
@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_shows_pictures_and_hostile_names_do_nothing(
    hostile: Path, tmp_path: Path, width: int
) -> None:
    found = like(Dataset.open(str(hostile / "d")), str(hostile / "asked <b>.jpg"), Limits())
    html = page.render(found, Limits()).decode("utf-8")
    unguarded = html.replace(POLICY, '<meta name="nothing"')
    assert unguarded != html
    if width == 1280:
        dom, console = browse(tmp_path, unguarded, "--dump-dom")
        assert console == ""
        assert "PWNED" not in Page(dom).html.partition("<title>")[2].partition("</title>")[0]
        shown = Page(dom).text + " ".join(Page(dom).attributes("img", "alt"))
        assert all(name in shown for name in HOSTILE)
    shot = tmp_path / "shot.png"
    browse(tmp_path, html, f"--screenshot={shot}", f"--window-size={width},1400")
    with Image.open(shot) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 5000
    assert (pixels[:, -8:] == pixels[5, 5]).all(axis=(1, 2)).mean() > 0.95


def test_the_frame_that_was_found_is_the_one_that_is_shown(made: Path, dataset: Dataset) -> None:
    clip = source_id_of(f"file://{made / 'in' / 'clip.mp4'}")
    found = like(dataset, f"{clip}-0", Limits(), k=3)
    assert len({0, *found.hits["frame"].to_pylist()}) == 4
    shown = Page(page.render(found, Limits()).decode())
    sources = shown.attributes("img", "src")
    assert len(set(sources)) == 4
    assert all(s.startswith("data:image/jpeg;base64,") for s in sources)
    with Image.open(io.BytesIO(base64.b64decode(sources[0].partition(",")[2]))) as image:
        assert image.size == (96, 64)


def test_a_frame_far_inside_a_video_is_not_waited_for(
    made: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = source_id_of(f"file://{made / 'in' / 'clip.mp4'}")
    found = like(dataset, f"{clip}-0", Limits(), k=3)
    last = max(found.hits["frame"].to_pylist())
    monkeypatch.setattr("imgbatch.report.thumbnails.FAR", last - 1)
    shown = Page(page.render(found, Limits()).decode())
    assert len(shown.attributes("img", "src")) == 3
    assert "far inside a video" in shown.text
