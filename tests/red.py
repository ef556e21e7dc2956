"""A face detector that a test makes: an ONNX file of UltraFace's shape, to which red is a face."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

HIGH, WIDE, CELL = 240, 320, 8


def write_red_detector(path: Path) -> str:
    """Write the file; return its digest.

    Each cell of 8 x 8 pixels of the 320 x 240 that the network sees is a box, half a cell larger on
    each side; its score is how much redder than green the cell is, 1 where it is half of all.
    """
    from onnx import TensorProto, helper, numpy_helper, save

    rows, columns = HIGH // CELL, WIDE // CELL
    n = rows * columns
    across = np.array([[1.0], [-1.0], [0.0]], np.float32).reshape(1, 3, 1, 1)
    constants = {
        "across": across,
        "shape": np.array([1, n, 1], np.int64),
        "one": np.array([1], np.float32),
        "low": np.array(0, np.float32),
        "high": np.array(1, np.float32),
        "corners": _corners(rows, columns)[None],
    }
    nodes = [
        helper.make_node("Conv", ["input", "across"], ["red"]),
        helper.make_node(
            "AveragePool", ["red"], ["cells"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]
        ),
        helper.make_node("Clip", ["cells", "low", "high"], ["clipped"]),
        helper.make_node("Reshape", ["clipped", "shape"], ["face"]),
        helper.make_node("Sub", ["one", "face"], ["ground"]),
        helper.make_node("Concat", ["ground", "face"], ["scores"], axis=2),
        helper.make_node("Identity", ["corners"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "red",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, HIGH, WIDE])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, n, 2]),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, n, 4]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", 17)
    save(helper.make_model(graph, opset_imports=[opset], ir_version=9), str(path))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _corners(rows: int, columns: int) -> np.ndarray:
    y, x = np.divmod(np.arange(rows * columns), columns)
    edges = np.stack([x - 0.5, y - 0.5, x + 1.5, y + 1.5], axis=1)
    return (edges / [columns, rows, columns, rows]).astype(np.float32)
