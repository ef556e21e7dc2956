"""Sessions, batches, networks: one copy in a process, one pass a picture, one export a machine."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from imgbatch.analyzers import classify, embed
from imgbatch.errors import MissingExtraError, SettingsError, WeightsError
from imgbatch.models import cache, devices, export, nets
from imgbatch.models.batches import RECOVER_AFTER, Batches, out_of_memory
from imgbatch.models.choice import network
from imgbatch.models.nets import BATCH, Net, OnnxEngine, net_of
from imgbatch.models.preprocessing import Preprocess, square
from imgbatch.models.sessions import batched, onnx_session, torch_device
from imgbatch.records import Facts, Picture
from imgbatch.settings import Limits
from tests import networks

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
onnx = pytest.importorskip("onnx")

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from imgbatch.models.choice import Network

FACTS = Facts("image", "PNG", "RGB", 90, 80)


@pytest.fixture(scope="module", autouse=True)
def limits(model_cache: Path) -> Iterator[None]:
    kept = cache.told()
    cache.adopt(Limits(threads=2, model_cache=str(model_cache)))
    yield
    cache.adopt(kept)


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return networks.classifier(tmp_path_factory.mktemp("own"))


def of(keys: dict[str, Any]) -> Network:
    return network(embed.Settings(**keys), "classification")


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    shape = (height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def pictures(count: int) -> list[Picture]:
    return [Picture(noise(80, 90, seed), 0, None, FACTS) for seed in range(count)]


class Small:
    """A device with room for so many items at once: torch's own error above that."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.tried: list[int] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.tried.append(len(items))
        if len(items) > self.room:
            raise torch.OutOfMemoryError(f"tried to allocate for {len(items)}")
        return [item * 2 for item in items]


def test_a_batch_that_runs_out_of_memory_is_halved_until_it_fits() -> None:
    call = Small(room=5)
    assert batched(call, range(20), 16) == [item * 2 for item in range(20)]
    assert call.tried == [16, 8, 4, 4, 4, 4, 4]


def test_a_batch_that_was_halved_grows_again_once_memory_is_back() -> None:
    call = Small(room=4)
    batches = Batches(16)
    batches.run(call, range(16))
    assert batches.size == 4
    call.room, call.tried = 16, []
    batches.run(call, range(4 * RECOVER_AFTER))
    assert batches.size == 8
    batches.run(call, range(8 * RECOVER_AFTER))
    assert batches.size == 16
    assert sorted(call.tried) == call.tried
    assert set(call.tried) == {4, 8, 16}


def test_one_item_that_does_not_fit_is_an_error_and_so_is_any_other() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        batched(Small(room=0), range(4), 4)

    def broken(items: Sequence[int]) -> list[int]:
        raise ValueError(f"{len(items)} at once")

    with pytest.raises(ValueError, match="4 at once"):
        batched(broken, range(4), 4)


def repeating(path: Path, times: int) -> Path:
    """Write an ONNX file that repeats its (n, 4) input so many times."""
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("Tile", ["x", "times"], ["y"])],
        "repeating",
        [helper.make_tensor_value_info("x", kinds.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", kinds.FLOAT, ["n", None])],
        [helper.make_tensor("times", kinds.INT64, [2], [1, times])],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def test_memory_that_onnx_runtime_does_not_find_is_known_by_its_words(tmp_path: Path) -> None:
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("ConstantOfShape", ["shape"], ["y"])],
        "zeros",
        [helper.make_tensor_value_info("shape", kinds.INT64, [1])],
        [helper.make_tensor_value_info("y", kinds.FLOAT, [None])],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "z.onnx")
    with pytest.raises(Exception, match="memory") as caught:
        onnx_session(tmp_path / "z.onnx").run(None, {"shape": np.array([2**48])})  # a petabyte
    assert out_of_memory(caught.value)
    assert not out_of_memory(ValueError("Failed to allocate memory"))


def test_a_file_has_one_session_whoever_asks_and_a_rewritten_one_another(tmp_path: Path) -> None:
    path = repeating(tmp_path / "i.onnx", 1)
    with ThreadPoolExecutor(8) as pool:
        sessions = list(pool.map(onnx_session, [path] * 32))
    assert len({id(session) for session in sessions}) == 1
    assert sessions[0].get_session_options().intra_op_num_threads == 2
    repeating(path, 3)
    found = onnx_session(path).run(None, {"x": np.ones((1, 4), np.float32)})[0]
    assert found.shape == (1, 12)


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(WeightsError, match=r"no\.onnx cannot be run by ONNX Runtime"):
        onnx_session(path)


