"""Who drives a run finds out that weights do not fit, and needs no GPU for that: workers do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch import crew
from imgbatch.dataset import Dataset
from imgbatch.errors import MissingExtraError, RunError, SettingsError, WeightsError
from imgbatch.models import cache, devices, weights
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.summary import Request
from tests import corpus, facemodels, networks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from imgbatch.messages import Crewed, Finished, Job, Task, Tick

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("torch")
pytest.importorskip("insightface")

WIDE = 'model = "{model}"\npreprocess = {{ input = 64, resize = 70 }}\n'
TABLES = ("classify", "embed", "faces")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights of a ResNet18 of 10 classes, and a pack of face models."""
    folder = tmp_path_factory.mktemp("own")
    networks.classifier(folder)
    facemodels.pack(folder)
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return corpus.many(tmp_path / "in", 3)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Nothing is known to fit from a test before, and nothing is told to one after."""
    from imgbatch import ready

    kept = cache.told()
    ready._fitting.clear()
    yield
    cache.adopt(kept)


def table(name: str, own: Path, *, model: str = "resnet18", more: str = "") -> str:
    path = own / "resnet18.pth"
    said = f'weights = {{ url = "{path}", sha256 = "{networks.digest(path)}" }}\n'
    return f"[analyzers.{name}]\n{WIDE.format(model=model)}{said}{more}\n"


def faces(own: Path, *, more: str = "") -> str:
    path = own / "made.zip"
    said = f'weights = {{ url = "{path}", sha256 = "{networks.digest(path)}" }}\n'
    return f'[analyzers.faces]\ndetector = "pack"\nrecognition = true\n{said}{more}\n'


def all_tables(own: Path) -> str:
    return "[media]\nmin_side = 256\n" + table("classify", own) + table("embed", own) + faces(own)


class Elsewhere:
    """An engine whose worker is on a machine with another device than the driver's."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.told: list[Limits] = []

    def __call__(self, job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished | Crewed]:
        self.told.append(job.limits)
        yield from crew.inline(replace(job, limits=self.limits), tasks)


@pytest.fixture
def limits(model_cache: Path) -> Callable[..., Limits]:
    def make(**more: Any) -> Limits:
        made = Limits(threads=2, model_cache=str(model_cache), **more)
        weights.adopt(made)
        return made

    return make


@pytest.mark.slow
@pytest.mark.skipif(devices.cuda_devices() > 0, reason="this machine has CUDA")
def test_a_driver_without_a_gpu_comes_to_workers_that_have_one(
    own: Path, pictures: Path, limits: Callable[..., Limits], tmp_path: Path
) -> None:
    text = all_tables(own)
    workers = Elsewhere(limits(device="cpu"))
    request = Request(str(pictures), str(tmp_path / "d"), text, "ray", elsewhere=True)
    summary = run(request, limits(device="cuda"), workers, corpus.Silent())
    assert summary.outcomes == {"ok": 3}
    assert [told.device for told in workers.told] == ["cuda"]
    dataset = Dataset.open(str(tmp_path / "d"))
    assert [dataset.read(name).num_rows for name in TABLES] == [3, 3, 3]


@pytest.mark.skipif(devices.cuda_devices() > 0, reason="this machine has CUDA")
@pytest.mark.parametrize("name", TABLES)
def test_a_driver_whose_workers_are_here_refuses_a_gpu_that_is_not_and_writes_nothing(
    name: str, own: Path, pictures: Path, limits: Callable[..., Limits], tmp_path: Path
) -> None:
    text = "[media]\nmin_side = 256\n" + (faces(own) if name == "faces" else table(name, own))
    with pytest.raises(SettingsError, match="shows no CUDA device"):
        corpus.run_inline(pictures, tmp_path / "d", recipe=text, limits=limits(device="cuda"))
    assert not (tmp_path / "d").exists()


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(),
    reason="this ONNX Runtime can use CUDA",
)
def test_an_onnx_runtime_without_cuda_is_found_before_anything_is_written(
    own: Path,
    pictures: Path,
    limits: Callable[..., Limits],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "cuda_devices", lambda: 1)
    told = limits(device="cuda")
    text = f"[media]\nmin_side = 256\n{faces(own)}"
    with pytest.raises(MissingExtraError, match="this ONNX Runtime is built without CUDA"):
        corpus.run_inline(pictures, tmp_path / "d", recipe=text, limits=told)
    assert not (tmp_path / "d").exists()
    # Where workers are elsewhere, what they have is theirs.
    with pytest.raises(RunError, match="was to end"):
        start(pictures, tmp_path / "d", text, told)


@pytest.fixture(params=["cpu", "cuda of its workers", "cuda of its own"])
def told(
    request: pytest.FixtureRequest, limits: Callable[..., Limits], monkeypatch: pytest.MonkeyPatch
) -> Limits:
    """The limits of a driver: without CUDA, told to use its workers', with some of its own."""
    if request.param == "cuda of its own":
        monkeypatch.setattr(devices, "cuda_devices", lambda: 1)
        return limits()
    return limits(device=request.param[:4].strip())


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["classify", "embed", "clip"])
def test_weights_that_do_not_fit_are_found_before_anything_is_written(
    name: str, precision: str, own: Path, pictures: Path, told: Limits, tmp_path: Path
) -> None:
    precise = f'precision = "{precision}"\n'
    model = "ViT-S-32-alt" if name == "clip" else "mobilenet_v3_small"
    wrong = [table(name, own, model=model, more=precise)]
    if name == "classify":
        wrong.append(table(name, own, more=f'{precise}classes = ["yes", "no"]\n'))
    for text in wrong:
        with pytest.raises(WeightsError, match=r"is not of|10 classes, and 2 are named"):
            start(pictures, tmp_path / "d", f"[media]\nmin_side = 256\n{text}", told)
        assert not (tmp_path / "d").exists()


def test_a_pack_that_lacks_what_is_asked_for_is_found_before_anything_is_written(
    pictures: Path, told: Limits, tmp_path: Path
) -> None:
    (tmp_path / "pack").mkdir()
    facemodels.pack(tmp_path / "pack", without=("w_made.onnx",))
    with pytest.raises(WeightsError, match="has no model for recognition"):
        start(pictures, tmp_path / "d", faces(tmp_path / "pack"), told)
    assert not (tmp_path / "d").exists()


def start(pictures: Path, dataset: Path, text: str, limits: Limits) -> None:
    """Begin a run whose workers are elsewhere, and never come to anything."""

    def engine(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished | Crewed]:
        raise RunError(f"{job.run} was to end before its {len(tasks)} tasks")
        yield

    request = Request(str(pictures), str(dataset), text, "ray", elsewhere=True)
    run(request, limits, engine, corpus.Silent())
