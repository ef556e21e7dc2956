"""Eight faces a picture, detected and recognised: imgbatch against a loop of InsightFace's own.

On a CPU a network takes about as long for many faces at once as for each in turn: there is no bar,
and what is gained is that detection goes on meanwhile. Where ONNX Runtime computes on CUDA, both
ways, the bar is 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.report import CONSOLE, Figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scripts.benchmarks.child import Ended
    from scripts.benchmarks.setting import Setting

SECTION = "faces"
MOST = 200  # at 1 to 5 a second
CUDA_BAR = 2.0
CUDA = "CUDAExecutionProvider"
CALLS_BAR = 1.0
MB_BAR = 1500
MB = 1_000_000


def measure(setting: Setting) -> list[Figure]:
    """Run the loop and imgbatch in turn, as often as asked."""
    count = min(setting.images, MOST)
    made = setting.out / "faces"
    photos = made / f"photos-{count}"
    if not (made / "made.json").exists() or not photos.exists():
        run_child(module("faces_ways", "make", made, count), log=setting.log("faces-make"))
    loop = []
    ours: list[Ended] = []
    for _ in range(setting.repeats):
        loop.append(
            run_child(module("faces_ways", "loop", made, photos), log=_log(setting, "loop"))
        )
        ours.append(_ours(setting, made, photos))
    expected = {ended.answer["faces"] for ended in (*loop, *ours)}
    if expected != {count * 8}:
        raise SystemExit(f"bench: {count * 8} faces were to be found, not {expected}")
    providers = {ended.answer["provider"] for ended in (*loop, *ours)}
    if providers != {CUDA}:
        CONSOLE.print(f"bench: not measured: faces on a GPU, {', '.join(sorted(providers))} ran")
    return [
        Figure(SECTION, "8 faces a picture, from JPEG, after start-up", _rates(ours), "faces/s",
               "FaceAnalysis, picture by picture", _rates(loop),
               low=CUDA_BAR if providers == {CUDA} else None),
        *calls([ended.answer for ended in ours]),
        Figure(SECTION, "peak memory", tuple(e.peak_bytes / MB for e in ours), "MB", high=MB_BAR),
    ]  # fmt: skip


def calls(answers: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Return how often each network that sees faces was called, against the fewest calls."""
    least = tuple(float(answer["least_calls"]) for answer in answers)
    return [
        Figure(SECTION, f"calls of {part.lower()}",
               tuple(float(answer["calls"][part]) for answer in answers), "calls",
               "ceil(faces / batch)", least, high=CALLS_BAR)
        for part in answers[0]["calls"]
    ]  # fmt: skip


def _ours(setting: Setting, made: Path, photos: Path) -> Ended:
    variables = {
        "IMGBATCH_MODEL_CACHE": str(made / "cache"),
        "IMGBATCH_THREADS": str(setting.threads),
    }
    command = module("faces_ways", "imgbatch", made, photos, setting.fresh("faces"))
    return run_child(command, log=_log(setting, "imgbatch"), environment=variables)


def _log(setting: Setting, way: str) -> Path:
    return setting.log(f"faces-{way}")


def _rates(runs: list[Ended]) -> tuple[float, ...]:
    return tuple(ended.answer["faces"] / ended.answer["seconds"] for ended in runs)
