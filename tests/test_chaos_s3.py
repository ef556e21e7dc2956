"""A driver whose input and dataset are in a bucket, killed late: what was finished is there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import MANIFEST, Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import BusyError, DatasetError
from imgbatch.settings import Limits
from imgbatch.storage import open_store
from tests.corpus import many, run_inline
from tests.equal import assert_equal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.slow
RECIPE = "[analyzers.image]\n[analyzers.quality]\n"
LIMITS = {"SHARD_SOURCES": "5", "COMMIT_SECONDS": "0.01", "LOCK_SECONDS": "2", "THREADS": "1"}
SHARDS = 20
# A commit may take a tenth of a driver's time, and on the test's server it takes half a second.
PROGRAM = """
import sys
from imgbatch.__main__ import main
from imgbatch.dataset import commit
commit.PATIENCE = 1
sys.argv = ["imgbatch", *sys.argv[1:]]
main()
"""


def start(*words: str | Path, program: Sequence[str] = ("-m", "imgbatch")) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *program, "run", *map(str, words), "--engine", "inline"],
        env={**os.environ, **{f"IMGBATCH_{key}": value for key, value in LIMITS.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def committed(url: str) -> set[str]:
    """The shards whose outcomes are in the current snapshot."""
    try:
        found = Dataset.open(url).table("tables/sources").parts().values()
    except DatasetError:
        return set()  # not made yet
    return {part.shard for part in found}


def test_a_driver_killed_late_leaves_what_was_finished_committed_in_the_bucket(
    bucket: str, tmp_path: Path
) -> None:
    root = f"s3://{bucket}/{uuid.uuid4().hex}"
    pictures, store = many(tmp_path / "in", 5 * SHARDS), open_store(f"{root}/in")
    for file in pictures.iterdir():
        store.put(file.name, file.read_bytes())
    (tmp_path / "r.toml").write_text(RECIPE)
    words = [f"{root}/in", f"{root}/d", "--recipe", tmp_path / "r.toml"]
    driver = start(*words, program=("-c", PROGRAM))
    try:
        end = time.monotonic() + 120
        while len(committed(f"{root}/d")) < SHARDS // 2:
            assert time.monotonic() < end, driver.poll()
            assert driver.poll() is None, driver.communicate()
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
    assert driver.returncode == -signal.SIGKILL, "it was done before it was killed"
    left = committed(f"{root}/d")
    assert SHARDS // 2 <= len(left) < len(Dataset.open(f"{root}/d").table(MANIFEST).parts())
    code = BusyError.exit_code
    while code == BusyError.exit_code:
        assert time.monotonic() < end
        time.sleep(0.5)
        second = start(*words, "--json")
        out, err = second.communicate(timeout=120)
        code = second.returncode
    assert code == 0, err
    summary = json.loads(out.strip().rpartition("\n")[2])
    # What was committed is not done again; what lay written beside it is taken.
    assert summary["shards"] <= SHARDS - len(left)
    assert verify(Dataset.open(f"{root}/d")).problems == []
    run_inline(
        f"{root}/in",
        tmp_path / "whole",
        recipe=RECIPE,
        limits=Limits(shard_sources=5),
    )
    assert_equal(tmp_path / "whole", f"{root}/d")
