"""The registry is what the installed libraries say; states are tensors, and never run anything."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.errors import WeightsError
from imgbatch.models.choice import Choice, network
from imgbatch.models.export import exported
from imgbatch.models.registry import find, known, wordnet_ids
from imgbatch.models.state import load_state
from imgbatch.models.weights import Own, fetch
from tests import networks

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.models.registry import Model
    from tests.servers.files import Files

torch = pytest.importorskip("torch", reason="the extra `models` is not installed")
open_clip = pytest.importorskip("open_clip", reason="the extra `models` is not installed")
torchvision = pytest.importorskip("torchvision", reason="the extra `models` is not installed")


def of(loader: str, task: str = "") -> list[Model]:
    return [m for m in known() if m.loader == loader and task in ("", m.task)]


@pytest.mark.parametrize("model", of("torchvision"), ids=lambda model: model.name)
def test_torchvision_says_the_same_of_where_weights_come_from(model: Model) -> None:
    said = torchvision.models.get_model_weights(model.builder)[model.variant]
    assert model.url == said.url
    found = torch.hub.HASH_REGEX.search(said.url.rpartition("/")[2])
    assert found[1] == model.sha256
    assert model.size == round(said.meta["_file_size"] * 2**20)
    is_default = said is torchvision.models.get_model_weights(model.builder).DEFAULT
    assert model.name == (model.builder if is_default else f"{model.builder}-v1")


@pytest.mark.parametrize("model", of("torchvision", "classification"), ids=lambda m: m.name)
def test_torchvision_says_the_same_of_how_pictures_are_prepared(model: Model) -> None:
    said = torchvision.models.get_model_weights(model.builder)[model.variant]
    prepared = said.transforms()
    assert ([model.input], [model.resize]) == (prepared.crop_size, prepared.resize_size)
    assert model.interpolation == prepared.interpolation.value
    assert (model.mean, model.std) == (tuple(prepared.mean), tuple(prepared.std))
    assert len(said.meta["categories"]) == len(wordnet_ids())


def test_torchvision_has_no_newer_weights_of_a_classifier_that_we_lack() -> None:
    ours = {(m.builder, m.variant) for m in of("torchvision", "classification")}
    for builder, _ in ours:
        names = [w.name for w in torchvision.models.get_model_weights(builder)]
        assert {(builder, n) for n in names if re.fullmatch(r"IMAGENET1K_V\d", n)} <= ours


@pytest.mark.parametrize("model", of("open_clip"), ids=lambda model: model.name)
def test_open_clip_says_the_same(model: Model) -> None:
    said = open_clip.get_pretrained_cfg(model.builder, model.variant)
    if model.url.endswith(".safetensors"):
        assert f"/{said['hf_hub']}resolve/" in model.url
        assert model.url.endswith(f"/{open_clip.constants.HF_SAFE_WEIGHTS_NAME}")
        assert len(model.sha256) == 64
    else:
        assert model.url == said["url"]
        assert model.url.endswith(f"-{model.sha256}.pt")
    assert (model.mean, model.std) == (tuple(said["mean"]), tuple(said["std"]))
    assert (model.interpolation, said["resize_mode"]) == (said["interpolation"], "shortest")
    assert said.get("quick_gelu", False) == model.builder.endswith("-quickgelu")
    config = open_clip.get_model_config(model.builder)
    assert model.input == model.resize == config["vision_cfg"]["image_size"]


@pytest.mark.parametrize("model", of("insightface-pack"), ids=lambda model: model.name)
def test_insightface_gets_its_packs_from_the_same_place(model: Model) -> None:
    storage = pytest.importorskip("insightface.utils.storage", reason="no extra `models`")
    assert model.url == storage.model_zoo_download_url(f"{model.builder}.zip")
    assert "non-commercial research only" in model.licence.limits


def test_ultraface_is_the_file_that_is_known_to_work(shared: Path) -> None:
    path, model = shared / "models" / "ultraface-rfb-320.onnx", find("ultraface-rfb-320")
    if not path.exists():
        pytest.skip("the shared folder has no UltraFace")
    data = path.read_bytes()
    assert (model.size, model.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_the_wordnet_ids_are_those_of_imagenet_in_its_order() -> None:
    ids = wordnet_ids()
    assert len(set(ids)) == 1000
    assert list(ids) == sorted(ids)
    assert all(re.fullmatch(r"n\d{8}", wnid) for wnid in ids)
    info = pytest.importorskip("timm.data", reason="timm is not installed").ImageNetInfo()
    assert list(ids) == info.label_names()


def served(hub: Files, path: Path) -> Path:
    """Return the file as it comes through the store: downloaded, verified, cached."""
    hub.files[path.name] = path.read_bytes()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return fetch(Own(url=f"{hub.url}/{path.name}", sha256=digest))


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("form", ["bare.pth", "wrapped.pt", "trained.bin", "safe.safetensors"])
def test_a_state_comes_through_the_store_as_it_was_saved(
    hub: Files, tmp_path: Path, form: str
) -> None:
    state = torchvision.models.mobilenet_v3_small(weights=None).state_dict()
    path = tmp_path / form
    if form.endswith(".safetensors"):
        from safetensors.torch import save_file

        save_file(state, path)
    else:
        wrapped: dict[str, Any] = {
            "bare.pth": state,
            "wrapped.pt": {"epoch": 3, "state_dict": state},
            "trained.bin": {"model": state, "step": 1},
        }
        torch.save(wrapped[form], path)
    found = load_state(served(hub, path))
    assert set(found) == set(state)
    assert all(torch.equal(found[name], value) for name, value in state.items())
    torchvision.models.mobilenet_v3_small(weights=None).load_state_dict(found)


@pytest.mark.slow
@pytest.mark.usefixtures("told")
def test_a_network_that_was_made_here_is_made_anew_once_it_is_damaged(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the extra `models` is not installed")
    chosen = network(Choice.model_validate(networks.classifier(tmp_path)), "classification")
    path = exported(chosen)
    written, made = path.stat().st_mtime_ns, path.read_bytes()
    assert exported(chosen).stat().st_mtime_ns == written
    path.write_bytes(made[:-1] + bytes([made[-1] ^ 1]))
    assert exported(chosen).read_bytes() == made


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("how", ["torch", "pickle", "inside"])
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_pickle_in_weights_is_refused_and_never_run(
    hub: Files, tmp_path: Path, how: str, ending: str
) -> None:
    path, made = tmp_path / f"evil.{ending}", tmp_path / "made"
    evil = Evil(made)
    if how == "pickle":
        path.write_bytes(pickle.dumps(evil))
    else:
        torch.save(evil if how == "torch" else {"weight": torch.ones(2), "x": evil}, path)
    with pytest.raises(WeightsError, match=r"evil\.\w+ (holds something else|is no safetensors)"):
        load_state(served(hub, path))
    assert not made.exists()
    if how == "pickle":  # the proof that it would have been
        pickle.loads(path.read_bytes())
        assert made.is_dir()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 half a file", b"<html>not found</html>"])
def test_what_is_no_weights_at_all_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "net.pth").write_bytes(data)
    with pytest.raises(WeightsError, match=r"net\.pth holds something else than tensors"):
        load_state(tmp_path / "net.pth")


def test_tensors_without_names_are_told(tmp_path: Path) -> None:
    torch.save([torch.ones(2)], tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="holds no tensors by name"):
        load_state(tmp_path / "net.pth")