@pytest.mark.skipif(devices.cuda_devices() > 0, reason="this machine has CUDA")
def test_cuda_that_is_asked_for_and_not_there_is_an_error(model_cache: Path) -> None:
    assert torch_device() == torch.device("cpu")
    kept = cache.told()
    cache.adopt(Limits(device="cuda", model_cache=str(model_cache)))
    try:
        with pytest.raises(SettingsError, match="shows no CUDA device"):
            torch_device()
    finally:
        cache.adopt(kept)


def test_a_missing_package_names_the_command_that_installs_it() -> None:
    with pytest.raises(MissingExtraError) as caught:
        devices.need("no_such_package_of_models")
    assert "scripts/setup models" in caught.value.remedy


@pytest.mark.parametrize(
    "size", [(80, 90), (90, 80), (64, 64), (1, 1), (2, 3), (301, 300), (33, 250)]
)
@pytest.mark.parametrize("way", ["bilinear", "bicubic"])
def test_what_a_network_is_shown_is_what_torchvision_shows_it(
    size: tuple[int, int], way: str
) -> None:
    pixels = noise(*size)
    functional = torchvision.transforms.functional
    resized = functional.resize(
        Image.fromarray(pixels), [70], torchvision.transforms.InterpolationMode(way)
    )
    right = np.asarray(functional.center_crop(resized, [63]))
    shown = Preprocess.model_validate({"input": 63, "resize": 70, "interpolation": way})
    assert np.array_equal(square(pixels, shown), right)


def test_a_picture_of_one_line_takes_no_more_memory_than_others() -> None:
    shown = Preprocess(input=224, resize=232)
    for pixels in (noise(1, 60_000), noise(60_000, 1)):
        assert square(pixels, shown).shape == (224, 224, 3)  # 9.7 GB if it were resized whole
    long = noise(100, 1000)
    whole = Image.fromarray(long).resize((700, 70), Image.Resampling.BILINEAR)
    right = np.asarray(whole.crop((318, 3, 382, 67))).astype(int)
    assert np.abs(square(long, Preprocess(input=64, resize=70)) - right).max() <= 2


class Counted:
    """An engine that notes how many pictures it was given, and at most takes so many."""

    def __init__(self, net: Net, room: int = 1000) -> None:
        self._engine = net._engine
        self._room = room
        self.given: list[int] = []

    def run(self, pixels: Sequence[NDArray[np.uint8]]) -> list[Any]:
        self.given.append(len(pixels))
        if len(pixels) > self._room:
            raise torch.OutOfMemoryError("no room")
        return self._engine.run(pixels)


