"""objects: what torchvision itself finds in a picture is what stands in the table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torchvision", reason="the extra `models` is not installed")

import torch
from torchvision import models
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection._utils import overwrite_eps
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops import FrozenBatchNorm2d
from torchvision.transforms.functional import convert_image_dtype, pil_to_tensor

from imgbatch import analyzers
from imgbatch.analyzers import objects
from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import SettingsError, WeightsError
from imgbatch.models import cache
from imgbatch.models.detectors import HEADS, build, coco_names, detector_of
from imgbatch.models.registry import find, known
from imgbatch.records import Facts, Picture
from imgbatch.settings import Limits, read_recipe
from imgbatch.tables import table_specs
from tests.corpus import PHOTOS, run_inline
from tests.detectors import CLASSES, SMALL, small_detector
from tests.networks import saved

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import nn

    from imgbatch.models.weights import Own

NAMES = ("astronaut.png", "rocket.jpg", "china.jpg")
EXACT = "[media]\nexact = true\nmin_side = 4096\n"


LIMITS = Limits(threads=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(LIMITS.threads)
    cache.adopt(LIMITS)
    yield
    torch.set_num_threads(before)
    cache.adopt(Limits())


@pytest.fixture(scope="module")
def network() -> nn.Module:
    found: nn.Module = small_detector()
    return found


@pytest.fixture(scope="module")
def own(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Own:
    return saved(network.state_dict(), tmp_path_factory.mktemp("weights") / "own.pth")


def settings(own: Own, **other: Any) -> objects.Settings:
    asked = {"min_score": 0.1, "max_regions": 20, "classes": CLASSES, **other}
    return objects.Settings(model=SMALL, weights=own, **asked)


def recipe(chosen: objects.Settings) -> str:
    said = chosen.model_dump(mode="json")
    own = said.pop("weights")
    lines = [f"{key} = {json.dumps(value)}" for key, value in said.items()]
    return "\n".join(
        [EXACT, "[analyzers.objects]", *lines, "[analyzers.objects.weights]"]
        + [f"{key} = {json.dumps(value)}" for key, value in own.items()]
    )


def plainly(network: nn.Module, path: Path) -> dict[str, Any]:
    """Find objects as torchvision's documentation does."""
    with Image.open(path) as image, torch.inference_mode():
        values = convert_image_dtype(pil_to_tensor(image.convert("RGB")), torch.float32)
        found: dict[str, Any] = network([values])[0]
    return found


