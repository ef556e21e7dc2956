"""Networks on a GPU, from JPEG to Parquet: pictures a second, share of the pure pass, busy share.

The pure pass has nothing to do but to call the network, in torch as everybody would write it:
tensors lie ready on the device, weights are in the precision that is measured. Its share has a bar
where the cores could keep up: where they decode the same JPEGs, with no network, as fast as the
pure pass takes pictures. The weights are random: speed does not depend on them.

Whether half precision changes what is said is asked of a network that learned digits: a random one
says the same of every picture. Left out where torch shows no CUDA.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.corpus import photos, read_once
from scripts.benchmarks.gpu_busy import Busy
from scripts.benchmarks.product import run_imgbatch
from scripts.benchmarks.report import CONSOLE, Figure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.benchmarks.setting import Setting

SECTION = "gpu"
SHARE_BAR = 0.8
AGREEMENT_BAR = 99.5
BATCH = 128  # imgbatch's on a GPU
NETWORKS = {"ResNet50": "resnet50", "ViT-B/32": "vit_b_32"}
PRECISIONS = ("float16", "float32")
DIGITS = 797  # all that scikit-learn has beside those that are learned


def measure(setting: Setting) -> list[Figure]:
    """Measure on CUDA; no figures where torch shows none."""
    told = run_child(module("gpu_ways", "device"), log=setting.log("gpu-device")).answer
    if not told["cuda"]:
        CONSOLE.print("bench: not measured: gpu, torch shows no CUDA device here")
        return []
    CONSOLE.print(f"bench: gpu is {told['name']}")
    return measured(setting, "cuda", told["uuid"])


@dataclass(slots=True)
class _Rounds:
    """What the rounds of one network in one precision came to: images/s, and percents."""

    ours: list[float] = field(default_factory=list)
    pure: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)


def measured(setting: Setting, device: str, uuid: str = "") -> list[Figure]:
    """Run the pure pass and imgbatch in turn, for each network and precision, as often as asked.

    Args:
        setting: how many JPEGs, and how many rounds.
        device: cuda or cpu, what all of it computes on.
        uuid: of the GPU whose busy share is read; "" for none.
    """
    folder = photos(setting, setting.images)
    read_once(folder)
    made = _weights(setting)
    found = {(name, how): _Rounds() for name in NETWORKS for how in PRECISIONS}
    decoded: list[float] = []
    for _ in range(setting.repeats):
        decoded.append(_ours(setting, folder, _plain(made), device))
        for (name, how), rounds in found.items():
            rounds.pure.append(_pure(setting, made, NETWORKS[name], how, device))
            recipe = _recipe(made, NETWORKS[name], how)
            with Busy(uuid) as busy:
                rounds.ours.append(_ours(setting, folder, recipe, device))
            rounds.busy += busy.share()
    figures = [Figure(SECTION, "JPEGs decoded, no network", tuple(decoded), "images/s")]
    for (name, how), rounds in found.items():
        figures += _figures(f"{name} embedding, {how}", rounds, statistics.median(decoded))
    return [*figures, _agreement(setting, device)]


def _figures(name: str, rounds: _Rounds, decoded: float) -> Iterator[Figure]:
    enough = decoded >= statistics.median(rounds.pure)
    if not enough:
        CONSOLE.print(f"bench: not measured: the bar of {name}, too few cores to decode for it")
    yield Figure(
        SECTION,
        f"{name}, from JPEG, after start-up",
        tuple(rounds.ours),
        "images/s",
        "pure forward pass, ready tensors",
        tuple(rounds.pure),
        low=SHARE_BAR if enough else None,
    )
    if rounds.busy:
        yield Figure(SECTION, f"{name}, GPU busy", tuple(rounds.busy), "%")
    else:
        CONSOLE.print(f"bench: not measured: how busy the GPU is with {name}, its driver tells not")


def _agreement(setting: Setting, device: str) -> Figure:
    """Return how often half precision says what single precision says.

    Raises:
        SystemExit: the network did not learn to tell digits apart.
    """
    asked = module("gpu_ways", "agree", device, min(DIGITS, setting.images))
    answer = run_child(asked, log=setting.log("gpu-agree")).answer
    name = f"same top class of {answer['pictures']} digits in float16 and float32"
    return Figure(SECTION, name, (answer["agreement"] * 100,), "%", low=AGREEMENT_BAR)


def _weights(setting: Setting) -> Path:
    """Return a folder with weights of every network, and their digests."""
    folder = setting.out / "gpu"
    names = sorted(NETWORKS.values())
    if not all((folder / f"{name}.json").exists() for name in names):
        run_child(module("gpu_ways", "make", folder, *names), log=setting.log("gpu-make"))
    return folder


def _plain(made: Path) -> Path:
    """Write a recipe that decodes as much as a network is shown, and asks none."""
    recipe = made / "plain.toml"
    recipe.write_text("[media]\nmin_side = 256\n[analyzers.image]\n")
    return recipe


def _recipe(made: Path, network: str, precision: str) -> Path:
    told = json.loads((made / f"{network}.json").read_bytes())
    recipe = made / f"{network}-{precision}.toml"
    recipe.write_text(
        "[media]\nmin_side = 256\n[analyzers.embed]\n"
        f'model = "{network}"\nprecision = "{precision}"\n'
        f'weights = {{ url = "{told["path"]}", sha256 = "{told["sha256"]}" }}\n'
    )
    return recipe


def _pure(setting: Setting, made: Path, network: str, precision: str, device: str) -> float:
    words = (made / f"{network}.pth", network, precision, device, min(BATCH, setting.images))
    command = module("gpu_ways", "forward", *words, setting.images)
    answer = run_child(command, log=setting.log("gpu-forward")).answer
    return float(answer["images"] / answer["seconds"])


def _ours(setting: Setting, folder: Path, recipe: Path, device: str) -> float:
    variables = {
        "IMGBATCH_MODEL_CACHE": str(setting.out / "gpu" / "cache"),
        "IMGBATCH_DEVICE": device,
    }
    run = run_imgbatch(
        setting,
        folder,
        engine="inline",
        expected=setting.images,
        recipe=recipe,
        environment=variables,
    )
    return run.after_start_up