@pytest.mark.slow
def test_labels_and_embedding_of_one_network_take_one_pass(
    chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = classify.Analyzer(classify.Settings(**chosen))
    vectors = embed.Analyzer(embed.Settings(**chosen))
    assert labels._net is vectors._net
    counted = Counted(labels._net)
    monkeypatch.setattr(labels._net, "_engine", counted)
    both = [(labels.prepare(p), vectors.prepare(p)) for p in pictures(10)]
    assert len(labels.infer([one for one, _ in both[:6]])) == 6
    assert len(vectors.infer([other for _, other in both])) == 10
    assert len(labels.infer([one for one, _ in both[6:]])) == 4
    assert counted.given == [6, 4]
    assert all(one.nbytes == 0 for one, _ in both)  # the pixels are let go


def test_threads_that_ask_at_once_have_each_picture_computed_once(
    chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = net_of(of(chosen))
    counted = Counted(net)
    monkeypatch.setattr(net, "_engine", counted)
    prepared = [net.prepare(p.pixels) for p in pictures(12)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: net.outputs(prepared), range(6)))
    assert sum(counted.given) == 12
    for outputs in found:
        assert all(np.array_equal(a[0], b[0]) for a, b in zip(outputs, found[0], strict=True))


def test_a_network_whose_batch_does_not_fit_gives_the_same_rows(chosen: dict[str, Any]) -> None:
    whole = net_of(of(chosen))
    counted = Counted(whole, room=3)
    tight = Net(counted, whole._shown, batch=BATCH["cpu"])
    shown = [p.pixels for p in pictures(10)]
    right = whole.outputs([whole.prepare(p) for p in shown])
    found = tight.outputs([tight.prepare(p) for p in shown])
    assert counted.given == [1, 10, 5, 3, 3, 3, 1]  # the first to learn the outputs' sizes
    for a, b in zip(found, right, strict=True):
        assert np.abs(a[1] - b[1]).max() < 1e-5


class Tight:
    """A session of ONNX Runtime with room for so many pictures at once, over all threads."""

    def __init__(self, session: Any, room: int) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._running = 0
        self.room = room
        self.peaks: list[int] = []
        self.calls: list[int] = []

    def run(self, names: None, fed: dict[str, NDArray[np.uint8]]) -> list[Any]:
        (pixels,) = fed.values()
        with self._lock:
            self._running += len(pixels)
            self.peaks.append(self._running)
            self.calls.append(len(pixels))
        try:
            time.sleep(0.02)  # the others come meanwhile
            with self._lock:
                if self._running > self.room:
                    raise MemoryError(f"{self._running} at once")
            return self._session.run(names, fed)
        finally:
            with self._lock:
                self._running -= len(pixels)


def of_four_threads(chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> OnnxEngine:
    monkeypatch.setattr(nets, "threads", lambda: 4)
    return OnnxEngine(export.exported(of(chosen)))


@pytest.mark.slow
@pytest.mark.parametrize("room", [1, 2, 3, 4, 7])
def test_where_memory_runs_out_fewer_threads_compute(
    room: int, chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = of_four_threads(chosen, monkeypatch)
    shown = [square(p.pixels, of(chosen).preprocess) for p in pictures(32)]
    right = engine.run(shown)
    tight = Tight(engine._session, room)
    monkeypatch.setattr(engine, "_session", tight)
    found = engine.run(shown)
    for mine, theirs in zip(found, right, strict=True):
        assert np.abs(mine[1] - theirs[1]).max() < 1e-5
    fits = {1: 1, 2: 2, 3: 2, 4: 4, 7: 4}[room]
    assert engine._room.size == fits
    tight.peaks.clear()
    engine.run(shown)
    assert max(tight.peaks) == fits


def test_nothing_of_a_try_runs_on_while_the_next_one_does(
    chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = of_four_threads(chosen, monkeypatch)
    shown = [square(p.pixels, of(chosen).preprocess) for p in pictures(8)]
    failed = threading.Event()
    running: list[int] = []
    left_over: list[int] = []
    session = engine._session

    class Late:
        """One thread fails at once; the others take a while."""

        def run(self, names: None, fed: dict[str, NDArray[np.uint8]]) -> list[Any]:
            if not failed.is_set():
                failed.set()
                raise MemoryError
            running.append(1)
            time.sleep(0.1)
            running.pop()
            return session.run(names, fed)

    monkeypatch.setattr(engine, "_session", Late())
    monkeypatch.setattr(nets, "let_go", lambda: left_over.append(len(running)))
    assert len(engine.run(shown)) == 8
    assert left_over == [0]


def test_an_engine_that_was_tight_takes_as_many_again_once_memory_is_back(
    chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = of_four_threads(chosen, monkeypatch)
    shown = [square(p.pixels, of(chosen).preprocess) for p in pictures(8)]
    tight = Tight(engine._session, 2)
    monkeypatch.setattr(engine, "_session", tight)
    engine.run(shown)
    assert engine._room.size == 2
    tight.room = 4
    for _ in range(RECOVER_AFTER):
        engine.run(shown)
    assert engine._room.size == 4


def test_memory_that_one_picture_alone_does_not_find_is_an_error_and_so_is_any_other(
    chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = of_four_threads(chosen, monkeypatch)
    shown = [square(p.pixels, of(chosen).preprocess) for p in pictures(4)]
    tight = Tight(engine._session, 0)
    monkeypatch.setattr(engine, "_session", tight)
    with pytest.raises(MemoryError, match="1 at once"):
        engine.run(shown)
    monkeypatch.setattr(engine, "_session", Tight(None, 8))
    with pytest.raises(AttributeError):
        engine.run(shown)


class Blind(Counted):
    """An engine that gives no numbers for the second picture of a batch."""

    def run(self, pixels: Sequence[NDArray[np.uint8]]) -> list[Any]:
        found = super().run(pixels)
        return [tuple(o * np.nan for o in one) if i == 1 else one for i, one in enumerate(found)]


def test_what_is_no_number_is_no_row_and_its_neighbours_keep_theirs(
    chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = embed.Analyzer(embed.Settings(**chosen))
    monkeypatch.setattr(vectors._net, "_engine", Blind(vectors._net))
    prepared = [vectors.prepare(p) for p in pictures(3)]
    with pytest.raises(ArithmeticError, match="no number"):
        vectors.infer(prepared)
    with pytest.raises(ArithmeticError, match="no number"):
        vectors.infer(prepared[1:2])
    assert len(vectors.infer([prepared[0], prepared[2]])) == 2


@pytest.mark.parametrize(
    ("precision", "apart"), [("float32", 1e-5), ("bfloat16", 5e-3), ("float16", 5e-3)]
)
def test_torch_gives_the_rows_of_onnx_runtime_in_each_precision(
    chosen: dict[str, Any], precision: str, apart: float
) -> None:
    from imgbatch.models.torch_engine import TorchEngine

    ours = of({**chosen, "precision": precision})
    engine = TorchEngine.of(ours, Path(ours.weights.url))
    right = net_of(of(chosen))
    shown = [square(p.pixels, ours.preprocess) for p in pictures(6)]
    for mine, theirs in zip(engine.run(shown), right._engine.run(shown), strict=True):
        likely = classify.softmax(np.stack([mine[0], theirs[0]]))
        assert np.abs(likely[0] - likely[1]).max() <= apart


def test_less_precision_runs_in_torch(chosen: dict[str, Any]) -> None:
    analyzer = embed.Analyzer(embed.Settings(**{**chosen, "precision": "bfloat16"}))
    assert type(analyzer._net._engine).__name__ == "TorchEngine"
    (row,) = analyzer.infer([analyzer.prepare(pictures(1)[0])])
    exact = embed.Analyzer(embed.Settings(**chosen))
    (right,) = exact.infer([exact.prepare(pictures(1)[0])])
    assert np.abs(row["embedding"] - right["embedding"]).max() <= embed.TOLERANCE


ASK = """
import json, sys
from imgbatch.analyzers import embed
from imgbatch.models.choice import network
from imgbatch.models.export import exported
settings = embed.Settings(**json.loads(sys.argv[1]))
path = exported(network(settings, "classification"))
analyzer = embed.Analyzer(settings)
print(path, "torch" in sys.modules)
"""


@pytest.mark.slow
def test_processes_that_ask_at_once_get_one_file_and_hold_no_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = networks.classifier(tmp_path)
    keys = json.dumps({**own, "weights": own["weights"].model_dump()})
    monkeypatch.setenv("IMGBATCH_MODEL_CACHE", str(tmp_path / "cache"))
    started = [
        subprocess.Popen([sys.executable, "-c", ASK, keys], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = {process.communicate()[0] for process in started}
    assert [process.returncode for process in started] == [0, 0, 0]
    (line,) = said
    path, torch_is_there = line.split()
    assert torch_is_there == "False"
    files = [file for file in (tmp_path / "cache" / "onnx").rglob("*") if file.is_file()]
    made = [str(file) for file in files if file.name != cache.LOCK]
    assert sorted(made) == [path, path + cache.SEAL]


def test_an_export_that_computes_something_else_is_refused() -> None:
    order = export.Order("torchvision", "resnet18", "", {}, "", 1)
    right = [np.full((3, 10), 4.0, np.float32)]
    export._compare(order, right, [right[0] + np.float32(2e-4)])
    for wrong in (right[0] + np.float32(1e-3), right[0] * np.nan):
        with pytest.raises(WeightsError, match="something else in ONNX Runtime than in torch"):
            export._compare(order, right, [wrong])


@pytest.mark.slow
def test_what_the_child_refuses_is_raised_here_with_its_remedy(chosen: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match=r"not of vgg11: it lacks classifier.6.weight") as caught:
        export.exported(of({**chosen, "model": "vgg11"}))
    assert "model.state_dict()" in caught.value.remedy


@pytest.mark.slow
def test_a_network_whose_name_leads_elsewhere_is_refused_and_writes_nothing_there(
    chosen: dict[str, Any],
) -> None:
    outside = cache.folder().parent.parent / "made"
    with pytest.raises(SettingsError, match="torchvision has no network"):
        export.exported(of({**chosen, "model": "../../../made/elsewhere"}))
    assert not outside.exists()


def test_a_name_of_a_hub_is_no_network_and_no_hub_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = pytest.importorskip("open_clip")
    from imgbatch.models import networks as built

    (tmp_path / "open_clip_config.json").write_text('{"model_cfg": {"text_cfg": {}}}')
    asked: list[str] = []
    monkeypatch.setattr(clip.factory, "_get_hf_config", lambda name: asked.append(name) or {})
    for name in ("hf-hub:org/name", f"local-dir:{tmp_path}"):
        with pytest.raises(SettingsError, match="open_clip has no network"):
            built.clip(name, tmp_path / "none.safetensors")
    assert asked == []
