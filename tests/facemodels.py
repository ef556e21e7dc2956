"""Face models with known behaviour, as ONNX files of the shapes that the real ones have.

The detectors fire on squares of pure red, and say exactly where their edges are: the box of a
square is where it was drawn. An anchor's distance to an edge is the number of red pixels on the way
to it, so squares in the same rows or columns must lie farther apart than `reach`.

The other networks say what the mean colors of a crop are, through fixed weights.
"""

from __future__ import annotations

import zipfile
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from insightface.data import get_object
from onnx import TensorProto, helper, numpy_helper

from imgbatch.models.faces.heads import Head
from imgbatch.models.weights import Own

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# Where the detector puts eyes, nose and mouth in a box, as shares of its width and height.
POINTS = ((0.3, 0.35), (0.7, 0.35), (0.5, 0.55), (0.35, 0.75), (0.65, 0.75))
EMBEDDING = 64
STRIDES = (8, 16, 32)
OPEN = ("n", "h", "w")


def own(path: Path) -> Own:
    return Own(url=str(path), sha256=sha256(path.read_bytes()).hexdigest())


class Graph:
    """Nodes and weights of a network in the making."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, values: Any, kind: Any = np.float32) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def write(
        self, path: Path, shape: Sequence[Any], outputs: Sequence[tuple[str, Sequence[Any]]]
    ) -> Path:
        def info(name: str, dims: Sequence[Any]) -> Any:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims))

        graph = helper.make_graph(
            self.nodes,
            "made",
            [info("input", shape)],
            [info(name, dims) for name, dims in outputs],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString())
        return path


def _redness(graph: Graph, unit: float) -> str:
    """1 for pure red, 0 for grey, white and black."""
    kernel = np.array([1, -0.5, -0.5]).reshape(1, 3, 1, 1) * unit
    red = graph.add("Conv", "input", graph.weight(kernel))
    return graph.add("Clip", red, graph.weight(0), graph.weight(1))


def _distances(graph: Graph, red: str, stride: int, reach: int) -> tuple[str, str]:
    """(1, 4, h, w): left, right, top, bottom of each anchor; and its score."""
    before, after = np.zeros((2, 2 * reach + 1))
    before[:reach], after[reach:-1] = 1, 1
    kernel = np.stack([before, after])[:, None, None, :]
    steps = {"strides": [stride, stride]}
    across = graph.add("Conv", red, graph.weight(kernel), pads=[0, reach, 0, reach], **steps)
    turned = kernel.transpose(0, 1, 3, 2)
    down = graph.add("Conv", red, graph.weight(turned), pads=[reach, 0, reach, 0], **steps)
    here = graph.add("MaxPool", red, kernel_shape=[1, 1], **steps)
    central = graph.add("Mul", _evenness(graph, across), _evenness(graph, down))
    share = graph.add("Mul", central, graph.weight(0.45))
    score = graph.add("Mul", here, graph.add("Add", share, graph.weight(0.55)))
    return graph.add("Concat", across, down, axis=1), score


def _evenness(graph: Graph, pair: str) -> str:
    """1 where both of (1, 2, h, w) are the same, 0 where one of them is 0."""
    low = graph.add("ReduceMin", pair, axes=[1], keepdims=1)
    high = graph.add("ReduceMax", pair, axes=[1], keepdims=1)
    return graph.add("Div", low, graph.add("Add", high, graph.weight(1e-3)))


def _rows(graph: Graph, values: str, columns: int, *, twice: bool) -> str:
    """(1, columns, h, w) as (n, columns); with two anchors at each place."""
    last = graph.add("Transpose", values, perm=[0, 2, 3, 1])
    if twice:
        last = graph.add("Concat", last, last, axis=3)
    return graph.add("Reshape", last, graph.weight([-1, columns], np.int64))


def _ballast(graph: Graph, layers: int) -> str:
    """A sum of 0 that takes as long as a network of so many layers."""
    found = "input"
    for i in range(layers):
        inputs, step = (3, 4) if i == 0 else (64, 1)
        kernel = np.random.default_rng(i).standard_normal((64, inputs, 3, 3)) * 0.05
        found = graph.add(
            "Conv", found, graph.weight(kernel), pads=[1, 1, 1, 1], strides=[step, step]
        )
        found = graph.add("Relu", found)
    mean = graph.add("ReduceMean", found, keepdims=0)
    return graph.add("Mul", mean, graph.weight(0))


def scrfd(path: Path, *, reach: int = 64, ballast: int = 0) -> Path:
    """A detector as InsightFace's packs have it: three sizes, two anchors, landmarks."""
    graph = Graph()
    red = _redness(graph, 128 / 255)
    if ballast:
        red = graph.add("Add", red, _ballast(graph, ballast))
    scores, boxes, points = [], [], []
    to_box = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    to_points = np.array(
        [row for fx, fy in POINTS for row in ([fx - 1, fx, 0, 0], [0, 0, fy - 1, fy])]
    )
    for stride in STRIDES:
        distances, score = _distances(graph, red, stride, reach)
        scores.append((_rows(graph, score, 1, twice=True), (f"n{stride}", 1)))
        for matrix, found in ((to_box, boxes), (to_points, points)):
            kernel = graph.weight(matrix[:, :, None, None] / stride)
            rows = _rows(graph, graph.add("Conv", distances, kernel), len(matrix), twice=True)
            found.append((rows, (f"n{stride}", len(matrix))))
    return graph.write(path, (1, 3, "h", "w"), [*scores, *boxes, *points])


