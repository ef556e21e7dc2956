"""Nothing is lost and nothing is done twice: kills, zombies, two runs at once, parts that are gone.

Each dataset must end whole and equal to one that was never disturbed. Kills of a distributed run
are in `tests/jobs/test_chaos.py`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch import driver
from imgbatch.dataset import MANIFEST, Dataset, manifest
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.lock import NAME
from imgbatch.dataset.verify import verify
from imgbatch.errors import BusyError, FencedError
from imgbatch.settings import Limits
from tests.corpus import many, run_inline
from tests.equal import assert_equal

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.dataset import Part

RECIPE = "[analyzers.image]\n[analyzers.quality]\n"
OTHER = "[analyzers.image]\n[analyzers.quality]\nblank_levels = 9.0\n"
LIMITS = Limits(shard_sources=2, commit_seconds=0.001)
# One shard, one commit; no sign of life in between, which would be one more store call.
ONE_BY_ONE = {
    "IMGBATCH_SHARD_SOURCES": "2",
    "IMGBATCH_COMMIT_SECONDS": "1e-9",
    "IMGBATCH_LOCK_SECONDS": "600",
    "IMGBATCH_PROGRESS_SECONDS": "600",
    "IMGBATCH_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def lives(*words: str | Path) -> dict[str, Any]:
    child = subprocess.run(
        [sys.executable, "-m", "tests.lives", *map(str, words)],
        env={**os.environ, **ONE_BY_ONE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    found: dict[str, Any] = json.loads(child.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scene", "calls", "step"),
    # Before and after every second call is between all of them.
    [
        ("first", 40, 1),
        ("change", 50, 2),
        ("regions", 60, 2),
        ("retry", 50, 2),
        ("repair", 90, 2),
    ],
)
def test_a_run_killed_before_or_after_any_store_call_is_finished_by_the_next(
    tmp_path: Path, scene: str, calls: int, step: int
) -> None:
    found = lives(tmp_path / "lives", scene, str(step))
    assert found["failures"] == []
    assert found["calls"] >= calls
    assert found["hit"] == 2 * -(-found["calls"] // step)


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["recipes", "columns"])
def test_a_run_with_another_recipe_that_is_killed_leaves_a_way_back_and_a_way_on(
    tmp_path: Path, scene: str
) -> None:
    found = lives(tmp_path / "lives", scene, "6")
    assert found["failures"] == []
    assert found["hit"] >= 2 * (found["calls"] // 6)


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["first", "change"])
def test_of_two_runs_at_once_one_does_the_work_and_the_other_says_so_or_finds_nothing_to_do(
    tmp_path: Path, scene: str
) -> None:
    found = lives(tmp_path / "lives", scene, "6", "races")
    assert found["failures"] == []
    assert {tuple(codes) for codes in found["codes"]} <= {(0, 0), (0, BusyError.exit_code)}


def start(*words: str | Path) -> subprocess.Popen[str]:
    limits = {"SHARD_SOURCES": "5", "COMMIT_SECONDS": "0.01", "LOCK_SECONDS": "2", "THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "imgbatch", "run", *map(str, words), "--engine", "inline"],
        env={**os.environ, **{f"IMGBATCH_{key}": value for key, value in limits.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def snapshot(path: Path) -> dict[str, tuple[int, set[str]]]:
    dataset = Dataset.open(str(path))
    tables = [MANIFEST, *(f"tables/{name}" for name in dataset.tables())]
    return {t: (dataset.table(t).version, set(dataset.table(t).parts())) for t in tables}


@pytest.mark.slow
def test_a_driver_that_was_stopped_and_wakes_after_another_run_changes_nothing(
    tmp_path: Path,
) -> None:
    corpus = many(tmp_path / "in", 250)
    (tmp_path / "r.toml").write_text(RECIPE)
    words = [corpus, tmp_path / "d", "--recipe", tmp_path / "r.toml"]
    zombie = start(*words)
    try:
        end = time.monotonic() + 60
        while not list((tmp_path / "d/tables/sources/_delta_log").glob("*1.json")):
            assert time.monotonic() < end, zombie.poll()
            time.sleep(0.005)
        zombie.send_signal(signal.SIGSTOP)
        parts = snapshot(tmp_path / "d")
        assert len(parts["tables/sources"][1]) < len(parts[MANIFEST][1]) == 50
        code = BusyError.exit_code
        while code == BusyError.exit_code:
            assert time.monotonic() < end
            second = start(*words)
            said = second.communicate(timeout=60)
            code = second.returncode
        assert code == 0, said
        after = snapshot(tmp_path / "d")
    finally:
        zombie.send_signal(signal.SIGCONT)
        _, err = zombie.communicate(timeout=60)
    assert zombie.returncode == FencedError.exit_code, err
    assert "FencedError" in err
    assert snapshot(tmp_path / "d") == after
    assert not (tmp_path / "d" / NAME).exists()
    assert verify(Dataset.open(str(tmp_path / "d"))).problems == []
    run_inline(corpus, tmp_path / "whole", recipe=RECIPE, limits=Limits(shard_sources=5))
    assert_equal(tmp_path / "whole", tmp_path / "d")


def whole_and_equal(corpus: Path, dataset: Path, *, recipe: str = RECIPE) -> None:
    fresh = dataset.with_name("fresh")
    run_inline(corpus, fresh, recipe=recipe, limits=LIMITS)
    assert verify(Dataset.open(str(dataset))).problems == []
    assert_equal(fresh, dataset)


def test_two_planners_that_see_one_new_source_freeze_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = many(tmp_path / "in", 6)
    away = [corpus / "00004.jpg", corpus / "00005.jpg"]
    hidden = [file.rename(tmp_path / file.name) for file in away]
    run_inline(corpus, tmp_path / "d", recipe=RECIPE, limits=LIMITS)
    for file in hidden:
        file.rename(corpus / file.name)
    compare = manifest.compare
    others = []

    def overtaken(*words: Any, **named: Any) -> manifest.Changes:
        changes = compare(*words, **named)
        if not others:
            # Another run sees one of the two new sources, and does all its work now.
            others.append("is at work")
            hidden = away[1].rename(tmp_path / "hidden.jpg")
            others.append(run_inline(corpus, tmp_path / "d", recipe=RECIPE, limits=LIMITS))
            hidden.rename(away[1])
        return changes

    monkeypatch.setattr(manifest, "compare", overtaken)
    summary = run_inline(corpus, tmp_path / "d", recipe=RECIPE, limits=LIMITS)
    assert others[1].new == summary.new == summary.shards == 1
    whole_and_equal(corpus, tmp_path / "d")


def test_a_plan_that_another_run_with_another_recipe_overtook_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = many(tmp_path / "in", 4)
    former = OTHER.replace("9.0", "3.0")
    run_inline(corpus, tmp_path / "d", recipe=former, limits=LIMITS)
    undone = driver.undone
    others = []

    def overtaken(*words: Any) -> Any:
        works = undone(*words)
        if not others:
            others.append("is at work")
            others.append(run_inline(corpus, tmp_path / "d", recipe=OTHER, limits=LIMITS))
        return works

    monkeypatch.setattr(driver, "undone", overtaken)
    summary = run_inline(corpus, tmp_path / "d", recipe=RECIPE, limits=LIMITS)
    assert others[1].shards == summary.shards == 2
    whole_and_equal(corpus, tmp_path / "d")


def test_a_second_run_is_refused_before_it_lists_anything(tmp_path: Path) -> None:
    corpus = many(tmp_path / "in", 4)

    def second() -> None:
        with pytest.raises(BusyError, match=f"process {os.getpid()} on"):
            run_inline(tmp_path / "not there", tmp_path / "d", recipe=RECIPE, limits=LIMITS)

    run_inline(corpus, tmp_path / "d", recipe=RECIPE, limits=LIMITS, before_work=second)
    assert not (tmp_path / "d" / NAME).exists()
    run_inline(corpus, tmp_path / "d", recipe=RECIPE, limits=LIMITS)


def test_a_run_whose_lock_was_taken_from_it_stops_at_its_next_commit(tmp_path: Path) -> None:
    corpus = many(tmp_path / "in", 4)
    limits = LIMITS.model_copy(update={"lock_seconds": 0.3})

    def taken() -> None:
        store = Dataset.open(str(tmp_path / "d")).store
        other = {**json.loads(store.get(NAME)), "token": "another"}
        for _ in range(20):  # a beat may just be under way, and write over it
            store.put(NAME, json.dumps(other).encode())
            time.sleep(0.02)

    with pytest.raises(FencedError):
        run_inline(corpus, tmp_path / "d", recipe=RECIPE, limits=limits, before_work=taken)
    (tmp_path / "d" / NAME).unlink()
    run_inline(corpus, tmp_path / "d", recipe=RECIPE, limits=LIMITS)
    whole_and_equal(corpus, tmp_path / "d")


@pytest.mark.slow
@pytest.mark.parametrize("percent", [10, 50])
def test_so_many_percent_of_the_shards_taken_out_of_the_snapshot_are_done_again_exactly(
    tmp_path: Path, percent: int
) -> None:
    corpus = many(tmp_path / "in", 20)
    run_inline(corpus, tmp_path / "d", recipe=RECIPE, limits=LIMITS)
    dataset = Dataset.open(str(tmp_path / "d"))
    shards = sorted(part.shard for part in dataset.table(MANIFEST).parts().values())
    gone = set(shards[: len(shards) * percent // 100])
    number = take_number(dataset, "x")
    for name in dataset.tables():
        table = dataset.table(f"tables/{name}")
        lost: list[Part] = [part for part in table.parts().values() if part.shard in gone]
        table.commit([], lost, fence=number, run="x")
        for part in lost:
            dataset.store.delete(f"{part.table}/{part.path}")
    summary = run_inline(corpus, tmp_path / "d", recipe=RECIPE, limits=LIMITS)
    assert (summary.shards, summary.sources) == (10 * percent // 100, 20 * percent // 100)
    whole_and_equal(corpus, tmp_path / "d")
