"""A corpus with hostile names, real photographs and broken files; a real run over it; its page."""

from __future__ import annotations

import os
import tarfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import skimage
import sklearn
from PIL import Image

from imgbatch import crew
from imgbatch.dataset import Dataset
from imgbatch.report import write_report
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.summary import Request
from tests.corpus import Silent

RECIPE = "[media]\n[analyzers.image]\n[analyzers.quality]\n[analyzers.color]\n"
SKIMAGE = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"
# Each would change the title of the page if a browser ever took it for markup.
HOSTILE = (
    "<img src=x onerror=document.title='PWNED'>.jpg",
    "\"><svg onload=document.title='PWNED'>.jpg",
    "a<script>document.title='PWNED'</script>.jpg",
    "' onmouseover='document.title=1.jpg",
    "javascript:document.title='PWNED'.jpg",
    "{{ 7 * 7 }}.jpg",
)
# The same in what a camera wrote, which becomes bars with names.
HOSTILE_MAKE = "<script>document.title='PWNED'</script>"
HOSTILE_MODEL = "<img src=x onerror=document.title='PWNED'>"
UNPRINTABLE = (b"bell\x07 and \xe2\x80\xaegpj.exe.jpg", b"caf\xe9.jpg")


def run_over(folder: Path, dataset: Path, recipe: str = RECIPE) -> Dataset:
    """Run a recipe over a folder in this process."""
    request = Request(input=str(folder), dataset=str(dataset), recipe=recipe, engine="inline")
    run(request, Limits(threads=2), crew.inline, Silent())
    return Dataset.open(str(dataset))


class Page(HTMLParser):
    """A page as a browser's parser would see it: its tags with attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    @property
    def text(self) -> str:
        """All text, white space as single spaces."""
        return " ".join(" ".join(self._text).split())

    def attributes(self, tag: str, name: str) -> list[str]:
        """The values of one attribute over all tags of a name."""
        return [a[name] or "" for t, a in self.tags if t == tag and name in a]


def read_page(dataset: Dataset, **options: Any) -> Page:
    """Write the report and parse it."""
    assert write_report(dataset, **options).endswith("/report/index.html")
    return Page(dataset.store.get("report/index.html").decode("utf-8"))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, copies, dated ones, broken ones, an archive, hostile names."""
    folder = tmp_path_factory.mktemp("corpus")
    photo = (SKLEARN / "china.jpg").read_bytes()
    for name in ("coffee.png", "rocket.jpg", "camera.png", "page.png"):
        (folder / name).write_bytes((SKIMAGE / name).read_bytes())
    for name in HOSTILE:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(photo)
    for raw in UNPRINTABLE:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + raw)).write_bytes(photo)
    for month in (1, 1, 3):
        _dated(folder / f"dated {month} {len(list(folder.iterdir()))}.jpg", month)
    (folder / "cut.jpg").write_bytes(photo[: len(photo) // 2])
    (folder / "empty <b>bold.png").write_bytes(b"")
    (folder / "post.json").write_text("{}")
    with tarfile.open(folder / "more.tar.gz", "w:gz") as tar:
        tar.add(SKLEARN / "flower.jpg", "in/flower.jpg")
    return folder


def _dated(path: Path, month: int) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = HOSTILE_MAKE, HOSTILE_MODEL
    exif.get_ifd(0x8769)[0x9003] = f"2019:{month:02d}:15 12:30:00"
    exif.get_ifd(0x8825)[2] = (57.0, 43.8437, 12.9518)  # GPSLatitude: 57.7343... degrees
    exif.get_ifd(0x8825)[1] = "N"
    with Image.open(SKLEARN / "flower.jpg") as image:
        image.rotate(month).save(path, exif=exif)


@pytest.fixture(scope="session")
def dataset(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The corpus, run."""
    return run_over(corpus, tmp_path_factory.mktemp("out") / "<i>my corpus")


@pytest.fixture(scope="session")
def page(dataset: Dataset) -> Page:
    """The corpus's page."""
    return read_page(dataset)
