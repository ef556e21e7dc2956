"""The analyzer `faces`, with models whose behaviour is known: they fire on squares of pure red."""

from __future__ import annotations

import io
import json
import math
import warnings
import zipfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from imgbatch import analyzers
from imgbatch.dataset import Dataset, groups
from imgbatch.dataset.forget import forget
from imgbatch.dataset.given import Known
from imgbatch.dataset.needles import texts
from imgbatch.dataset.verify import verify
from imgbatch.errors import SettingsError, WeightsError
from imgbatch.media.pixels import eighths_of
from imgbatch.models.faces import crops
from imgbatch.models.weights import Own, adopt
from imgbatch.records import Facts, Picture
from imgbatch.report import write_report
from imgbatch.report.codebook import codebook
from imgbatch.rows import WAITING_BYTES
from imgbatch.settings import Limits, read_recipe
from imgbatch.tables import table_specs
from tests.corpus import PHOTOS, run_inline
from tests.groupers.written import label
from tests.media.clips import Encoding, encode

pytest.importorskip("onnxruntime", reason="the extra `models` is not installed")
pytest.importorskip("insightface", reason="the extra `models` is not installed")

from imgbatch.analyzers.faces import (
    BATCH,
    Analyzer,
    Settings,
    needs,
    regions,
    shared_out,
    weights,
)
from imgbatch.models.faces.heads import Head, OwnHead
from imgbatch.models.faces.packs import Pack
from tests import facemodels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from imgbatch.analyzers import Row

# Far enough apart for the made detectors, in a picture of WIDE x HIGH.
WIDE, HIGH = 640, 480
SQUARES = [(104, 56, 48, 48), (400, 300, 60, 64), (560, 104, 32, 40)]


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    adopt(Limits(model_cache=str(tmp_path_factory.mktemp("cache"))))


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return facemodels.pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def of_pack(pack: Path) -> dict[str, Any]:
    """Return the settings of the made pack."""
    return {"detector": "pack", "weights": facemodels.own(pack), "sides": (640,)}


def seen(pixels: NDArray[np.uint8], *, times: int = 1) -> Picture:
    """Return a picture; `times`: of a source that is so many times as large."""
    whole = np.repeat(np.repeat(pixels, times, axis=0), times, axis=1)
    facts = Facts("image", "PNG", "RGB", whole.shape[1], whole.shape[0])
    return Picture(pixels, 0, None, facts, lambda: nullcontext(whole))


def rows(pictures: Sequence[Picture], **settings: Any) -> list[Row]:
    analyzer = Analyzer(Settings(**settings))
    return analyzer.infer([analyzer.prepare(one) for one in pictures])


def boxes(found: Sequence[Row]) -> list[tuple[float, ...]]:
    return sorted(tuple(r[k] for k in ("x", "y", "width", "height")) for r in found)


# --- Boxes ---------------------------------------------------------------------------------------


def test_boxes_and_landmarks_lie_where_the_squares_were_drawn(of_pack: dict[str, Any]) -> None:
    (row,) = rows([seen(facemodels.red_squares((WIDE, HIGH), SQUARES))], **of_pack)
    assert row["n_faces"] == len(SQUARES)
    assert np.allclose(boxes(row["regions"]), sorted(SQUARES), atol=1e-3)
    for region in row["regions"]:
        x, y, width, height = (region[k] for k in ("x", "y", "width", "height"))
        points = [p for fx, fy in facemodels.POINTS for p in (x + fx * width, y + fy * height)]
        assert np.allclose(region["landmarks"], points, atol=1e-3)
        shares = [region[f"{k}_share"] for k in ("x", "y", "width", "height")]
        assert np.allclose(shares, [x / WIDE, y / HIGH, width / WIDE, height / HIGH])
        assert region["area_share"] == pytest.approx(width * height / (WIDE * HIGH))
        assert 0.5 < region["score"] <= 1


def test_ultraface_says_the_same_boxes_and_no_landmarks(tmp_path: Path) -> None:
    made = facemodels.ultraface(tmp_path / "u.onnx")
    pixels = facemodels.red_squares((WIDE, HIGH), SQUARES)
    (row,) = rows([seen(pixels)], detector="ultraface", weights=facemodels.own(made))
    assert np.allclose(boxes(row["regions"]), sorted(SQUARES), atol=0.1)
    assert {region["landmarks"] for region in row["regions"]} == {None}
    assert all(region["yaw"] is None for region in row["regions"])


