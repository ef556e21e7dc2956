"""Labels are the same on Ray as in one process; workers read their parts themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset, groups, ordered
from tests.groupers import written

if TYPE_CHECKING:
    from pathlib import Path

ASKED = {"table": "classic", "k": 5, "stability": 2, "sample": 500}
# More than one slice, so that there is something to spread.
PARTS = ordered.SLICE + 3


@pytest.mark.slow
def test_labels_that_ray_spreads_are_those_of_one_process(tmp_path: Path) -> None:
    tables = {"classic": written.rows_of("classic", ["embedding"], 2000)}
    written.dataset(tmp_path / "ray", tables, parts=PARTS)
    words = [w for key, value in ASKED.items() for w in ("--set", f"{key}={value}")]
    line = [sys.executable, "-m", "imgbatch", "group", str(tmp_path / "ray"), "clusters", *words]
    done = subprocess.run(
        [*line, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"RAY_DEDUP_LOGS": "0"},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert told["engine"] == "ray"
    here = written.dataset(tmp_path / "here", tables, parts=PARTS)
    expected = written.label(here, "clusters", **ASKED)
    assert groups.read(Dataset.open(str(tmp_path / "ray")), "clusters").equals(expected)


@pytest.mark.slow
def test_a_part_that_a_worker_cannot_read_ends_it_with_the_code_of_damage(tmp_path: Path) -> None:
    tables = {"classic": written.rows_of("classic", ["embedding"], 2000)}
    made = written.dataset(tmp_path / "ds", tables, parts=PARTS)
    part = next(iter(made.table("tables/classic").parts()))
    path = tmp_path / "ds" / "tables/classic" / part
    data = bytearray(path.read_bytes())
    middle = len(data) // 2  # of the vectors, which nobody reads before a worker does
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(bytes(data))
    line = [sys.executable, "-m", "imgbatch", "group", str(tmp_path / "ds"), "clusters"]
    words = [w for key, value in ASKED.items() for w in ("--set", f"{key}={value}")]
    done = subprocess.run([*line, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 14, done.stderr
    assert part in done.stderr
    assert "imgbatch run INPUT DATASET --repair" in done.stderr
    assert groups.names(Dataset.open(made.url)) == []