def ultraface(path: Path, *, reach: int = 64) -> Path:
    """A detector of UltraFace's shape."""
    wide, high, stride = 320, 240, 8
    graph = Graph()
    distances, score = _distances(graph, _redness(graph, 128 / 255), stride, reach)
    y, x = np.mgrid[0:high:stride, 0:wide:stride]
    anchors = graph.weight(np.stack([x, x, y, y])[None])
    signed = graph.add("Mul", distances, graph.weight(np.reshape([-1, 1, -1, 1], (1, 4, 1, 1))))
    edges = graph.add("Add", signed, anchors)
    sides = graph.weight(np.reshape([wide, wide, high, high], (1, 4, 1, 1)))
    shares = graph.add("Div", edges, sides)
    ordered = graph.add("Gather", shares, graph.weight([0, 2, 1, 3], np.int64), axis=1)
    none = graph.add("Sub", graph.weight(1), score)
    classes = graph.add("Concat", none, score, axis=1)
    outputs = []
    for values, columns in ((classes, 2), (ordered, 4)):
        rows = _rows(graph, values, columns, twice=False)
        name = graph.add("Unsqueeze", rows, graph.weight([0], np.int64))
        outputs.append((name, (1, x.size, columns)))
    return graph.write(path, (1, 3, high, wide), outputs)


def _colors(
    path: Path, shape: Sequence[Any], weights: NDArray[Any], bias: NDArray[Any], *, cells: int = 1
) -> Path:
    """A network that says fixed sums of the mean colors of a crop's cells x cells parts."""
    graph = Graph()
    kernel = [shape[2] // cells, shape[3] // cells]
    means = graph.add("AveragePool", "input", kernel_shape=kernel, strides=kernel)
    flat = graph.add("Flatten", means)
    found = graph.add("Gemm", flat, graph.weight(weights), graph.weight(bias))
    return graph.write(path, shape, [(found, (shape[0], len(bias)))])


def recognition(path: Path) -> Path:
    weights = np.random.default_rng(1).standard_normal((48, EMBEDDING))
    return _colors(path, ("n", 3, 112, 112), weights, np.ones(EMBEDDING), cells=4)


def genderage(path: Path) -> Path:
    """Age grows with green; who has more blue than red is male."""
    weights = np.array([[2.0, 0, 0], [0, 0, 0.2], [0, 2.0, 0]])
    return _colors(path, ("n", 3, 96, 96), weights, np.array([0, 0, 0.3]))


def pose(path: Path, turn: NDArray[Any]) -> Path:
    """68 points of a head that is turned so, whatever it sees (but a little less for red)."""
    turned = (get_object("meanshape_68.pkl") @ turn.T) * 0.5
    bias = np.zeros((1103, 3))
    bias[-68:] = turned
    weights = np.zeros((3, bias.size))
    weights[0] = bias.ravel() * -0.1
    return _colors(path, ("n", 3, 192, 192), weights, bias.ravel())


def head(path: Path, weights: NDArray[Any], *, side: int = 48, batch: Any = "n") -> Path:
    """A classifier: logits are sums of the mean colors, scaled to -1..1."""
    channels, classes = weights.shape
    return _colors(path, (batch, channels, side, side), weights, np.zeros(classes))


def mood(path: Path) -> Head:
    """The settings of a head that says which color a face has most of."""
    head(path, np.eye(3) * 4)
    return Head(weights=own(path), classes=("angry", "calm", "sad"))


def turned(yaw: float = 0, pitch: float = 0, roll: float = 0) -> NDArray[np.float64]:
    """Return the rotation of a head: rolled, then turned to the right, then up, in degrees."""
    y, p, r = np.deg2rad([yaw, pitch, roll])
    about_x = [[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]]
    about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    about_z = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
    found: NDArray[np.float64] = np.array(about_z) @ np.array(about_y) @ np.array(about_x)
    return found


def files(folder: Path, *, reach: int = 64) -> Path:
    """Fill a folder with the files of a pack."""
    folder.mkdir(parents=True, exist_ok=True)
    scrfd(folder / "det_made.onnx", reach=reach)
    recognition(folder / "w_made.onnx")
    genderage(folder / "genderage.onnx")
    pose(folder / "1k3d68.onnx", turned(20, -10, 5))
    return folder


def pack(folder: Path, *, reach: int = 64, without: Sequence[str] = ()) -> Path:
    """Write a pack as a zip file."""
    made = files(folder / "made", reach=reach)
    path = folder / "made.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(made.iterdir()):
            if file.name not in without:
                archive.write(file, file.name)
    return path


def red_squares(
    size: tuple[int, int], squares: Sequence[tuple[int, int, int, int]], *, grain: int = 0
) -> NDArray[np.uint8]:
    """Return (height, width, 3) pixels of grey with squares (x, y, width, height) of pure red."""
    width, height = size
    random = np.random.default_rng(width + height)
    grey = random.integers(100, 101 + grain, (height, width), dtype=np.uint8)
    pixels = np.repeat(grey[..., None], 3, axis=2)
    for x, y, w, h in squares:
        pixels[y : y + h, x : x + w] = (255, 0, 0)
    return pixels
