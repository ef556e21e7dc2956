from __future__ import annotations

import json
from typing import TYPE_CHECKING

from imgbatch.observe.logs import SEGMENT_BYTES, LogFile, logger
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from pathlib import Path


def test_lines_are_json_with_run_worker_level_and_time(tmp_path: Path) -> None:
    file = LogFile(open_store(str(tmp_path)), "r1", "w1", every=1e9)
    logger(file, run="r1", worker="w1").info("shard.finished", shard="abc@0", seconds=1.5)
    assert not (tmp_path / "logs").exists()
    file.flush()
    line = json.loads((tmp_path / "logs/r1/w1-0000.jsonl").read_text())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "run": "r1",
        "worker": "w1",
        "level": "info",
        "event": "shard.finished",
        "shard": "abc@0",
        "seconds": 1.5,
    }


def test_lines_are_flushed_while_running(tmp_path: Path) -> None:
    file = LogFile(open_store(str(tmp_path)), "r1", "w1", every=0)
    log = logger(file, run="r1", worker="w1")
    for number in range(3):
        log.info("x", number=number)
        text = (tmp_path / "logs/r1/w1-0000.jsonl").read_text()
        assert len(text.splitlines()) == number + 1


def test_a_full_segment_is_left_behind_and_no_line_is_lost(tmp_path: Path) -> None:
    file = LogFile(open_store(str(tmp_path)), "r1", "w1", every=0)
    for number in range(6):
        file.msg(json.dumps({"number": number, "fill": "x" * (SEGMENT_BYTES // 2)}))
    file.flush()
    files = sorted((tmp_path / "logs/r1").iterdir())
    assert len(files) > 1
    numbers = [json.loads(line)["number"] for f in files for line in f.read_text().splitlines()]
    assert numbers == list(range(6))
