"""Labels in the report: what is read of them, and how much of that is in memory."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from imgbatch.dataset import groups
from imgbatch.dataset.commit import take_number
from imgbatch.report import labelled
from tests.groupers import written
from tests.groupers.made import keys, lists

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ROWS, CLASSES = 20_000, 100


def test_a_large_group_with_many_probabilities_is_not_in_memory_to_show_six_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = written.dataset(tmp_path / "d", {"clip": written.rows_of("clip", ["embedding"], 3)})
    labels = pa.table(
        {
            **keys([f"file:///made/{i}.png" for i in range(ROWS)]),
            "label": pa.array(["a"] * (ROWS - 1) + ["b"]),
            "probability": pa.array(np.ones(ROWS, np.float32)),
            "probabilities": lists(np.ones((ROWS, CLASSES), np.float32)),
        }
    )
    told = {"grouper": "zero_shot", "version": 1, "settings": {}, "tables": {}, "files": []}
    told |= {"run": "r", "number": take_number(made, "r"), "finished": "now"}
    groups.commit(made, "zero_shot", labels, told | groups.counted(labels, "label"), tmp_path)
    # Pictures are looked up by the strips, and here there are none.
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(labelled, "strip_of", lambda *given: shown.append(given[-1]))
    tracemalloc.start()
    [found] = labelled.read_labels(made, thumbnails=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found.rows, found.groups, found.grouped) == (ROWS, 2, ROWS)
    assert [len(captions) for captions in shown] == [labelled.SOURCES]
    assert [bar.count for bar in found.largest] == [ROWS - 1, 1]
    # Two million probabilities are 64 MB as Python's numbers.
    assert peak < 10e6
