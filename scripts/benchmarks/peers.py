"""The same rows made with Ray Data and with Daft: how many times faster imgbatch is, all in.

Everything is timed alike: one process, from its start to its end, with Parquet on the disk. The
peers live in an environment of their own, which `scripts/bench` makes.

Like is held against like: Ray Data starts a Ray, as our engine `ray` does; Daft works in its own
process, as `inline` does. What Ray's start costs beside Daft is shown too, without a bar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.benchmarks.child import ROOT, run_child
from scripts.benchmarks.corpus import photos, read_once
from scripts.benchmarks.product import run_imgbatch
from scripts.benchmarks.report import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benchmarks.setting import Setting

BAR = 4.0
PEERS = {
    "Ray Data, read_images": ("peer_ray_data.py", "images"),
    "Ray Data, read_binary_files": ("peer_ray_data.py", "bytes"),
    "Daft": ("peer_daft.py",),
}
# Tuned by hand with our own decoder's trick: what a peer could reach, and no bar.
TUNED = "Ray Data, read_binary_files"
# They send usage reports otherwise.
SILENT = {"RAY_USAGE_STATS_ENABLED": "0", "DO_NOT_TRACK": "true"}


def peer_rate(setting: Setting, folder: Path, name: str) -> float:
    """Return images/s of a peer, all in.

    Raises:
        SystemExit: it failed, or wrote another number of rows than there are pictures.
    """
    script, *way = PEERS[name]
    label = "-".join([script.removesuffix(".py"), *way])
    python = setting.out / "peers" / "bin" / "python"
    path = ROOT / "scripts" / "benchmarks" / script
    command = [python, path, *way, folder, setting.fresh(label)]
    # Its workers import the script's neighbours too.
    environment = {**SILENT, "PYTHONPATH": str(path.parent)}
    ended = run_child(command, log=setting.log(label), environment=environment)
    if ended.answer["rows"] != setting.images:
        raise SystemExit(f"bench: {name} wrote {ended.answer['rows']} rows of {setting.images}")
    return setting.images / ended.seconds


def measure(setting: Setting) -> list[Figure]:
    """Run the peers and both engines of imgbatch in turn, as often as asked."""
    folder = photos(setting, setting.images)
    read_once(folder)
    peers: dict[str, list[float]] = {name: [] for name in PEERS}
    ours: dict[str, list[float]] = {"inline": [], "ray": []}
    for _ in range(setting.repeats):
        for name, rates in peers.items():
            rates.append(peer_rate(setting, folder, name))
        for engine, rates in ours.items():
            run = run_imgbatch(setting, folder, engine=engine, expected=setting.images)
            rates.append(run.all_in)
    return [
        Figure(
            "peers",
            f"imgbatch {engine}",
            tuple(own),
            "images/s",
            name,
            tuple(rates),
            low=_bar(engine, name),
        )
        for engine, own in ours.items()
        for name, rates in peers.items()
    ]


def _bar(engine: str, name: str) -> float | None:
    return None if name == TUNED or (engine, name) == ("ray", "Daft") else BAR
