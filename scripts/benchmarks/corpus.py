"""A count in; so many JPEGs of about 1080 pixels, and four pictures of 80 megapixels, out.

Run as a process of its own: `corpus photos FOLDER COUNT`, `corpus giants FOLDER`. What is there
already is kept; the same seed makes the same pixels.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import ExifTags, Image

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.photographs import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scripts.benchmarks.setting import Setting

SEED = 20_261_120
LONG_SIDE = 1080
ASPECTS = (16 / 9, 3 / 2, 4 / 3, 1.0, 3 / 4, 2 / 3)
PER_FOLDER = 500
GIANT = (10_328, 7_746)  # 80.0 megapixels
GIANTS = ("baseline.jpg", "progressive.jpg", "rgb.png", "rgba.png")


def photos(setting: Setting, count: int, *, giants: bool = False) -> Path:
    """Return a folder of exactly `count` JPEGs; with `giants`, four of them are 80-megapixel ones.

    The pictures are links to one pool, so that corpora of several counts take the disk once.
    """
    pool = setting.corpora / "pool"
    log = setting.log("corpus")
    run_child(module("corpus", "photos", pool / "photos", count), log=log)
    if giants:
        run_child(module("corpus", "giants", pool / "giants"), log=log)
    folder = setting.corpora / f"{count}{'-giants' * giants}"
    wanted = [pool / "giants" / name for name in GIANTS] if giants else []
    wanted += [pool / "photos" / _name(index) for index in range(count - len(wanted))]
    _link(wanted, folder)
    return folder


def _link(files: Sequence[Path], folder: Path) -> None:
    for index, file in enumerate(files):
        link = folder / f"{index // PER_FOLDER:03d}" / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            os.link(file, link)


def read_once(folder: Path) -> None:
    """Read every file, so that all that is measured later finds them in the page cache."""
    for file in folder.rglob("*.*"):
        with file.open("rb") as opened:
            while opened.read(1 << 20):
                continue


def _name(index: int) -> str:
    return f"{index:06d}.jpg"


def _make_photo(index: int, *, folder: Path) -> None:
    cv2.setNumThreads(1)
    random = np.random.default_rng([SEED, index])
    aspect = ASPECTS[random.integers(len(ASPECTS))]
    size = (
        (LONG_SIDE, round(LONG_SIDE / aspect))
        if aspect >= 1
        else (round(LONG_SIDE * aspect), LONG_SIDE)
    )
    pixels = cut(random, index, size=size, grain=random.uniform(0.5, 2.7))
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "imgbatch bench"
    taken = datetime(2020, 1, 1) + timedelta(minutes=int(random.integers(5 * 525_600)))  # noqa: DTZ001 - EXIF times name no zone
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"{taken:%Y:%m:%d %H:%M:%S}"
    image = Image.fromarray(pixels)
    quality = int(random.integers(85, 91))
    _whole(folder / _name(index), lambda path: image.save(path, "JPEG", quality=quality, exif=exif))


def _make_giant(name: str, *, folder: Path) -> None:
    random = np.random.default_rng([SEED, *name.encode()])
    pixels = cut(random, GIANTS.index(name), size=GIANT, grain=1.5)
    image = Image.fromarray(pixels)
    if name == "rgba.png":
        # From transparent at the left to opaque at the right.
        ramp = np.linspace(0, 255, GIANT[0], dtype=np.uint8)
        image.putalpha(Image.fromarray(np.broadcast_to(ramp, GIANT[::-1]).copy()))
    if name.endswith(".png"):
        _whole(folder / name, lambda path: image.save(path, "PNG", compress_level=1))
    else:
        progressive = name == "progressive.jpg"
        _whole(
            folder / name,
            lambda path: image.save(path, "JPEG", quality=88, progressive=progressive),
        )


def _whole(path: Path, write: Callable[[Path], None]) -> None:
    # An interrupted run leaves no half of a file under its name.
    part = path.with_suffix(".part")
    write(part)
    part.rename(path)


def main(kind: str, folder: Path, count: int = 0) -> None:
    """Make what is missing in a folder, on all cores."""
    folder.mkdir(parents=True, exist_ok=True)
    cores = len(os.sched_getaffinity(0))
    with Pool(1 if kind == "giants" else cores) as pool:
        if kind == "giants":
            todo = [name for name in GIANTS if not (folder / name).exists()]
            pool.map(partial(_make_giant, folder=folder), todo)
        else:
            missing = [i for i in range(count) if not (folder / _name(i)).exists()]
            pool.map(partial(_make_photo, folder=folder), missing, chunksize=16)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
