"""Networks on a real GPU: as on the CPU, picture by picture, and in the memory that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from imgbatch.dataset import Dataset
from imgbatch.models.nets import Net
from imgbatch.models.preprocessing import Preprocess
from imgbatch.settings import Limits
from tests import corpus, networks

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")

from imgbatch.models.networks import Classifier, Served  # noqa: E402 - after importorskip
from imgbatch.models.torch_engine import PART, TorchEngine  # noqa: E402 - the same

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch shows no CUDA device here")
SIDE = 64


def engine(device: str, precision: str = "float32", side: int = SIDE) -> TorchEngine:
    torch.manual_seed(5)
    body = Classifier(torchvision.models.resnet18(num_classes=10).eval(), "fc")
    module = Served(body, Preprocess(input=side, resize=side)).eval()
    return TorchEngine(module, torch.device(device), precision=precision)


def pixels(count: int, side: int = SIDE) -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(1)
    return list(random.integers(0, 256, (count, side, side, 3), dtype=np.uint8))


def whole(outputs: list[Any], number: int) -> NDArray[np.float32]:
    return np.stack([one[number] for one in outputs])


@cuda
@pytest.mark.parametrize("count", [1, PART, 3 * PART + 5])
def test_a_gpu_gives_each_picture_what_the_cpu_gives_it(count: int) -> None:
    """Both buffers are filled again and again: a picture that is overtaken shows in its row."""
    shown = pixels(count)
    right, served = engine("cpu").run(shown), engine("cuda")
    for _ in range(5):
        found = served.run(shown)
        for number in (0, 1):
            ours, theirs = whole(found, number), whole(right, number)
            assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


@cuda
def test_single_precision_is_not_tensorfloat_on_a_gpu() -> None:
    engine("cuda")
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"


@pytest.fixture
def little_memory() -> Iterator[Any]:
    """Takes the number of bytes that torch may have of the GPU; the rest of it comes back."""

    def bound(most: int) -> None:
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(most / total)

    yield bound
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def held(served: TorchEngine, shown: list[NDArray[np.uint8]]) -> int:
    """Return how much of the GPU torch reserves for so many pictures."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    served.run(shown)
    return int(torch.cuda.max_memory_reserved())


@cuda
def test_a_batch_that_a_gpu_has_no_room_for_is_halved_until_it_fits(little_memory: Any) -> None:
    side = 224
    served, shown = engine("cuda", side=side), pixels(2 * PART, side)
    right = served.run(shown)
    few, many = (held(served, shown[:count]) for count in (8, PART))
    assert many > few
    net = Net(served, Preprocess(input=side, resize=side), batch=2 * PART)
    little_memory(few + (many - few) // 8)
    found = net.outputs([net.prepare(picture) for picture in shown])
    assert 8 <= net._batches.size < PART
    for number in (0, 1):
        ours, theirs = whole(found, number), whole(right, number)
        assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


@cuda
@pytest.mark.slow
def test_half_precision_on_a_gpu_names_the_digits_that_single_precision_names() -> None:
    from scripts.benchmarks.gpu import AGREEMENT_BAR, DIGITS
    from scripts.benchmarks.gpu_ways import agree

    found = agree("cuda", DIGITS)
    assert found["pictures"] == DIGITS
    assert found["agreement"] * 100 >= AGREEMENT_BAR


@cuda
@pytest.mark.slow
def test_rows_that_a_gpu_made_are_those_of_the_cpu(tmp_path: Path, model_cache: Path) -> None:
    chosen = networks.classifier(tmp_path)
    own, (shown,) = chosen["weights"], [chosen["preprocess"]]
    recipe = (
        "[media]\nmin_side = 128\n[analyzers.classify]\nmodel = 'resnet18'\nprobabilities = true\n"
        f"weights = {{ url = '{own.url}', sha256 = '{own.sha256}' }}\n"
        f"preprocess = {{ input = {shown['input']}, resize = {shown['resize']} }}\n"
    )
    (tmp_path / "in").mkdir()
    for name, path in corpus.PHOTOS.items():
        (tmp_path / "in" / name).write_bytes(path.read_bytes())
    rows = []
    for device in ("cpu", "cuda"):
        limits = Limits(threads=2, device=device, model_cache=str(model_cache))
        corpus.run_inline(tmp_path / "in", tmp_path / device, recipe=recipe, limits=limits)
        table = Dataset.open(str(tmp_path / device)).read("classify").sort_by("picture_id")
        assert set(table["status"].to_pylist()) == {"ok"}
        rows.append(np.array(table["probabilities"].to_pylist()))
    assert np.abs(rows[0] - rows[1]).max() <= 1e-4