def test_a_picture_without_faces_has_a_row_that_says_zero(of_pack: dict[str, Any]) -> None:
    assert rows([seen(facemodels.red_squares((WIDE, HIGH), []))], **of_pack) == [
        {"n_faces": 0, "regions": []}
    ]


def test_boxes_are_in_pixels_of_the_full_size_however_small_it_was_decoded(
    of_pack: dict[str, Any],
) -> None:
    small = facemodels.red_squares((WIDE, HIGH), SQUARES)
    (row,) = rows([seen(small, times=4)], **of_pack)
    drawn = [tuple(4 * edge for edge in square) for square in sorted(SQUARES)]
    assert np.allclose(boxes(row["regions"]), drawn, atol=1e-2)
    assert max(r["landmarks"].max() for r in row["regions"]) > WIDE


def test_a_face_at_the_edge_covers_only_what_lies_in_the_picture() -> None:
    face = (WIDE - 20, HIGH - 30, 40, 60)
    region = _box_of(face)
    assert region["x"] + region["width"] == pytest.approx(WIDE + 20)
    assert region["area_share"] == pytest.approx(20 * 30 / (WIDE * HIGH))


def _box_of(face: tuple[int, int, int, int]) -> Row:
    from imgbatch.analyzers.faces import _box
    from imgbatch.models.faces import Face

    x, y, width, height = face
    picture = seen(facemodels.red_squares((WIDE, HIGH), []))
    return _box(picture, Face(np.array([x, y, x + width, y + height], np.float32)))


def test_overlapping_boxes_count_once_and_others_stay() -> None:
    from imgbatch.models.faces.ultraface import thinned

    found = thinned(
        np.array([[0, 0, 10, 10], [1, 1, 11, 11], [0, 0, 10, 4], [50, 0, 60, 10], [9, 9, 9, 9]]),
        np.array([0.8, 0.9, 0.95, 0.71, 0.7]),
        0.7,
    )
    assert found.boxes.tolist() == [[0, 0, 10, 4], [1, 1, 11, 11], [50, 0, 60, 10]]


