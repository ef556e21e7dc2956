"""What `explain` tells of a source's attempts and times, beside what its shard's lines say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imgbatch.cli import past_lines
from imgbatch.dataset import Dataset
from imgbatch.observe.explain import explain
from tests.corpus import PHOTOS, many, run_inline

if TYPE_CHECKING:
    from pathlib import Path


def test_each_failure_is_told_with_the_seconds_of_its_stages_and_those_of_others_are_not(
    tmp_path: Path,
) -> None:
    folder = many(tmp_path / "in", 3)
    (folder / "cut.jpg").write_bytes(PHOTOS["china.jpg"].read_bytes()[:50_000])
    (folder / "none.jpg").write_bytes(b"no picture")
    run_inline(folder, tmp_path / "d")
    (folder / "cut.jpg").write_bytes(PHOTOS["china.jpg"].read_bytes()[:40_000])
    run_inline(folder, tmp_path / "d")
    dataset = Dataset.open(str(tmp_path / "d"))
    found = explain(dataset, str(folder / "cut.jpg"))
    said = [(line["event"], line["error"], line["run"]) for line in found["log"]]
    runs = [run["run"] for run in dataset.runs()]
    assert said == [("source.failed", "decode.truncated", run) for run in runs]
    assert [line["event"] for line in found["shard"]] == ["shard.finished"] * 2
    for line, whole in zip(found["log"], found["shard"], strict=True):
        assert set(line["stages"]) == {"fetch", "hash", "decode"}
        assert 0 < line["stages"]["decode"] <= whole["stages"]["decode"]
        assert sum(line["stages"].values()) <= whole["seconds"]
    shown = "\n".join(past_lines.explain(found))
    took = re.findall(
        r"source.failed: error decode.truncated, .*, took [0-9.]+ m?s \((.*)\)", shown
    )
    assert [sorted(re.findall("[a-z]{3,}", each)) for each in took] == [
        ["decode", "fetch", "hash"]
    ] * 2
    (line,) = explain(dataset, str(folder / "none.jpg"))["log"]
    assert set(line["stages"]) == {"fetch", "hash"}
    assert explain(dataset, str(folder / "00000.jpg"))["log"] == []
