"""Weights that hold no numbers, or from which nothing can be learned of a picture, are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torchvision", reason="the extra `models` is not installed")

import torch
from torchvision import models

from imgbatch.analyzers import classify, embed, objects
from imgbatch.analyzers import clip as clip_analyzer
from imgbatch.errors import WeightsError
from imgbatch.models import networks as our
from imgbatch.models.weights import Own
from tests import corpus, networks
from tests.analyzers.test_networks import toml
from tests.detectors import CLASSES, SMALL, small_detector

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SHOWN = {"input": 64, "resize": 70}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGBATCH_MODEL_CACHE", str(tmp_path / "cache"))


def resnet(folder: Path, classes: int, **broken: float) -> dict[str, Any]:
    """Write a ResNet18 whose named tensors begin with a number; return what chooses it."""
    torch.manual_seed(5)
    state = models.resnet18(num_classes=max(1, classes)).state_dict()
    if not classes:
        state |= {name: state[name][:0] for name in ("fc.weight", "fc.bias")}
    for name, value in broken.items():
        state[name.replace("__", ".")].view(-1)[0] = value
    weights = networks.saved(state, folder / "own.pth")
    return {"model": "resnet18", "weights": weights, "preprocess": SHOWN}


def refused(folder: Path, name: str, chosen: Mapping[str, Any]) -> str:
    """Return why a run is refused, which writes nothing."""
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / "a.png").write_bytes(corpus.PHOTOS["astronaut.png"].read_bytes())
    keys = {**chosen, "weights": chosen["weights"].model_dump()}
    with pytest.raises(WeightsError) as raised:
        corpus.run_inline(folder / "in", folder / "d", recipe=toml({}, {name: keys}))
    assert raised.value.exit_code == 23
    assert not (folder / "d" / "manifest").exists()
    return f"{raised.value} To do: {raised.value.remedy}"


@pytest.mark.slow
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_weights_that_hold_no_number_are_refused_by_the_tensor(
    value: float, precision: str, tmp_path: Path
) -> None:
    # A variance that is infinite makes all outputs finite, and says the same of each picture.
    broken = {"fc__weight": value, "layer1__0__bn1__running_var": value}
    chosen = resnet(tmp_path, 2, **broken) | {"precision": precision}
    said = refused(tmp_path, "classify" if precision == "float32" else "embed", chosen)
    assert "own.pth holds NaN or infinite numbers" in said
    assert "layer1.0.bn1.running_var (1 of 64), fc.weight (1 of 1,024)" in said
    assert "ONNX" not in said
    assert "Report" not in said


@pytest.mark.slow
def test_weights_of_clip_and_of_detectors_are_looked_at_alike(tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    state = small_detector().state_dict()
    state["backbone.features.0.0.0.weight"].view(-1)[3:5] = float("nan")
    own = networks.saved(state, tmp_path / "own.pth")
    with pytest.raises(WeightsError, match=r"own\.pth holds NaN .*features.0.0.0.weight \(2 of "):
        objects.check(objects.Settings(model=SMALL, weights=own))
    chosen = networks.clip_network(tmp_path)
    state = networks.load(tmp_path / "clip.safetensors")
    state["ln_final.bias"].view(-1)[0] = float("inf")
    chosen["weights"] = networks.saved(state, tmp_path / "clip.safetensors")
    with pytest.raises(WeightsError, match=r"clip\.safetensors holds NaN .*ln_final.bias \(1 of"):
        clip_analyzer.check(clip_analyzer.Settings(**chosen))


def test_numbers_that_are_too_large_for_float32_are_none(tmp_path: Path) -> None:
    networks.saved({"a": torch.tensor([1e300], dtype=torch.float64)}, tmp_path / "own.pth")
    with pytest.raises(WeightsError, match=r"infinite numbers: a \(1 of 1\)"):
        our.tensors(tmp_path / "own.pth")
    whole = {"a": torch.ones(2, dtype=torch.float16), "n": torch.tensor(7), "none": torch.ones(0)}
    networks.saved(whole, tmp_path / "own.pth")
    assert our.tensors(tmp_path / "own.pth")["a"].dtype == torch.float32


@pytest.mark.slow
def test_finite_weights_that_give_no_number_are_told_so(tmp_path: Path) -> None:
    chosen = resnet(tmp_path, 2, bn1__running_var=-5.0)
    said = refused(tmp_path, "embed", chosen)
    assert "resnet18 gives NaN or infinite numbers" in said
    assert "something else in ONNX Runtime" not in said


@pytest.mark.slow
@pytest.mark.parametrize("classes", [0, 1])
def test_weights_of_less_than_two_classes_tell_nothing_of_a_picture(
    classes: int, tmp_path: Path
) -> None:
    chosen = resnet(tmp_path, classes)
    said = refused(tmp_path, "classify", chosen)
    told = ("own.pth has no class: fc.weight is empty", "the weights of resnet18 have one class")
    assert told[classes] in said
    if classes:
        # What the last layer is shown is as good as any.
        embed.check(embed.Settings(**chosen))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["no", "yes", "no"], "apart: 'no' stands at 1 and 3"),
        (["no", "yes", " no "], "apart: 'no' stands at 1 and 3"),
        (["no", "", "yes"], "apart: 2 is empty"),
        (["no", "yes", " \t"], "apart: 3 is empty"),
        (["", "a", "b", "a", "b", " "], "1 and 6 are empty; 'a' stands at 2 and 4; 'b' stands at"),
        (["a"] * 9, "'a' stands at 1, 2, 3 and 6 more"),
        ([*"abcdabcd"], "'c' stands at 3 and 7; and 1 more"),
    ],
)
def test_class_names_that_do_not_tell_classes_apart_are_refused(
    names: list[str], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "names.txt"
    file.write_text("\n".join(names) + "\n")
    own = Own(url="own.pth", sha256="0" * 64)
    for named in (names, str(file)):
        settings = classify.Settings(model="resnet18", weights=own, classes=named)
        with pytest.raises(WeightsError) as raised:
            classify._names(settings, len(names))
        assert said in str(raised.value)
    different = [f"{name.strip()} {place}" for place, name in enumerate(names)]
    settings = classify.Settings(model="resnet18", weights=own, classes=different)
    assert classify._names(settings, len(names))[0] == tuple(different)


@pytest.mark.slow
def test_a_run_with_doubled_class_names_writes_nothing(tmp_path: Path) -> None:
    chosen = resnet(tmp_path, 3) | {"classes": ["no", "yes", "no"]}
    assert "'no' stands at 1 and 3" in refused(tmp_path, "classify", chosen)


@pytest.mark.slow
def test_names_of_objects_are_told_apart_from_number_1_on(tmp_path: Path) -> None:
    own = networks.saved(small_detector().state_dict(), tmp_path / "own.pth")
    for names, said in (
        (("flag", "banner", "flag"), "'flag' stands at 1 and 3"),
        (("flag", " ", "banner"), "2 is empty"),
    ):
        settings = objects.Settings(model=SMALL, weights=own, classes=names)
        for look in (objects.check, objects.Analyzer):
            with pytest.raises(WeightsError, match=said):
                look(settings)
    objects.check(objects.Settings(model=SMALL, weights=own, classes=CLASSES))


@pytest.mark.slow
@pytest.mark.parametrize("name", [SMALL, "retinanet_resnet50_fpn_v2"])
def test_a_detector_of_the_ground_alone_finds_nothing_and_one_more_is_enough(
    name: str, tmp_path: Path
) -> None:
    for classes in (1, 2):
        torch.manual_seed(5)
        network = models.get_model(
            name, weights=None, weights_backbone=None, num_classes=classes
        ).eval()
        own = networks.saved(network.state_dict(), tmp_path / f"{classes}.pth")
        settings = objects.Settings(model=name, weights=own)
        if classes == 1:
            with pytest.raises(WeightsError, match="no class beside the ground"):
                objects.check(settings)
        else:
            objects.check(settings)
