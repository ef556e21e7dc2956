"""What a run over a bucket of large objects holds: bounded, whatever the bucket holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from imgbatch.storage import open_store
from tests.corpus import PHOTOS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
OBJECT = 24 * 2**20
IN_FLIGHT = 128 * 2**20
# A run whose peak is asked of the kernel when all is done; of the whole process, as getrusage says
# it, the peak would be that of pytest, which it was forked from.
PROGRAM = """
import json, pathlib, re, sys
from imgbatch.__main__ import main
sys.argv = ["imgbatch", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
told = pathlib.Path("/proc/self/status").read_text()
print(json.dumps(int(re.search(r"VmHWM:\\s+(\\d+) kB", told)[1]) * 1024))
"""


def peak(url: str, dataset: Path, recipe: Path) -> int:
    words = ["run", url, str(dataset), "--recipe", str(recipe), "--engine", "inline"]
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        env={**os.environ, "IMGBATCH_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: int = json.loads(ended.stdout.strip().rpartition("\n")[2])
    return found


def test_many_large_objects_take_no_more_memory_than_may_be_in_flight(
    bucket: str, tmp_path: Path
) -> None:
    """Objects of 24 MiB: 576 in all, of which 128 may be in flight."""
    store = open_store(root := f"s3://{bucket}/{uuid.uuid4().hex}")
    photo = PHOTOS["china.jpg"].read_bytes()
    store.put("one/0.jpg", photo)
    for number in range(24):
        # Decoders stop at the end of the picture; what follows is fetched and hashed all the same.
        store.put(f"many/{number}.jpg", photo + number.to_bytes(4) * ((OBJECT - len(photo)) // 4))
    (recipe := tmp_path / "r.toml").write_text("[analyzers.image]\n")
    small = peak(f"{root}/one", tmp_path / "one", recipe)
    large = peak(f"{root}/many", tmp_path / "many", recipe)
    # An object is held twice for a moment, as it came from the network and as Python's bytes.
    assert large - small < 2 * IN_FLIGHT
    assert large - small > OBJECT, "nothing was fetched"