def oriented(pixels: NDArray[np.uint8], orientation: int) -> bytes:
    """Return a JPEG that is stored turned, and says by EXIF how it stands upright."""
    back = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: np.rot90,
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p, -1),
    }
    stored = Image.fromarray(np.ascontiguousarray(back[orientation](pixels)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, "JPEG", quality=95, subsampling=0, exif=exif)
    return buffer.getvalue()


def recipe(settings: Settings, *, min_side: int = 256) -> str:
    """Return a recipe with these settings, as the user would write it."""
    lines = ["[media]", f"min_side = {min_side}", "[analyzers.faces]"]
    for key, value in settings.model_dump(mode="json", exclude_defaults=True).items():
        if key != "heads":
            lines.append(f"{key} = {_toml(value)}")
    for name, head in settings.model_dump(mode="json")["heads"].items():
        lines.append(f"[analyzers.faces.heads.{name}]")
        lines += [f"{key} = {_toml(value)}" for key, value in head.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


def table(dataset: Path, name: str) -> list[Row]:
    found: list[Row] = Dataset.open(str(dataset)).read(name).to_pylist()
    return found


def run(
    input_: Path, dataset: Path, settings: Settings, cache: Path, *, min_side: int = 256
) -> None:
    limits = Limits(model_cache=str(cache), threads=4)
    run_inline(input_, dataset, recipe=recipe(settings, min_side=min_side), limits=limits)


def test_boxes_are_upright_and_in_full_size_whatever_the_camera_stored(
    tmp_path: Path, of_pack: dict[str, Any]
) -> None:
    squares = [tuple(4 * edge for edge in square) for square in SQUARES]
    pixels = facemodels.red_squares((WIDE * 4, HIGH * 4), squares)  # type: ignore[arg-type]
    assert eighths_of(WIDE * 4, HIGH * 4, HIGH) == 2  # a quarter of the full size is decoded
    (tmp_path / "in").mkdir()
    for orientation in range(1, 9):
        file = tmp_path / "in" / f"{orientation}.jpg"
        file.write_bytes(oriented(pixels, orientation))
    run(tmp_path / "in", tmp_path / "d", Settings(**of_pack), tmp_path / "cache", min_side=HIGH)
    found = table(tmp_path / "d", "faces_regions")
    by_source: dict[str, list[Row]] = {}
    for row in found:
        by_source.setdefault(row["source_id"], []).append(row)
    assert len(by_source) == 8
    for rows_ in by_source.values():
        # Two pixels of the full size are half a pixel of what was decoded.
        assert np.allclose(boxes(rows_), sorted(squares), atol=2)
        eyes = [(r["landmarks"][2] - r["landmarks"][0]) / r["width"] for r in rows_]
        assert np.allclose(eyes, 0.4, atol=0.05)
    assert {row["n_faces"] for row in table(tmp_path / "d", "faces")} == {len(SQUARES)}


def test_faces_in_a_turned_video_lie_upright_on_each_sampled_frame(
    tmp_path: Path, of_pack: dict[str, Any]
) -> None:
    # Twice the size that is decoded; the face wanders, and the video is to be shown turned left.
    places = [(240 + 16 * i, 160 + 8 * i, 96, 112) for i in range(4)]
    frames = [facemodels.red_squares((1280, 960), [place]) for place in places]
    exact = Encoding("mp4", "libx264", "qp=0", pix_fmt="yuv444p")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/turned.mp4").write_bytes(encode(frames, exact, rotation=90))
    text = recipe(Settings(**of_pack), min_side=HIGH)
    video = '[media.video]\nsample = "every_n"\nevery_n = 1\n'
    limits = Limits(model_cache=str(tmp_path / "cache"))
    run_inline(tmp_path / "in", tmp_path / "d", recipe=text + video, limits=limits)
    found = sorted(table(tmp_path / "d", "faces_regions"), key=lambda row: row["frame"])
    assert [row["frame"] for row in found] == [0, 1, 2, 3]
    for row, (x, y, width, height) in zip(found, places, strict=True):
        # Red is not quite pure in a video's colors, so that the made detector counts too few.
        assert np.allclose(boxes([row]), [(y, 1280 - x - width, height, width)], atol=6)


# --- Full size -----------------------------------------------------------------------------------

# A face of 400 pixels, and one of 200: at an eighth, as they are decoded, 25 are left of it.
LARGE, SMALL = (600, 400, 400, 440), (2400, 1000, 200, 240)


def large() -> NDArray[np.uint8]:
    """Return a picture of 12 megapixels with two made faces full of lines."""
    pixels = facemodels.red_squares((4000, 3000), [LARGE, SMALL])
    pixels[:, ::10, 0] = np.where(pixels[:, ::10, 0] == 255, 150, pixels[:, ::10, 0])
    return pixels


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_face_is_measured_and_recognised_in_full_size_whatever_is_decoded(
    tmp_path: Path, of_pack: dict[str, Any], ending: str
) -> None:
    file = tmp_path / f"in/a.{ending}"
    file.parent.mkdir()
    Image.fromarray(large()).save(file, quality=95, subsampling=0, compress_level=1)
    with Image.open(file) as image:
        whole = np.array(image)
    found = {}
    settings = Settings(**of_pack, recognition=True)
    (recognition,) = Analyzer(settings)._parts
    for min_side in (256, 700, 3000):
        dataset = tmp_path / str(min_side)
        run(file.parent, dataset, settings, tmp_path / "cache", min_side=min_side)
        found[min_side] = sorted(table(dataset, "faces_regions"), key=lambda row: row["x"])
    for rows_ in found.values():
        assert len(rows_) == 2
        for row, of_full in zip(rows_, found[3000], strict=True):
            x, y, width, height = (row[k] for k in ("x", "y", "width", "height"))
            own = crops.sharpness(whole, np.array([x, y, x + width, y + height]))
            assert row["sharpness"] == pytest.approx(own, rel=0.02)
            assert row["sharpness"] == pytest.approx(of_full["sharpness"], rel=0.1)
            cut = crops.aligned(whole, np.reshape(row["landmarks"], (5, 2)), 112)
            assert cut is not None
            (told,) = recognition.run([cut])
            assert np.dot(row["embedding"], told["embedding"]) > 0.9999
            # The detector looks at another size, and sets the box a little otherwise.
            assert np.dot(row["embedding"], of_full["embedding"]) > 0.99
        assert min(row["sharpness"] for row in rows_) > 20  # what `people` asks for


def test_nothing_is_decoded_in_full_where_nothing_of_a_face_is_measured(
    of_pack: dict[str, Any],
) -> None:
    def whole() -> AbstractContextManager[NDArray[np.uint8]]:
        raise AssertionError("decoded in full")

    def shown(squares: Sequence[tuple[int, int, int, int]]) -> Picture:
        return replace(seen(facemodels.red_squares((WIDE, HIGH), squares), times=2), whole=whole)

    assert rows([shown([])], **of_pack)[0]["n_faces"] == 0
    for output in ("count", "boxes"):
        assert rows([shown(SQUARES)], **of_pack, output=output)[0]["n_faces"] == len(SQUARES)
        assert not needs(Settings(**of_pack, output=output)).full_size
    assert needs(Settings(**of_pack)).full_size


# --- What sees cut-out faces ---------------------------------------------------------------------


def everything(of_pack: dict[str, Any], folder: Path) -> dict[str, Any]:
    return of_pack | {
        "recognition": True,
        "perceived": ("age", "gender"),
        "pose": "model",
        "heads": {"mood": facemodels.mood(folder / "mood.onnx")},
    }


def test_faces_of_many_pictures_share_a_call(
    tmp_path: Path, of_pack: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from imgbatch.models.faces import heads, parts

    calls: dict[str, list[int]] = {}
    for part in (parts.Recognition, parts.Attributes, parts.Pose, heads.OwnHead):
        _count(part, calls, monkeypatch)
    (tmp_path / "in").mkdir()
    counts = [(7 * i) % (len(SQUARES) + 1) for i in range(80)]
    waited = _weighed(monkeypatch)
    for i, count in enumerate(counts):
        pixels = facemodels.red_squares((WIDE, HIGH + 2 * i), SQUARES[:count])
        Image.fromarray(pixels).save(tmp_path / "in" / f"{i}.png", compress_level=1)
    settings = Settings(**everything(of_pack, tmp_path) | {"sides": (320,)})
    run(tmp_path / "in", tmp_path / "d", settings, tmp_path / "cache", min_side=HIGH)
    faces = sum(counts)
    assert faces > 2 * BATCH["cpu"]
    assert sum(row["n_faces"] for row in table(tmp_path / "d", "faces")) == faces
    assert len(table(tmp_path / "d", "faces_regions")) == faces
    for sizes in calls.values():
        assert len(sizes) <= math.ceil(faces / BATCH["cpu"])
        assert sum(sizes) == faces
    assert len(calls) == 4
    # Crops that wait are bounded: all of these were too many to wait together.
    assert len(waited) > 1
    assert max(waited) < WAITING_BYTES + 3 * 2**20


def _weighed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return what will be told of the bytes that each `infer` gets."""
    waited: list[int] = []
    original = Analyzer.infer

    def infer(self: Analyzer, batch: Any) -> Any:
        waited.append(sum(prepared.nbytes for prepared in batch))
        return original(self, batch)

    monkeypatch.setattr(Analyzer, "infer", infer)
    return waited


@pytest.mark.parametrize("faces", [0, 1, 31, 32, 33, 63, 64, 100, 257])
def test_left_over_faces_cost_no_call_of_their_own(faces: int) -> None:
    batches = [list(some) for some in shared_out(range(faces), 32)]
    assert [face for some in batches for face in some] == list(range(faces))
    assert len(batches) == (max(1, faces // 32) if faces else 0)
    assert all(len(some) < 64 for some in batches)
    assert max(map(len, batches), default=0) - min(map(len, batches), default=0) <= 1


def _count(part: Any, calls: dict[str, list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    original = part.run

    def counted(self: Any, faces: Any) -> Any:
        calls.setdefault(part.__name__, []).append(len(faces))
        return original(self, faces)

    monkeypatch.setattr(part, "run", counted)


@pytest.fixture
def _their_warnings() -> Iterator[None]:
    """InsightFace calls what newer versions of its libraries warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


@pytest.mark.usefixtures("_their_warnings")
def test_rows_are_what_a_loop_of_insightface_says(
    tmp_path: Path, of_pack: dict[str, Any], pack: Path
) -> None:
    from insightface.app import FaceAnalysis

    with zipfile.ZipFile(pack) as archive:
        archive.extractall(tmp_path / "folder")
    app = FaceAnalysis(name=str(tmp_path / "folder"))
    app.prepare(0)  # its own sides and threshold
    photos = [
        facemodels.red_squares((WIDE, HIGH), SQUARES, grain=60),
        facemodels.red_squares((300, 420), [(40, 60, 100, 90)], grain=120),
        cv2.cvtColor(cv2.imread(str(PHOTOS["astronaut.png"])), cv2.COLOR_BGR2RGB),
    ]
    settings = everything(of_pack, tmp_path) | {"sides": Settings().sides}
    compared = 0
    for pixels, row in zip(
        photos, rows([seen(np.asarray(p)) for p in photos], **settings), strict=True
    ):
        theirs = app.get(cv2.cvtColor(np.asarray(pixels), cv2.COLOR_RGB2BGR))
        assert len(theirs) == row["n_faces"]
        for face, region in zip(theirs, row["regions"], strict=True):
            compared += 1
            x, y, width, height = (region[k] for k in ("x", "y", "width", "height"))
            assert np.allclose([x, y, x + width, y + height], face.bbox, atol=1e-3)
            assert region["score"] == pytest.approx(face.det_score)
            assert np.allclose(region["landmarks"], face.kps.ravel(), atol=1e-3)
            assert np.allclose(region["embedding"], face.normed_embedding, atol=1e-4)
            assert round(region["perceived_age"]) == face.age
            assert region["perceived_gender"] == {"M": "male", "F": "female"}[face.sex]
            told = [region[k] for k in ("pitch", "yaw", "roll")]
            assert np.allclose(told, face.pose, atol=1e-2)
    assert compared >= 4


def test_an_embedding_has_length_one_and_names_its_model(of_pack: dict[str, Any]) -> None:
    settings = Settings(**of_pack, recognition=True)
    analyzer = Analyzer(settings)
    prepared = analyzer.prepare(seen(facemodels.red_squares((WIDE, HIGH), SQUARES, grain=50)))
    (row,) = analyzer.infer([prepared])
    vectors = np.array([region["embedding"] for region in row["regions"]])
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    (column,) = [c for c in regions(settings) if c.name == "embedding"]
    digest = of_pack["weights"].sha256
    assert column.mark == "biometric"
    assert digest[:12] in column.meaning
    assert weights(settings) == {"weights": digest}
    assert prepared.nbytes == len(SQUARES) * 112 * 112 * 3


def test_a_head_of_the_users_own_says_its_classes(tmp_path: Path, of_pack: dict[str, Any]) -> None:
    settings = of_pack | {"heads": {"mood": facemodels.mood(tmp_path / "mood.onnx")}}
    (row,) = rows([seen(facemodels.red_squares((WIDE, HIGH), SQUARES))], **settings)
    for region in row["regions"]:
        shares = region["perceived_mood_probabilities"]
        assert region["perceived_mood"] == "angry"  # the class that its weights give to red
        assert shares.argmax() == 0
        assert shares.sum() == pytest.approx(1)
    marks = {c.name: c.mark for c in regions(Settings(**settings))}
    assert marks["perceived_mood"] == marks["perceived_mood_probabilities"] == "sensitive"
    assert set(weights(Settings(**settings))) == {"weights", "heads.mood"}


def test_what_is_no_number_is_no_class_of_a_face(tmp_path: Path) -> None:
    facemodels.head(tmp_path / "head.onnx", np.full((3, 3), np.nan))
    own = facemodels.own(tmp_path / "head.onnx")
    head = Head(weights=own, classes=("angry", "calm", "sad"))
    face = np.full((48, 48, 3), 90, np.uint8)
    with pytest.raises(ArithmeticError, match="no number"):
        OwnHead("mood", head).run([face])


@pytest.mark.parametrize("crop", ["box", "aligned"])
@pytest.mark.parametrize(("colors", "batch"), [("rgb", "n"), ("bgr", 1), ("grey", 1)])
def test_a_head_sees_the_colors_and_the_crop_that_it_asks_for(
    tmp_path: Path, of_pack: dict[str, Any], colors: str, batch: Any, crop: str
) -> None:
    channels = 1 if colors == "grey" else 3
    lit = np.zeros((channels, 2))
    lit[0, 0] = 9  # the first class is what the first channel says
    path = facemodels.head(tmp_path / "h.onnx", lit, side=112, batch=batch)
    own = {
        "weights": facemodels.own(path),
        "classes": ("first", "none"),
        "colors": colors,
        "crop": crop,
    }
    (row,) = rows(
        [seen(facemodels.red_squares((WIDE, HIGH), SQUARES))], **of_pack, heads={"h": own}
    )
    said = {region["perceived_h"] for region in row["regions"]}
    # Red is the first of RGB, the last of BGR, and dark as a grey.
    assert said == {"first"} if colors == "rgb" else said == {"none"}


def test_sensitive_heads_and_embeddings_are_off_by_default(of_pack: dict[str, Any]) -> None:
    for settings in (Settings(), Settings(**of_pack)):
        names = {column.name for column in regions(settings)}
        assert "embedding" not in names
        assert not [name for name in names if name.startswith("perceived")]
        assert not [column for column in regions(settings) if column.mark]


# --- Privacy -------------------------------------------------------------------------------------


def test_output_says_what_is_kept_of_people(of_pack: dict[str, Any]) -> None:
    picture = seen(facemodels.red_squares((WIDE, HIGH), SQUARES))
    kept = {
        output: rows([picture], **of_pack, output=output)[0]
        for output in ("none", "count", "boxes", "full")
    }
    assert kept["none"] == {"n_faces": None, "regions": []}
    assert kept["count"] == {"n_faces": 3, "regions": []}
    assert kept["boxes"]["n_faces"] == 3
    assert set(kept["boxes"]["regions"][0]) == {
        *("x", "y", "width", "height", "x_share", "y_share", "width_share", "height_share"),
        *("score", "area_share"),
    }
    assert {"landmarks", "yaw", "sharpness"} <= set(kept["full"]["regions"][0])
    assert regions(Settings(**of_pack, output="count")) == ()
    assert weights(Settings(**of_pack, output="none")) == {}


def test_counting_alone_leaves_nothing_of_any_face_once_earlier_states_are_forgotten(
    tmp_path: Path, of_pack: dict[str, Any]
) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(facemodels.red_squares((WIDE, HIGH), SQUARES)).save(tmp_path / "in/a.png")
    cache = tmp_path / "cache"
    run(tmp_path / "in", tmp_path / "d", Settings(**of_pack, recognition=True), cache)
    regions_ = [row["region_id"] for row in table(tmp_path / "d", "faces_regions")]
    assert len(regions_) == len(SQUARES)
    label(Dataset.open(str(tmp_path / "d")), "people", threshold=0.5)
    assert {path.parts[0] for path in traces(tmp_path / "d", regions_)} == {"tables", "groups"}
    run(tmp_path / "in", tmp_path / "d", Settings(**of_pack, output="count"), cache)
    assert traces(tmp_path / "d", regions_) != []
    forget(Dataset.open(str(tmp_path / "d")), Known(frozenset(), frozenset(), (), ()), former=True)
    assert traces(tmp_path / "d", regions_) == []
    assert table(tmp_path / "d", "faces_regions") == []
    assert [row["n_faces"] for row in table(tmp_path / "d", "faces")] == [len(SQUARES)]
    found = verify(Dataset.open(str(tmp_path / "d")))
    assert found.problems == []
    assert found.rows["groups/people"] == 0


def test_embeddings_that_are_no_longer_asked_for_leave_on_request_with_what_was_made_of_them(
    tmp_path: Path, of_pack: dict[str, Any]
) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(facemodels.red_squares((WIDE, HIGH), SQUARES)).save(tmp_path / "in/a.png")
    cache = tmp_path / "cache"
    asked = {**of_pack, "recognition": True}
    run(tmp_path / "in", tmp_path / "d", Settings(**asked, pose="model"), cache)
    label(Dataset.open(str(tmp_path / "d")), "people", threshold=0.5)
    run(tmp_path / "in", tmp_path / "d", Settings(**of_pack), cache)
    assert groups.read(Dataset.open(str(tmp_path / "d")), "people").num_rows == len(SQUARES)
    forget(Dataset.open(str(tmp_path / "d")), Known(frozenset(), frozenset(), (), ()), former=True)
    assert groups.read(Dataset.open(str(tmp_path / "d")), "people").num_rows == 0
    assert len(table(tmp_path / "d", "faces_regions")) == len(SQUARES)
    files = [
        path for path in (tmp_path / "d").rglob("*.parquet") if path.parent.name != "_delta_log"
    ]
    assert not [path for path in files if "embedding" in pq.read_schema(path).names]
    assert not list((tmp_path / "d" / "groups" / "people").glob("*.parquet"))


def traces(dataset: Path, words: Sequence[str]) -> list[Path]:
    """Return the files of a dataset, committed or not, that name one of some regions."""
    return sorted(
        path.relative_to(dataset)
        for path in dataset.rglob("*")
        if path.is_file() and set(words) & set(texts(path.name, path.read_bytes()))
    )


def test_the_codebook_marks_what_is_biometric_and_what_is_sensitive(
    tmp_path: Path, of_pack: dict[str, Any]
) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(facemodels.red_squares((WIDE, HIGH), SQUARES)).save(tmp_path / "in/a.png")
    settings = Settings(**everything(of_pack, tmp_path))
    run(tmp_path / "in", tmp_path / "d", settings, tmp_path / "cache")
    entries = {
        entry.column: entry
        for entry in codebook(Dataset.open(str(tmp_path / "d")))
        if entry.table == "faces_regions"
    }
    marked = {name: entry.mark for name, entry in entries.items() if entry.mark}
    assert marked == {
        "embedding": "biometric",
        "perceived_age": "sensitive",
        "perceived_gender": "sensitive",
        "perceived_gender_probabilities": "sensitive",
        "perceived_mood": "sensitive",
        "perceived_mood_probabilities": "sensitive",
    }
    dataset = Dataset.open(str(tmp_path / "d"))
    write_report(dataset, thumbnails=True)
    page = dataset.store.get("report/index.html").decode()
    assert "It holds biometric data, which tells people apart: faces_regions.embedding." in page
    assert "what a model perceives of people, which is no fact about them" in page
    # By default poses come from five points; here they do not, and the codebook must say so.
    assert "landmark_3d_68" in entries["yaw"].meaning


# --- Measures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("yaw", "pitch", "roll"), [(0, 0, 0), (30, 0, 0), (0, 20, 0), (0, 0, -40), (-25, 15, 10)]
)
def test_a_pose_is_found_again_from_the_landmarks_of_a_turned_head(
    yaw: float, pitch: float, roll: float
) -> None:
    turned = crops.HEAD @ facemodels.turned(yaw, pitch, roll).T
    points = turned[:, :2] * 1.7 + [300, 200]
    found = crops.pose(points)
    assert found is not None
    assert np.allclose(found, (yaw, pitch, roll), atol=1e-6)


def test_a_pose_is_signed_as_its_columns_say() -> None:
    right = crops.pose(np.array([[0, 0], [50, 0], [40, 30], [8, 60], [45, 60]], float))
    assert right is not None
    assert right[0] > 10  # the nose is near the right eye: it looks to the right of the picture
    clockwise = crops.pose(np.array([[0, 0], [50, 20], [20, 35], [-15, 60], [22, 75]], float))
    assert clockwise is not None
    assert clockwise[2] > 10


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.repeat([[3.0, 4.0]], 5, axis=0)])
def test_points_that_lie_in_one_tell_no_pose_and_no_crop(points: NDArray[Any]) -> None:
    assert crops.pose(points) is None
    assert crops.aligned(np.zeros((50, 50, 3), np.uint8), points, 112) is None


