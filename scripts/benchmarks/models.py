"""A ResNet50 embedding, from JPEG to Parquet: how near a bare loop on ready tensors, and a peer.

The bare loop has nothing to do but to call ONNX Runtime: tensors as the network takes them lie in
memory. Both have the same weights, batch and threads. The peer is Ray Data with torch as its
documentation writes it. The weights are random: speed does not depend on them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.corpus import photos, read_once
from scripts.benchmarks.peers import SILENT
from scripts.benchmarks.product import run_imgbatch
from scripts.benchmarks.report import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benchmarks.product import Run
    from scripts.benchmarks.setting import Setting

BARE_BAR = 0.85
PEER_BAR = 2.0
MOST = 1000  # at 10 to 40 a second
BATCH = 32  # imgbatch's on a CPU
SECTION = "models"


def measure(setting: Setting) -> list[Figure]:
    """Run the bare loop, imgbatch and the peer in turn, as often as asked."""
    count = min(setting.images, MOST)
    folder = photos(setting, count)
    read_once(folder)
    made = _network(setting)
    embed = _recipe(made, "embed", "classify", only="embed")
    both = _recipe(made, "embed", "classify")
    _ours(setting, photos(setting, BATCH), embed, BATCH)  # its ONNX file is made once, here
    bare, ours, shared, peer = [], [], [], []
    for _ in range(setting.repeats):
        bare.append(_bare(setting, made, count))
        ours.append(_ours(setting, folder, embed, count))
        shared.append(_ours(setting, folder, both, count))
        peer.append(_peer(setting, made, folder, count))
    alone = tuple(run.after_start_up for run in ours)
    return [
        Figure(
            SECTION,
            "ResNet50 embedding, from JPEG, after start-up",
            alone,
            "images/s",
            "bare ONNX Runtime loop, ready tensors",
            tuple(bare),
            low=BARE_BAR,
        ),
        Figure(
            SECTION,
            "labels and embedding of one network",
            tuple(run.after_start_up for run in shared),
            "images/s",
            "embedding alone",
            alone,
        ),
        Figure(
            SECTION,
            "ResNet50 embedding, all in",
            tuple(run.all_in for run in ours),
            "images/s",
            "Ray Data + torch, all in",
            tuple(peer),
            low=PEER_BAR,
        ),
    ]


def _network(setting: Setting) -> Path:
    """Return a folder with weights, their digest, and the bare loop's ONNX file."""
    folder = setting.out / "models"
    if not (folder / "made.json").exists():
        run_child(module("bare_onnx", "make", folder), log=setting.log("models-make"))
    return folder


def _recipe(made: Path, *analyzers: str, only: str = "") -> Path:
    """Write a recipe of analyzers on that network; `only` one of them."""
    sha256 = json.loads((made / "made.json").read_bytes())["sha256"]
    path = made / "resnet50.pth"
    lines = ["[media]", "min_side = 256"]
    for name in analyzers:
        if name in (only or name):
            lines += [
                f"[analyzers.{name}]",
                'model = "resnet50"',
                f'weights = {{ url = "{path}", sha256 = "{sha256}" }}',
            ]
    recipe = made / f"{only or 'both'}.toml"
    recipe.write_text("\n".join(lines) + "\n")
    return recipe


def _bare(setting: Setting, made: Path, count: int) -> float:
    command = module("bare_onnx", "run", made, count, setting.threads, BATCH)
    answer = run_child(command, log=setting.log("bare-onnx")).answer
    return float(answer["images"] / answer["seconds"])


def _ours(setting: Setting, folder: Path, recipe: Path, count: int) -> Run:
    variables = {"IMGBATCH_MODEL_CACHE": str(setting.out / "models" / "cache")}
    return run_imgbatch(
        setting, folder, engine="inline", expected=count, recipe=recipe, environment=variables
    )


def _peer(setting: Setting, made: Path, folder: Path, count: int) -> float:
    """Return images/s of Ray Data with torch, all in.

    Raises:
        SystemExit: it failed, or wrote another number of rows than there are pictures.
    """
    out = setting.fresh("peer-ray-torch")
    command = module("peer_ray_torch", made / "resnet50.pth", folder, out)
    environment = {**SILENT, "PYTHONPATH": str(setting.out / "peers" / "pandas")}
    ended = run_child(command, log=setting.log("peer-ray-torch"), environment=environment)
    if ended.answer["rows"] != count:
        raise SystemExit(f"bench: Ray Data wrote {ended.answer['rows']} rows of {count}")
    return count / ended.seconds
