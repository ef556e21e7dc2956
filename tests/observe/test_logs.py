from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import StorageError
from imgbatch.observe.logs import SEGMENT_BYTES, LogFile, logger
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from pathlib import Path


def test_lines_are_json_with_run_worker_level_and_time(tmp_path: Path) -> None:
    file = LogFile(open_store(str(tmp_path)), "r1", "w1", every=1e9)
    logger(file, run="r1", worker="w1").info("shard.finished", shard="abc@0", seconds=1.5)
    assert not (tmp_path / "logs").exists()
    file.flush()
    (written,) = (tmp_path / "logs/r1").iterdir()
    assert written.name.startswith("w1-")
    line = json.loads(written.read_text())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "run": "r1",
        "worker": "w1",
        "level": "info",
        "event": "shard.finished",
        "shard": "abc@0",
        "seconds": 1.5,
    }


def written(folder: Path, count: int) -> list[dict[str, object]]:
    end = time.monotonic() + 30
    while True:
        files = sorted(folder.rglob("*.jsonl"))
        lines = [line for file in files for line in file.read_text().splitlines()]
        if len(lines) >= count:
            return [json.loads(line) for line in lines]
        assert time.monotonic() < end, lines
        time.sleep(0.02)


def test_a_worker_that_says_no_more_is_written_all_the_same(tmp_path: Path) -> None:
    file = LogFile(open_store(str(tmp_path)), "r1", "w1", every=0.05)
    log = logger(file, run="r1", worker="w1")
    for number in range(3):
        log.info("x", number=number)
        assert written(tmp_path, number + 1)[-1]["number"] == number
    file.close()


def test_a_worker_with_the_name_of_a_lost_one_does_not_write_over_its_lines(
    tmp_path: Path,
) -> None:
    for number in range(2):
        file = LogFile(open_store(str(tmp_path)), "r1", "w1")
        logger(file, run="r1", worker="w1").info("x", number=number)
        file.flush()
    assert {line["number"] for line in written(tmp_path, 2)} == {0, 1}


def test_lines_that_a_store_did_not_take_are_written_when_it_does(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()  # a folder cannot be made here
    file = LogFile(open_store(str(tmp_path)), "r1", "w1", every=0.05)
    log = logger(file, run="r1", worker="w1")
    log.info("x", number=0)
    with pytest.raises(StorageError):
        file.flush()
    (tmp_path / "logs").unlink()
    log.info("x", number=1)
    assert [line["number"] for line in written(tmp_path, 2)] == [0, 1]
    file.close()


def test_a_full_segment_is_left_behind_and_no_line_is_lost(tmp_path: Path) -> None:
    file = LogFile(open_store(str(tmp_path)), "r1", "w1", every=1e9)
    for number in range(6):
        file.msg(json.dumps({"number": number, "fill": "x" * (SEGMENT_BYTES // 2)}))
        file.flush()
    files = sorted((tmp_path / "logs/r1").iterdir())
    assert len(files) > 1
    numbers = [json.loads(line)["number"] for f in files for line in f.read_text().splitlines()]
    assert numbers == list(range(6))
