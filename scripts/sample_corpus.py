"""Photographs of installed wheels in; a corpus of pictures, videos, archives and broken files out.

    python scripts/sample_corpus.py FOLDER

makes FOLDER/corpus and FOLDER/README.txt. What is there already is left as it is, so that a second
run over the corpus finds the same versions (size and mtime) and has nothing to do.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import tarfile
import zipfile
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pillow_heif
from PIL import Image, ImageEnhance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[[], bytes]
    Files = Iterator[tuple[str, Make]]

PHOTOS = (
    "skimage/data/astronaut.png",
    "skimage/data/brick.png",
    "skimage/data/camera.png",
    "skimage/data/cell.png",
    "skimage/data/chelsea.png",
    "skimage/data/clock_motion.png",
    "skimage/data/coffee.png",
    "skimage/data/coins.png",
    "skimage/data/grass.png",
    "skimage/data/gravel.png",
    "skimage/data/hubble_deep_field.jpg",
    "skimage/data/ihc.png",
    "skimage/data/logo.png",
    "skimage/data/moon.png",
    "skimage/data/motorcycle_left.png",
    "skimage/data/motorcycle_right.png",
    "skimage/data/page.png",
    "skimage/data/retina.jpg",
    "skimage/data/rocket.jpg",
    "skimage/data/text.png",
    "sklearn/datasets/images/china.jpg",
    "sklearn/datasets/images/flower.jpg",
)
SOURCE = {Path(name).stem: name for name in PHOTOS}

README = """\
The files in corpus/ were made by scripts/sample_corpus.py from pictures that come with scikit-image
and scikit-learn.

china.*, flower.* and what was made from them: from scikit-learn's sample images, Creative Commons
    Attribution 2.0 (https://creativecommons.org/licenses/by/2.0/).
    china: danielbuechele, https://www.flickr.com/photos/danielbuechele/6061409035
    flower: vultilion, https://www.flickr.com/photos/vultilion/6056698931
All others: from skimage.data, CC0, public domain or without known copyright restrictions (the
    docstring of each function of skimage.data names author and terms); the logo is part of
    scikit-image, BSD-3-Clause.
Dates, cameras and positions in the files under rotated/ are invented.
"""


def original(name: str) -> bytes:
    """Return the bytes of an installed photograph, by its stem."""
    package, _, rest = SOURCE[name].partition("/")
    spec = find_spec(package)
    assert spec is not None, f"{package} is in scripts/requirements/light.txt"
    assert spec.submodule_search_locations is not None, f"{package} is a package"
    return (Path(spec.submodule_search_locations[0]) / rest).read_bytes()


def photo(name: str) -> Image.Image:
    """Decode an installed photograph to RGB."""
    return Image.open(io.BytesIO(original(name))).convert("RGB")


def save(image: Image.Image, kind: str, quality: int = 90, exif: Image.Exif | None = None) -> bytes:
    """Encode a picture."""
    out = io.BytesIO()
    image.save(out, kind, quality=quality, exif=exif or Image.Exif())
    return out.getvalue()


def photos() -> Files:
    """Copies, as they were installed."""
    for name, path in SOURCE.items():
        yield f"photos/{Path(path).name}", partial(original, name)
    yield "photos/caf\u00e9 cr\u00e8me.jpg", lambda: save(photo("coffee"), "JPEG")
    yield "photos/a jpeg without its name.dat", lambda: save(photo("chelsea"), "JPEG")


def formats() -> Files:
    """One of each format and each unusual mode."""
    yield "formats/coffee.webp", lambda: save(photo("coffee"), "WEBP")
    yield "formats/rocket.avif", lambda: save(photo("rocket"), "AVIF")
    yield "formats/chelsea.heic", lambda: save(photo("chelsea"), "HEIF")
    yield "formats/brick.bmp", lambda: save(photo("brick"), "BMP")
    yield "formats/motorcycle.tif", lambda: save(photo("motorcycle_left"), "TIFF")
    yield "formats/grayscale.jpg", lambda: save(photo("camera").convert("L"), "JPEG")
    yield "formats/cmyk.jpg", lambda: save(photo("china").convert("CMYK"), "JPEG")
    yield "formats/palette.png", lambda: save(photo("flower").quantize(64), "PNG")
    yield "formats/one-bit.png", lambda: save(photo("page").convert("1"), "PNG")
    yield "formats/sixteen-bit.png", lambda: save(sixteen_bit("moon"), "PNG")
    yield "formats/sixteen-bit.tif", lambda: save(sixteen_bit("coins"), "TIFF")
    yield "formats/alpha.png", lambda: save(fading("astronaut"), "PNG")
    yield "formats/alpha.webp", lambda: save(fading("coffee"), "WEBP")
    yield "formats/gray-alpha.png", lambda: save(fading("camera").convert("LA"), "PNG")
    yield "formats/progressive.jpg", progressive
    yield "formats/animated.gif", lambda: animated("GIF")
    yield "formats/animated.webp", lambda: animated("WEBP")
    yield "formats/one-pixel.png", lambda: save(photo("moon").resize((1, 1)), "PNG")


def sixteen_bit(name: str) -> Image.Image:
    """A gray picture whose values use all 16 bits."""
    gray = np.asarray(photo(name).convert("L"), dtype=np.uint16)
    return Image.fromarray(gray * 257)


def fading(name: str) -> Image.Image:
    """A picture that grows transparent from left to right."""
    image = photo(name)
    image.putalpha(Image.linear_gradient("L").rotate(90).resize(image.size))
    return image


def progressive() -> bytes:
    """A JPEG that comes in several scans."""
    out = io.BytesIO()
    photo("hubble_deep_field").save(out, "JPEG", quality=85, progressive=True)
    return out.getvalue()


def animated(kind: str) -> bytes:
    """Three frames, half a second each."""
    frames = [photo(name).resize((256, 192)) for name in ("chelsea", "coffee", "rocket")]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], duration=500)
    return out.getvalue()


def rotated() -> Files:
    """The eight EXIF orientations, with a date and a camera; one with a position."""
    for orientation in range(1, 9):
        yield f"rotated/IMG_{orientation:04d}.jpg", partial(as_camera, orientation)


def as_camera(orientation: int) -> bytes:
    """A JPEG as a camera writes it that was held that way."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Example" if orientation % 2 else "Sample"
    exif[0x0110] = f"Camera {orientation % 3 + 1}"
    taken = datetime(2024, 5, 1, 8, tzinfo=UTC) + timedelta(days=37 * orientation)
    exif.get_ifd(0x8769)[0x9003] = taken.strftime("%Y:%m:%d %H:%M:%S")
    if orientation == 1:
        exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 22.0, 0.0), 3: "E", 4: (8.0, 32.0, 0.0)})
    # Undo what a viewer will do, so that all eight show the same upright picture.
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = photo("rocket")
    if orientation in undo:
        image = image.transpose(undo[orientation])
    return save(image, "JPEG", exif=exif)


