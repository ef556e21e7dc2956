"""A small corpus of real photographs and awkward files, and a run over it, for many tests."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import skimage
import sklearn.datasets
from PIL import Image

from imgbatch import crew
from imgbatch.messages import Finished
from imgbatch.run import run
from imgbatch.settings import read_limits
from imgbatch.summary import Request, Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from imgbatch.driver import Engine
    from imgbatch.messages import Job, Task, Tick
    from imgbatch.settings import Limits

RECIPE = "[media]\n[analyzers.image]\n[analyzers.quality]\n[analyzers.hashes]\n[analyzers.motion]\n"
PHOTOS = {
    "astronaut.png": Path(skimage.__file__).parent / "data" / "astronaut.png",
    "coffee.png": Path(skimage.__file__).parent / "data" / "coffee.png",
    "rocket.jpg": Path(skimage.__file__).parent / "data" / "rocket.jpg",
    "china.jpg": Path(sklearn.datasets.__file__).parent / "images" / "china.jpg",
    "flower.jpg": Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg",
}
# What each file must come to: its error class, or ok.
EXPECTED = {
    **dict.fromkeys(PHOTOS, "ok"),
    "inside.zip": "archive",
    "inside.zip!/china.jpg": "ok",
    "inside.zip!/notes.txt": "sidecar",
    "inside.tar.gz": "archive",
    "inside.tar.gz!/flower.jpg": "ok",
    "inside.tar.gz!/link.jpg": "link",
    "inside.tar": "archive",
    "inside.tar!/rocket.jpg": "ok",
    "named/by/content.dat": "ok",
    "posts.json": "sidecar",
    "thesis.bin": "not-media",
    "empty.txt": "sidecar",
    "empty.jpg": "decode.empty",
    "lies.jpg": "decode.unrecognised",
    "truncated.jpg": "decode.truncated",
    "damaged.zip": "archive.truncated",
    "<b>bold & 'quoted'.jpg": "ok",
}


def make(folder: Path) -> Path:
    """Fill a folder with the files of EXPECTED."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in PHOTOS.items():
        (folder / name).write_bytes(path.read_bytes())
    (folder / "named/by").mkdir(parents=True)
    (folder / "named/by/content.dat").write_bytes(PHOTOS["china.jpg"].read_bytes())
    (folder / "<b>bold & 'quoted'.jpg").write_bytes(PHOTOS["flower.jpg"].read_bytes())
    with zipfile.ZipFile(folder / "inside.zip", "w") as archive:
        archive.write(PHOTOS["china.jpg"], "china.jpg")
        archive.writestr("notes.txt", "hello")
    with tarfile.open(folder / "inside.tar.gz", "w:gz") as tar:
        tar.add(PHOTOS["flower.jpg"], "flower.jpg")
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "flower.jpg"
        tar.addfile(link)
    with tarfile.open(folder / "inside.tar", "w") as tar:
        tar.add(PHOTOS["rocket.jpg"], "rocket.jpg")
    (folder / "posts.json").write_text(json.dumps({"id": "1"}))
    (folder / "thesis.bin").write_bytes(b"\x00\x01 no medium")
    (folder / "empty.txt").touch()
    (folder / "empty.jpg").touch()
    (folder / "lies.jpg").write_text("<html>404</html>")
    (folder / "truncated.jpg").write_bytes(PHOTOS["china.jpg"].read_bytes()[:50_000])
    (folder / "damaged.zip").write_bytes(b"PK\x03\x04 and then nothing that fits")
    return folder


def many(folder: Path, count: int, *, width: int = 96, height: int = 64) -> Path:
    """Fill a folder with small distinct JPEGs."""
    folder.mkdir(parents=True, exist_ok=True)
    with Image.open(PHOTOS["china.jpg"]) as photo:
        for number in range(count):
            left, top = number % 37 * 8, number % 23 * 8
            buffer = io.BytesIO()
            box = (left, top, left + width, top + height + number % 7)
            photo.crop(box).save(buffer, "JPEG")
            (folder / f"{number:05}.jpg").write_bytes(buffer.getvalue())
    return folder


class Silent:
    """Watches and says nothing."""

    def listing(self, found: int) -> None: ...

    def fetching(self, name: str, done: int, size: int) -> None: ...

    def planned(self, *, shards: int, sources: int, note: str) -> None: ...

    def tick(self, tick: object) -> None: ...

    def crewed(self, crew: object) -> None: ...


def interrupted(shards: int) -> Engine:
    """Return an engine that is interrupted when so many shards are finished."""

    def engine(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
        left = shards
        for event in crew.inline(job, tasks):
            yield event
            left -= isinstance(event, Finished)
            if not left:
                raise KeyboardInterrupt

    return engine


def run_inline(  # noqa: PLR0913 - one argument per flag
    input_: Path,
    dataset: Path,
    *,
    recipe: str = RECIPE,
    limits: Limits | None = None,
    limit: int | None = None,
    share: float | None = None,
    max_failed: float | None = None,
    repair: bool = False,
    add_input: bool = False,
    dump: str | None = None,
    before_work: Callable[[], None] | None = None,
) -> Summary:
    """Run in this process, silently; `before_work` is called when all is planned."""
    request = Request(
        str(input_),
        str(dataset),
        recipe,
        "inline",
        limit=limit,
        share=share,
        max_failed=max_failed,
        repair=repair,
        add_input=add_input,
        dump=dump,
    )

    def engine(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
        if before_work:
            before_work()
        return crew.inline(job, tasks)

    return run(request, limits or read_limits(), engine, Silent())