def test_a_blurred_face_is_less_sharp_and_one_outside_has_no_sharpness() -> None:
    random = np.random.default_rng(3)
    pixels = random.integers(0, 256, (200, 200, 3), dtype=np.uint8)
    box = np.array([20.0, 30.0, 150.0, 170.0])
    blurred = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 2), np.uint8)
    sharp, soft = crops.sharpness(pixels, box), crops.sharpness(blurred, box)
    assert sharp is not None
    assert soft is not None
    assert sharp > 10 * soft
    assert crops.sharpness(pixels, np.array([210.0, 0.0, 260.0, 50.0])) is None


# --- Real detectors ------------------------------------------------------------------------------


def astronaut() -> NDArray[np.uint8]:
    with Image.open(PHOTOS["astronaut.png"]) as image:
        return np.array(image.convert("RGB"))


def over(region: Row, box: tuple[float, float, float, float]) -> float:
    """Return the intersection over union of a region and a box (x, y, width, height)."""
    x, y, width, height = box
    wide = min(region["x"] + region["width"], x + width) - max(region["x"], x)
    high = min(region["y"] + region["height"], y + height) - max(region["y"], y)
    common = max(wide, 0) * max(high, 0)
    return float(common / (region["width"] * region["height"] + width * height - common))


# Drawn by eye: from the hairline to the chin.
ASTRONAUT = (172.0, 72.0, 104.0, 136.0)


