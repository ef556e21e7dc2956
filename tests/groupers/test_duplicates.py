"""Copies of photographs are found, others are not; groups keep their names; nothing is squared."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image, ImageEnhance, ImageOps

from imgbatch.dataset import Dataset
from imgbatch.groupers import _names, _near, _stars
from tests import corpus
from tests.groupers import made, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PHOTOS = Path(__file__).parents[2].parent / "shared" / "corpora" / "photos"
RECIPE = "[analyzers.hashes]\n"


def recolored(image: Image.Image) -> Image.Image:
    shifted = np.asarray(image, float) * [1.15, 1.0, 0.85] + [10, 0, -5]
    return Image.fromarray(np.clip(shifted, 0, 255).astype(np.uint8))


def cropped(image: Image.Image, share: float = 0.03) -> Image.Image:
    width, height = image.size
    x, y = round(width * share), round(height * share)
    return image.crop((x, y, width - x, height - y))


def turned(image: Image.Image, quarters: int) -> Image.Image:
    return image.rotate(90 * quarters, expand=True)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half": lambda image: image.resize((image.width // 2, image.height // 2)),
    "tiny": lambda image: image.resize((image.width // 5, image.height // 5)),
    "recolored": recolored,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
    "paler": lambda image: ImageEnhance.Contrast(image).enhance(0.75),
    "grey": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "cropped": cropped,
    "turned1": lambda image: turned(image, 1),
    "turned2": lambda image: turned(image, 2),
    "turned3": lambda image: turned(image, 3),
}


def copies(photo: Path, folder: Path) -> None:
    """Write a photograph, changed copies of it, and copies with three changes at once."""
    with Image.open(photo) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    image.thumbnail((900, 900))
    image.save(folder / f"{photo.stem}.original.png")
    image.save(folder / f"{photo.stem}.recompressed.jpg", quality=25)
    for name, change in CHANGES.items():
        change(image).save(folder / f"{photo.stem}.{name}.jpg", quality=85)
    draw = random.Random(photo.stem)
    for number in range(4):
        both = draw.sample(["half", "recolored", "brighter", "cropped"], 2)
        both.append(f"turned{draw.randint(1, 3)}")
        copy = image
        for name in both:
            copy = CHANGES[name](copy)
        copy.save(folder / f"{photo.stem}.{'+'.join(both)}-{number}.jpg", quality=60)


@pytest.mark.slow
def test_changed_copies_of_photographs_fall_into_one_group_and_no_others_do(tmp_path: Path) -> None:
    if not PHOTOS.is_dir():
        pytest.skip("the shared corpus is not beside this checkout")
    photos = sorted(PHOTOS.glob("*.jpg"))
    (tmp_path / "in").mkdir()
    for photo in photos:
        copies(photo, tmp_path / "in")
    corpus.run_inline(tmp_path / "in", tmp_path / "out", recipe=RECIPE)
    dataset = Dataset.open(str(tmp_path / "out"))
    labels = written.label(dataset, "duplicates")
    addresses = dataset.read("sources", columns=["source_id", "address"])
    place = pc.index_in(labels["source_id"], value_set=addresses["source_id"])
    names = [Path(a).name for a in addresses["address"].take(place).to_pylist()]
    truth = np.unique([name.split(".")[0] for name in names], return_inverse=True)[1]
    own = [label or name for label, name in zip(labels["group_id"].to_pylist(), names, strict=True)]
    found = np.unique(own, return_inverse=True)[1]
    same, together = truth[:, None] == truth, found[:, None] == found
    pairs = np.triu(np.ones_like(same), 1)
    right = (same & together & pairs).sum()
    recall, precision = right / (same & pairs).sum(), right / (together & pairs).sum()
    missed = sorted(
        {names[i] for i in np.flatnonzero((same & ~together).sum(1) > len(CHANGES) / 2)}
    )
    assert (recall, precision) >= (0.99, 0.99), (recall, precision, missed)
    assert recall >= 0.99, missed
    assert precision >= 0.99
    # The original has the most pixels, or as many as others and more bytes: it is the one to keep.
    best = {
        name for name, is_best in zip(names, labels["is_best"].to_pylist(), strict=True) if is_best
    }
    assert sum(name.endswith("original.png") for name in best) >= 0.9 * len(photos)


def test_copies_are_told_apart_by_bytes_distance_and_turns(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with Image.open(corpus.PHOTOS["china.jpg"]) as image:
        image.save(tmp_path / "in/a.png")
        (tmp_path / "in/b.png").write_bytes((tmp_path / "in/a.png").read_bytes())
        turned(image, 1).save(tmp_path / "in/c.png")
        image.resize((320, 214)).save(tmp_path / "in/d.jpg")
    (tmp_path / "in/e.jpg").write_bytes(corpus.PHOTOS["flower.jpg"].read_bytes())
    corpus.run_inline(tmp_path / "in", tmp_path / "out", recipe=RECIPE)
    dataset = Dataset.open(str(tmp_path / "out"))
    rows = by_name(dataset, written.label(dataset, "duplicates"))
    assert len({rows[n]["group_id"] for n in "abcd"}) == 1
    assert [rows[n]["group_size"] for n in "abcde"] == [4, 4, 4, 4, 1]
    assert [rows[n]["same_bytes"] for n in "abcde"] == [True, True, False, False, False]
    assert (rows["e"]["group_id"], rows["e"]["distance"], rows["e"]["turns"]) == (None, None, None)
    assert [rows[n]["is_best"] for n in "de"] == [False, True]
    assert sum(rows[n]["is_best"] for n in "abcd") == 1
    # c lies one quarter from the others, whichever of them is the middle.
    apart = {(rows[n]["turns"] - rows["a"]["turns"]) % 4 for n in "bcd"}
    assert apart == {0, (rows["c"]["turns"] - rows["a"]["turns"]) % 4}
    assert (rows["c"]["turns"] - rows["a"]["turns"]) % 4 == 3


def by_name(dataset: Dataset, labels: pa.Table) -> dict[str, dict[str, object]]:
    addresses = dataset.read("sources", columns=["source_id", "address"])
    names = {r["source_id"]: Path(r["address"]).stem for r in addresses.to_pylist()}
    return {names[row["source_id"]]: row for row in labels.to_pylist()}


def test_pictures_without_detail_are_copies_in_bytes_only(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    ramp = np.repeat(np.linspace(90, 160, 300).astype(np.uint8)[:, None], 400, axis=1)
    for name, pixels in {
        "white": np.full((300, 400), 255, np.uint8),
        "black": np.zeros((300, 400), np.uint8),
        "sky": ramp,
        "other sky": np.clip(ramp.astype(int) + 30, 0, 255).astype(np.uint8),
    }.items():
        Image.fromarray(pixels).convert("RGB").save(tmp_path / f"in/{name}.png")
    (tmp_path / "in/black again.png").write_bytes((tmp_path / "in/black.png").read_bytes())
    corpus.run_inline(tmp_path / "in", tmp_path / "out", recipe=RECIPE)
    dataset = Dataset.open(str(tmp_path / "out"))
    rows = by_name(dataset, written.label(dataset, "duplicates"))
    assert rows["black"]["group_id"] == rows["black again"]["group_id"] is not None
    assert [rows[n]["group_id"] for n in ("white", "sky", "other sky")] == [None] * 3


def test_pictures_whose_sources_have_no_outcome_yet_are_not_the_same_bytes(
    tmp_path: Path,
) -> None:
    sources = written.rows_of("sources", ["sha256", "width", "height", "size"])
    hashes = written.rows_of("hashes", ["frame", "dhash", "dhash_vertical", "phash"])
    tables = {"sources": sources.slice(0, 100), "hashes": hashes}
    found = written.label(written.dataset(tmp_path / "d", tables), "duplicates")
    late = found.filter(pc.is_in(found["source_id"], sources["source_id"][100:]))
    assert late.num_rows > 40
    assert not pc.any(late["same_bytes"]).as_py()


def test_turned_hashes_are_those_of_turned_pixels() -> None:
    pixels = []
    for path in corpus.PHOTOS.values():
        with Image.open(path) as image:
            pixels.append(np.array(image.convert("RGB").resize((300, 260))))
    upright = codes_of(pixels)
    for quarters in (1, 2, 3):
        expected = codes_of([np.rot90(one, quarters).copy() for one in pixels])
        derived = upright
        for _ in range(quarters):
            derived = _near.turned(derived)
        apart = _near.distances(derived, expected)
        assert apart.max() < 16
        # What is not turned along is as far away as another picture.
        assert _near.distances(upright, expected).min() > 60
    again = _near.turned(_near.turned(_near.turned(_near.turned(upright))))
    assert np.array_equal(again, upright)


def codes_of(pictures: list[NDArray[np.uint8]]) -> _near.Codes:
    from imgbatch.analyzers import hashes

    luma = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in pictures]
    rows = hashes.Analyzer(hashes.Settings()).infer([hashes.narrow(one) for one in luma])
    names = ("dhash", "dhash_vertical", "phash")
    return _near.codes(
        *(np.array([list(bytes.fromhex(row[n])) for row in rows], np.uint8) for n in names)
    )


def random_codes(count: int, seed: int = 0) -> _near.Codes:
    drawn = np.random.default_rng(seed).integers(0, 2**64, (count, 3), dtype=np.uint64)
    return drawn[np.lexsort(drawn.T)]


def flipped(code: _near.Codes, *bits: int) -> _near.Codes:
    other = code.copy()
    for bit in bits:
        other[0, bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return other


def test_a_chain_of_near_pictures_is_no_group_of_far_ones() -> None:
    # 18 links of 10 bits: the ends have nothing in common.
    chain = [random_codes(1)]
    bits = np.random.default_rng(1).permutation(192)
    for link in range(18):
        chain.append(flipped(chain[-1], *bits[link * 10 : link * 10 + 10].tolist()))
    codes = np.concatenate(chain)
    codes = codes[np.lexsort(codes.T)]
    pairs = _near.near(codes, 32)
    assert len(pairs) > 18
    found = _stars.stars(codes, pairs, 32)
    assert len(np.unique(found.middle)) >= 3
    assert (_near.distances(codes, codes[found.middle]) <= 32).all()
    assert (found.distance <= 32).all()
    assert (np.bincount(found.middle, minlength=len(codes)) != 1).sum() > 0


def test_a_hundred_thousand_pictures_with_one_hash_are_one_group(tmp_path: Path) -> None:
    # Their pairs, five billion, would take minutes and 80 GB.
    count = 100_000
    keys = made.keys([f"file:///{i}.jpg" for i in range(count)])
    hashes = {name: ["0123456789abcdef"] * count for name in ("dhash", "dhash_vertical", "phash")}
    facts = {"width": [640] * count, "height": [480] * count, "size": [9000] * count}
    digests = {"sha256": [f"{i:064x}" for i in range(count)]}
    sources = pa.table({k: v for k, v in keys.items() if k != "picture_id"} | digests | facts)
    pictures = pa.table({**keys, "frame": [0] * count, **hashes})
    labels = made.Beside(tmp_path).group(
        "duplicates", made.Made({"sources": sources, "hashes": pictures}, part=50_000)
    )
    assert labels["group_size"].unique().to_pylist() == [count]
    assert labels["is_best"].to_pylist().count(True) == 1
    assert not any(labels["same_bytes"].to_pylist())


def test_many_distinct_pictures_near_each_other_find_their_group_without_all_pairs() -> None:
    middle = random_codes(1, seed=4)
    random_ = np.random.default_rng(2)
    crowd = np.repeat(middle, 20_000, axis=0)  # of one filmed wall
    for _ in range(3):
        bit = random_.integers(0, 192, len(crowd))
        crowd[np.arange(len(crowd)), bit // 64] ^= np.uint64(1) << (bit % 64).astype(np.uint64)
    crowd = np.unique(crowd, axis=0)
    pairs = _near.near(crowd, 32)
    # All pairs would be two hundred million.
    assert len(pairs) < 64 * len(crowd)
    found = _stars.stars(crowd, pairs, 32)
    assert len(np.unique(found.middle)) == 1


def test_a_group_keeps_its_name_when_it_grows_and_when_a_smaller_id_comes() -> None:
    former = pa.table({"picture_id": ["b-0", "c-0", "x-0"], "group_id": ["b-0", "b-0", None]})
    ids = pa.chunked_array([["a-0", "b-0", "c-0", "x-0", "y-0"]])
    names = _names.named(ids, np.array([0, 0, 0, 1, 1]), former, "group_id")
    assert names.to_pylist() == ["b-0", "b-0", "b-0", "x-0", "x-0"]


def test_of_a_group_that_falls_apart_the_larger_part_keeps_the_name() -> None:
    former = pa.table({"picture_id": list("abcde"), "group_id": ["a"] * 5})
    ids = pa.chunked_array([list("abcde")])
    names = _names.named(ids, np.array([7, 7, 3, 3, 3]), former, "group_id")
    # The smaller part is named after its first picture whose id is no name.
    assert names.to_pylist() == ["b", "b", "a", "a", "a"]


def test_of_groups_that_become_one_the_larger_gives_the_name() -> None:
    former = pa.table({"picture_id": list("abcde"), "group_id": ["a", "a", "c", "c", "c"]})
    ids = pa.chunked_array([list("abcdef")])
    names = _names.named(ids, np.array([1, 1, 1, 1, 1, -1]), former, "group_id")
    assert names.to_pylist() == [*["c"] * 5, None]


def test_a_group_whose_ids_are_all_names_of_others_has_a_name_of_its_own() -> None:
    ids = pa.chunked_array([["a", "b", "w", "x", "y", "z"]])
    former = pa.table({"picture_id": ids, "group_id": ["a", "b", "b", "a", "a", "b"]})
    found = _names.named(ids, np.array([0, 0, 2, 1, 1, 2]), former, "group_id")
    assert found.to_pylist() == ["a", "a", "b", "x", "x", "b"]