def duplicates() -> Files:
    """The same bytes under other names, and pictures that only look the same."""
    yield "duplicates/rocket-again.jpg", lambda: original("rocket")
    yield "duplicates/reposted/rocket.jpg", lambda: original("rocket")
    yield "duplicates/retina-again.jpg", lambda: original("retina")
    for name in ("astronaut", "china", "flower", "motorcycle_left"):
        yield f"duplicates/{name}-small.jpg", partial(small, name)
        yield f"duplicates/{name}-poor.jpg", partial(poor, name)
    yield "duplicates/china-bright.jpg", lambda: save(bright(photo("china")), "JPEG")
    yield "duplicates/china-cropped.jpg", lambda: save(cropped(photo("china")), "JPEG")
    yield "duplicates/astronaut.webp", lambda: save(photo("astronaut"), "WEBP", 80)


def small(name: str) -> bytes:
    """A JPEG of half the size."""
    image = photo(name)
    return save(image.resize((image.width // 2, image.height // 2)), "JPEG", 85)


def poor(name: str) -> bytes:
    """A JPEG of low quality."""
    return save(photo(name), "JPEG", 30)


def bright(image: Image.Image) -> Image.Image:
    """A fifth brighter."""
    return ImageEnhance.Brightness(image).enhance(1.2)


def cropped(image: Image.Image) -> Image.Image:
    """Without a twentieth of its size on each side."""
    x, y = image.width // 20, image.height // 20
    return image.crop((x, y, image.width - x, image.height - y))


def videos() -> Files:
    """A pan and zoom, and one with three shots and real cuts."""
    yield "videos/pan.mp4", lambda: video(["china"], "mp4")
    yield "videos/three-shots.mp4", lambda: video(["coffee", "rocket", "chelsea"], "mp4")
    yield "videos/two-shots.mkv", lambda: video(["flower", "motorcycle_left"], "matroska")


def video(names: list[str], container: str, seconds: int = 4, rate: int = 25) -> bytes:
    """Encode one shot per photograph, each a slow zoom with a pan; a key frame every second."""
    out = io.BytesIO()
    with av.open(out, "w", format=container, options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
        assert isinstance(stream, av.VideoStream), "libx264 is a video codec"
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.codec_context.gop_size = rate
        stream.codec_context.thread_count = 1  # the same bytes on every machine
        for name in names:
            image = photo(name)
            for index in range(seconds * rate):
                window = zoomed(image, index / (seconds * rate))
                frame = av.VideoFrame.from_ndarray(np.asarray(window), format="rgb24")
                file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return out.getvalue()


def zoomed(image: Image.Image, position: float) -> Image.Image:
    """The 16:9 window of a slow zoom, at a position from 0 to 1."""
    width = min(image.width, image.height * 16 / 9) * (1 - 0.4 * position)
    height = width * 9 / 16
    x, y = (image.width - width) * position, (image.height - height) / 2
    box = (x, y, x + width, y + height)
    return image.resize((640, 360), Image.Resampling.BILINEAR, box)


def archives() -> Files:
    """A zip and a compressed tar with pictures, one in a folder, and a sidecar."""
    members = {
        "album/coffee.jpg": lambda: save(photo("coffee"), "JPEG"),
        "album/cell.png": lambda: original("cell"),
        "album/2024/gravel.jpg": lambda: save(photo("gravel"), "JPEG"),
        "album/2024/ihc.webp": lambda: save(photo("ihc"), "WEBP"),
        "album/rocket.jpg": lambda: original("rocket"),
        "album/index.json": lambda: json.dumps({"pictures": 5}).encode(),
    }
    yield "archives/album.zip", lambda: zipped(members)
    yield "archives/dump.tar.gz", lambda: tarred(members)


def zipped(members: dict[str, Make]) -> bytes:
    """Pack members into a zip, with one date for all."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, make in members.items():
            file.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), make())
    return out.getvalue()


def tarred(members: dict[str, Make]) -> bytes:
    """Pack members into a compressed tar, with one date for all."""
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="w", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as file,
    ):
        for name, make in members.items():
            data = make()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


def sidecars() -> Files:
    """What a scraper leaves beside its pictures."""
    about = {"title": "Coffee", "likes": 42, "url": "https://example.org/coffee"}
    yield "photos/coffee.json", lambda: json.dumps(about, indent=2).encode()
    yield "photos/posts.csv", posts
    yield "photos/notes.txt", lambda: b"The first line of a note.\n"


def posts() -> bytes:
    """A table of posts, one per photograph."""
    out = io.StringIO(newline="")
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["file", "likes"])
    table.writerows([Path(path).name, 3 * n] for n, path in enumerate(PHOTOS))
    return out.getvalue().encode()


def broken() -> Files:
    """Files that will fail, each in a way of its own."""
    noise = np.random.default_rng(0).bytes(20_000)
    yield "broken/truncated.jpg", lambda: original("rocket")[:60_000]
    yield "broken/truncated.png", lambda: original("coffee")[:200_000]
    yield "broken/empty.jpg", bytes
    yield "broken/text.jpg", lambda: b"<html><body>404 not found</body></html>\n"
    yield "broken/noise.png", lambda: noise
    yield "broken/header-then-noise.jpg", lambda: original("retina")[:2_000] + noise
    yield "broken/truncated.mp4", lambda: video(["china"], "mp4", seconds=2)[:40_000]
    yield "broken/truncated.mkv", lambda: video(["coffee"], "matroska")[:100_000]
    yield "broken/damaged.zip", lambda: zipped({"coins.png": lambda: original("coins")})[:-40]


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".partial")
    unfinished.write_bytes(data)
    unfinished.replace(path)


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder = parser.parse_args().folder
    pillow_heif.register_heif_opener()
    parts = (photos, formats, rotated, duplicates, videos, archives, sidecars, broken)
    corpus = folder / "corpus"
    files = {name: make for part in parts for name, make in part()}
    missing = {name: make for name, make in files.items() if not (corpus / name).exists()}
    for name, make in missing.items():
        write(corpus / name, make())
    write(folder / "README.txt", README.encode())
    print(f"sample corpus: {len(files)} files in {corpus}, {len(missing)} made now")


if __name__ == "__main__":
    main()