def test_the_cascade_without_weights_finds_the_astronaut() -> None:
    left, top = 100, 10
    part = np.ascontiguousarray(astronaut()[top : top + 256, left : left + 256])
    (row,) = rows([seen(part)], detector="lbp")
    assert row["n_faces"] == 1
    face = (ASTRONAUT[0] - left, ASTRONAUT[1] - top, *ASTRONAUT[2:])
    assert over(row["regions"][0], face) > 0.4
    assert row["regions"][0]["score"] is None


def test_ultraface_finds_the_astronaut(shared: Path) -> None:
    own = facemodels.own(shared / "models" / "ultraface-rfb-320.onnx")
    (row,) = rows([seen(astronaut())], detector="ultraface", weights=own)
    assert row["n_faces"] == 1
    assert over(row["regions"][0], ASTRONAUT) > 0.6


# --- Bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('detector = "bufalo_l"', "did you mean 'buffalo_l'"),
        ('detector = "pack"', "no weights are named"),
        ('detector = "lbp"\nweights = { url = "x.onnx" }', "detector lbp has no weights"),
        ("recognition = true", "recognition takes a pack, and detector is 'ultraface'"),
        ('perceived = ["age"]', "age takes a pack"),
        ('perceived = ["race"]', "'age' or 'gender'"),
        ('output = "boxs"', "'none', 'count', 'boxes' or 'full'"),
        (
            'detector = "buffalo_l"\nrecognition = true\noutput = "count"',
            'recognition is only kept with output = "full"',
        ),
        ("[analyzers.faces.heads.mood]\nclases = []", "unknown key 'heads.mood.clases'"),
        (
            '[analyzers.faces.heads.m]\nweights = {url = "m"}\nclasses = ["a", "a"]',
            "two classes have the same name",
        ),
        (
            '[analyzers.faces.heads.m]\ncrop = "aligned"\nweights = {url="m"}\nclasses = ["a","b"]',
            "sees aligned faces",
        ),
        (
            (
                "[analyzers.faces.heads]\n"
                'm = {weights = {url = "m"}, classes = ["a", "b"]}\n'
                'm_probabilities = {weights = {url = "m"}, classes = ["a", "b"]}'
            ),
            "head 'm_probabilities' has the name of another one's probabilities",
        ),
    ],
)
def test_settings_that_cannot_hold_are_refused(lines: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_recipe(f"[analyzers.faces]\n{lines}\n", settings_of=analyzers.settings_of)
    assert told in str(caught.value)


def test_weights_without_a_digest_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = facemodels.ultraface(tmp_path / "u.onnx")
    text = f'[analyzers.faces]\ndetector = "ultraface"\nweights = {{ url = "{path}" }}\n'
    with pytest.raises(WeightsError, match="no sha256"):
        table_specs(read_recipe(text, settings_of=analyzers.settings_of))


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    face = facemodels.recognition(tmp_path / "r.onnx")
    noise = tmp_path / "noise.onnx"
    noise.write_bytes(b"no network")
    no_zip = Own(url=str(face), sha256=facemodels.own(face).sha256)
    for settings, told in [
        ({"detector": "ultraface", "weights": facemodels.own(face)}, "not of UltraFace's shape"),
        ({"detector": "ultraface", "weights": facemodels.own(noise)}, "cannot be run"),
        ({"detector": "pack", "weights": no_zip}, "no zip file"),
        (
            {"detector": "ultraface", "weights": Own(url=str(tmp_path / "gone"), sha256="0" * 64)},
            "gone",
        ),
    ]:
        with pytest.raises(WeightsError, match=told):
            Analyzer(Settings(**settings))


def test_a_pack_that_lacks_a_model_says_which_it_has(tmp_path: Path) -> None:
    lacking = facemodels.pack(tmp_path, without=["w_made.onnx"])
    settings = {"detector": "pack", "weights": facemodels.own(lacking)}
    with pytest.raises(WeightsError, match="no model for recognition; it has detection, genderage"):
        Analyzer(Settings(**settings, recognition=True))
    empty = facemodels.pack(tmp_path, without=["det_made.onnx", "w_made.onnx"])
    with pytest.raises(WeightsError, match="no model for detection"):
        Analyzer(Settings(detector="pack", weights=facemodels.own(empty)))


def test_a_pack_that_does_not_fit_ends_a_run_before_anything_is_written(
    tmp_path: Path, of_pack: dict[str, Any]
) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(facemodels.red_squares((64, 48), [])).save(tmp_path / "in/a.png")
    lacking = facemodels.own(facemodels.pack(tmp_path, without=["w_made.onnx"]))
    settings = Settings(**of_pack | {"weights": lacking}, recognition=True)
    with pytest.raises(WeightsError, match="no model for recognition"):
        run(tmp_path / "in", tmp_path / "d", settings, tmp_path / "cache")
    assert not (tmp_path / "d").exists()


def test_a_head_with_another_number_of_outputs_is_refused(tmp_path: Path) -> None:
    own = facemodels.own(facemodels.head(tmp_path / "h.onnx", np.ones((3, 4))))
    for change, told in [
        ({"classes": ("a", "b")}, "head h says 4 numbers of a face, and classes names 2"),
        ({"classes": tuple("abcd"), "colors": "grey"}, "no square of a fixed size with 1 channels"),
    ]:
        with pytest.raises(WeightsError, match=told):
            Analyzer(Settings(detector="lbp", heads={"h": {"weights": own, **change}}))


def test_only_what_is_asked_for_is_loaded(pack: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(pack) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "1k3d68.onnx").write_bytes((tmp_path / "1k3d68.onnx").read_bytes())
    found = Pack(tmp_path)
    assert found.model("recognition").taskname == "recognition"
    assert found.model("genderage").taskname == "genderage"
    assert found.model("landmark_3d_68").require_pose