def test_boxes_classes_and_scores_are_those_of_a_plain_script(
    tmp_path: Path, network: nn.Module, own: Own
) -> None:
    (tmp_path / "in").mkdir()
    for name in NAMES:
        (tmp_path / "in" / name).write_bytes(PHOTOS[name].read_bytes())
    run_inline(tmp_path / "in", tmp_path / "d", recipe=recipe(settings(own)), limits=LIMITS)
    dataset = Dataset.open(str(tmp_path / "d"))
    assert verify(dataset).problems == []
    listed = dataset.read("manifest").to_pylist()
    rows = dataset.read("objects_regions").sort_by("region").to_pylist()
    for source in listed:
        name = source["address"].rpartition("/")[2]
        plain = plainly(network, PHOTOS[name])
        certain = plain["scores"] >= 0.1
        ours = [row for row in rows if row["source_id"] == source["source_id"]]
        wanted = {key: value[certain][:20].numpy() for key, value in plain.items()}
        assert 0 < len(ours) == len(wanted["scores"])
        left_top = np.array([[row["x"], row["y"]] for row in ours])
        sides = np.array([[row["width"], row["height"]] for row in ours])
        boxes = np.hstack([left_top, left_top + sides])
        np.testing.assert_allclose(boxes, wanted["boxes"], rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose([r["score"] for r in ours], wanted["scores"], atol=1e-4)
        assert [row["class_index"] for row in ours] == wanted["labels"].tolist()
        assert [row["label"] for row in ours] == [CLASSES[i - 1] for i in wanted["labels"]]
        assert {row["coco_id"] for row in ours} == {None}
    main = dataset.read("objects").to_pylist()
    assert [r["n_objects"] for r in main] == [r["n_regions"] for r in main]


def picture(name: str, *, times: int = 1) -> Picture:
    """Return a photograph as decoded to one part of its full size."""
    with Image.open(PHOTOS[name]) as image:
        pixels = np.array(image.convert("RGB"))
    height, width = pixels.shape[:2]
    return Picture(pixels, 0, None, Facts("image", "PNG", "RGB", width * times, height * times))


def rows_of(chosen: objects.Settings, pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    analyzer = objects.Analyzer(chosen)
    return analyzer.infer([analyzer.prepare(one) for one in pictures])


def test_boxes_of_a_scaled_picture_are_told_at_full_size_and_within_it(own: Own) -> None:
    once, thrice = rows_of(settings(own), [picture("china.jpg"), picture("china.jpg", times=3)])
    assert len(once["regions"]) == len(thrice["regions"]) > 3
    for one, other in zip(once["regions"], thrice["regions"], strict=True):
        for side in ("x", "y", "width", "height"):
            assert other[side] == pytest.approx(3 * one[side])
            assert other[f"{side}_share"] == one[f"{side}_share"]
        assert one["x"] == pytest.approx(640 * one["x_share"])
        assert one["y"] == pytest.approx(427 * one["y_share"])
        assert one["area_share"] == pytest.approx(one["width"] * one["height"] / 640 / 427)
        assert one["x"] + one["width"] <= 640.001
        assert min(one["x"], one["y"], one["width"], one["height"]) >= 0


def test_a_pictures_rows_do_not_depend_on_what_is_in_its_batch(own: Own) -> None:
    pictures = [picture(name) for name in (*NAMES, "coffee.png", "astronaut.png")]
    chosen = settings(own)
    together = rows_of(chosen, pictures)
    assert together == [rows_of(chosen, [one])[0] for one in pictures]
    assert together[0] == together[4]


def test_the_most_certain_are_kept_and_nothing_below_the_bound(own: Own) -> None:
    all_ = rows_of(settings(own, min_score=0.0, max_regions=300), [picture("china.jpg")])[0]
    scores = [region["score"] for region in all_["regions"]]
    assert scores == sorted(scores, reverse=True)
    few = rows_of(settings(own, min_score=0.0, max_regions=4), [picture("china.jpg")])[0]
    assert few["regions"] == all_["regions"][:4]
    assert few["n_objects"] == 4
    bound = scores[7]
    some = rows_of(settings(own, min_score=bound, max_regions=300), [picture("china.jpg")])[0]
    assert [r["score"] for r in some["regions"]] == [s for s in scores if s >= bound]
    assert some["labels"] == sorted({r["label"] for r in some["regions"]})
    none = rows_of(settings(own, min_score=1.0), [picture("china.jpg")])[0]
    assert none == {"n_objects": 0, "labels": [], "regions": []}


def test_weights_without_names_give_numbers(own: Own) -> None:
    row = rows_of(settings(own, classes=()), [picture("china.jpg")])[0]
    assert row["labels"] is None
    assert {region["label"] for region in row["regions"]} == {None}
    assert {region["class_index"] for region in row["regions"]} <= {1, 2, 3}


@pytest.mark.slow
def test_a_picture_that_the_network_cannot_take_is_its_own_failure_only(tmp_path: Path) -> None:
    model = "fasterrcnn_mobilenet_v3_large_320_fpn"
    torch.manual_seed(1)
    network = models.get_model(model, weights=None, weights_backbone=None, num_classes=3)
    own = saved(network.state_dict(), tmp_path / "own.pth")
    (tmp_path / "in").mkdir()
    # brought to 640 x 320 at most, nothing is left of its width
    Image.new("RGB", (1, 2000), "red").save(tmp_path / "in/thread.png")
    for name in NAMES[:2]:
        (tmp_path / "in" / name).write_bytes(PHOTOS[name].read_bytes())
    chosen = objects.Settings(model=model, weights=own, min_score=0.2, max_regions=3)
    run_inline(tmp_path / "in", tmp_path / "d", recipe=recipe(chosen), limits=LIMITS)
    dataset = Dataset.open(str(tmp_path / "d"))
    assert verify(dataset).problems == []
    told = dataset.read("objects").to_pylist()
    assert sorted(row["status"] for row in told) == ["failed", "ok", "ok"]
    assert next(row["n_regions"] for row in told if row["status"] == "failed") is None
    assert {row["n_regions"] for row in told if row["status"] == "ok"} == {3}


def test_one_copy_of_a_network_serves_all_who_ask(own: Own) -> None:
    first, second = (objects.Analyzer(settings(own, min_score=s)) for s in (0.1, 0.9))
    assert first._detector is second._detector
    assert first._detector is detector_of(find(SMALL), own, batch=1)


def test_every_detection_network_of_the_registry_is_built_from_a_state_alone() -> None:
    for model in known():
        if model.task != "detection":
            continue
        with torch.device("meta"):
            like = models.get_model(
                model.builder, weights=None, weights_backbone=None, num_classes=7
            )
        head, rows = HEADS[model.builder.partition("_")[0]]
        assert len(like.state_dict()[head]) == 7 * rows, model.name
        assert coco_names(model)[1] == "person"
        assert len(coco_names(model)) == 91


def frozen() -> Any:
    """Return the network whose published weights are used with batch norms that are frozen."""
    torch.manual_seed(2)
    body = models.resnet50(weights=None, norm_layer=FrozenBatchNorm2d)
    network = FasterRCNN(_resnet_fpn_extractor(body, 3), num_classes=5)
    for module in network.modules():
        if isinstance(module, FrozenBatchNorm2d):
            # so small that what is added to it can be seen, and told the layer after
            module.running_var.uniform_(1e-4, 2e-4)  # type: ignore[operator] # a tensor
            module.weight.fill_(1e-2)  # type: ignore[operator] # the same
    overwrite_eps(network, 0.0)
    return network.eval()


def test_weights_of_frozen_batch_norms_give_what_the_frozen_network_gives() -> None:
    made = frozen()
    network, classes = build("fasterrcnn_resnet50_fpn", dict(made.state_dict()))
    assert classes == 5
    values = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        ours, theirs = network.backbone(values), made.backbone(values)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-4)


def test_other_weights_are_refused_with_what_differs(tmp_path: Path, own: Own) -> None:
    unnamed = settings(own, classes=("flag",))
    for look in (objects.check, objects.Analyzer):
        with pytest.raises(WeightsError, match="have 3 classes beside the ground, and 1 are named"):
            look(unnamed)
    objects.check(settings(own))
    other = saved(torch.nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=f"not of {SMALL}: they lack head.classification_head"):
        objects.Analyzer(settings(other))
    state = small_detector().state_dict()
    del state["backbone.features.0.0.0.weight"]
    with pytest.raises(WeightsError, match=r"it lacks backbone.features.0.0.0.weight"):
        build(SMALL, dict(state))


def test_settings_are_refused_where_they_cannot_be_meant() -> None:
    def read(text: str) -> Any:
        return read_recipe(f"[analyzers.objects]\n{text}", settings_of=analyzers.settings_of)

    with pytest.raises(SettingsError, match="'resnet50' is for classification, not for detection"):
        read('model = "resnet50"')
    with pytest.raises(SettingsError, match="did you mean 'fasterrcnn_resnet50_fpn_v2'"):
        read('model = "fasterrcnn_resnet50_fpn_v3"')
    with pytest.raises(SettingsError, match="classes names those of weights of your own"):
        read('classes = ["flag"]')
    large = read('model = "fasterrcnn_resnet50_fpn_v2"')
    with pytest.raises(SettingsError, match="needs pictures of at least 800 pixels"):
        table_specs(large)
