from __future__ import annotations

import pytest

from imgbatch.observe.bound import bound, meaning, on_gpu


@pytest.mark.parametrize(
    ("stages", "threads", "expected"),
    [
        ({}, 0.0, None),
        ({"fetch": 1.0, "hash": 0.5, "decode": 5.0, "quality": 2.0}, 10.0, "decoding"),
        ({"fetch": 7.0, "hash": 0.5, "decode": 2.0, "quality": 0.5}, 10.0, "fetching"),
        ({"fetch": 1.0, "decode": 2.0, "quality": 6.5, "hashes": 0.5}, 10.0, "quality"),
        # Hashing and decoding are one: what it takes to make pixels of bytes.
        ({"hash": 2.0, "decode": 2.0, "quality": 3.0}, 8.0, "decoding"),
        # Threads that lack work: because rows are written, or for no reason that a stage knows.
        ({"decode": 2.0, "quality": 1.0, "rows": 1.0, "write": 3.0}, 20.0, "writing"),
        ({"decode": 2.0, "quality": 1.0, "rows": 0.1, "write": 0.3}, 20.0, "waiting"),
        # Writing that takes long beside threads that are busy all the same bounds nothing.
        ({"decode": 9.0, "rows": 2.0, "write": 9.5}, 10.0, "decoding"),
        ({"write": 3.0}, 10.0, "writing"),
    ],
)
def test_what_bounds_a_run_is_told_by_the_seconds_of_its_stages(
    stages: dict[str, float], threads: float, expected: str | None
) -> None:
    assert bound(stages, threads) == expected


def test_a_verdict_in_words_names_the_analyzer() -> None:
    assert meaning("decoding") == "CPU: decoding"
    assert meaning("quality") == "CPU: analyzer quality"


def test_a_verdict_names_the_gpu_for_the_analyzers_that_compute_on_one() -> None:
    assert meaning("classify", ["classify"]) == "GPU: analyzer classify"
    assert meaning("quality", ["classify"]) == "CPU: analyzer quality"
    assert meaning("decoding", ["decoding"]) == "CPU: decoding"


def test_an_analyzer_is_on_gpus_where_most_of_its_time_is() -> None:
    stages = {"decode": 9.0, "classify": 6.0, "embed": 6.0, "clip": 0.0}
    assert on_gpu(stages, {"classify": 4.0, "embed": 2.0, "clip": 0.0}) == ["classify"]
    assert on_gpu(stages, {}) == []
