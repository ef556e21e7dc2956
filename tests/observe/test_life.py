"""Whether a run lives is told by its lock, its progress and its record, from any machine."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.lock import NAME, Holder
from imgbatch.errors import SettingsError
from imgbatch.observe import life, recorder

if TYPE_CHECKING:
    from pathlib import Path

RUN = "20261121T080000Z-aaaaaa"


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset.create(str(tmp_path))


@pytest.fixture(scope="module")
def dead() -> int:
    """The id of a process that was."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def put(dataset: Dataset, name: str, value: dict[str, Any]) -> None:
    dataset.store.put(name, json.dumps(value).encode())


def hold(dataset: Dataset, run: str = RUN, **other: Any) -> None:
    put(dataset, NAME, asdict(replace(Holder.me(run, expires=60), **other)))


def tell(dataset: Dataset, *, run: str = RUN, age: float = 0, **other: Any) -> None:
    written = datetime.now(UTC) - timedelta(seconds=age)
    mine = Holder.me(run, expires=60)
    told = {"run": run, "state": "running", "every": 3.0, "written": written.isoformat()}
    told |= {"host": "there", "pid": mine.pid, "machine": mine.machine}
    put(dataset, recorder.name(run), told | other)


def record(dataset: Dataset, status: str, run: str = RUN) -> None:
    put(dataset, f"runs/{run}.json", {"run": run, "number": 1, "status": status})


def state(dataset: Dataset) -> tuple[str, str]:
    found = life.last(dataset)
    assert found is not None
    assert found.run == RUN
    return found.state, found.why


def test_nothing_was_there_yet(dataset: Dataset) -> None:
    assert life.last(dataset) is None


def test_a_lock_says_that_its_run_lives(dataset: Dataset) -> None:
    hold(dataset)
    assert state(dataset) == ("running", "")
    tell(dataset, age=1000, state="planned")  # it may not get through to the store
    assert state(dataset) == ("planned", "")


def test_a_run_whose_process_is_gone_died(dataset: Dataset, dead: int) -> None:
    tell(dataset)
    hold(dataset, pid=dead)
    found, why = state(dataset)
    assert found == "died"
    assert f"process {dead} on" in why


def test_a_run_on_another_machine_that_gives_no_sign_of_life_is_silent(
    dataset: Dataset, dead: int
) -> None:
    tell(dataset)
    long_ago = datetime.now(UTC).timestamp() - 61
    hold(dataset, machine="elsewhere", host="there", pid=dead)
    assert state(dataset) == ("running", "")
    hold(dataset, machine="elsewhere", host="there", pid=dead, at=long_ago)
    found, why = state(dataset)
    assert found == "silent"
    assert "from there; a run that is silent for 60 s counts as dead" in why


def test_a_run_that_another_one_took_over_from_died(dataset: Dataset) -> None:
    record(dataset, "running")
    tell(dataset)
    other = "20261121T090000Z-bbbbbb"
    hold(dataset, run=other)
    found = life.life(dataset, RUN)
    assert (found.state, found.why) == ("died", f"run {other} took over")
    last = life.last(dataset)
    assert last is not None
    assert (last.run, last.alive) == (other, True)


def test_without_a_lock_the_age_of_the_progress_tells(dataset: Dataset, dead: int) -> None:
    tell(dataset, state="listing")
    assert state(dataset) == ("listing", "")
    tell(dataset, state="listing", machine="elsewhere", age=14)
    assert state(dataset) == ("listing", "")
    tell(dataset, state="listing", machine="elsewhere", age=16)
    assert state(dataset)[0] == "died"
    tell(dataset, state="listing", pid=dead)
    assert state(dataset)[0] == "died"


def test_a_record_that_never_ended_and_nothing_else_is_of_a_dead_run(dataset: Dataset) -> None:
    record(dataset, "running")
    assert state(dataset) == ("died", "it holds no lock, and left no word")


@pytest.mark.parametrize("ended", ["finished", "failed", "interrupted", "cancelled"])
def test_a_run_that_ended_ended_whatever_else_is_left(dataset: Dataset, ended: str) -> None:
    record(dataset, ended)
    tell(dataset)
    hold(dataset)
    assert state(dataset) == (ended, "")


def test_a_forget_that_holds_the_lock_is_no_run(dataset: Dataset) -> None:
    record(dataset, "finished")
    hold(dataset, run="f")
    put(dataset, "forgotten/f.json", {"run": "f"})
    assert state(dataset) == ("finished", "")


def test_a_run_is_named_by_its_beginning(dataset: Dataset) -> None:
    record(dataset, "finished")
    tell(dataset, run="20261122T080000Z-cccccc")
    assert life.named(dataset, "20261121") == RUN
    with pytest.raises(SettingsError, match="2 runs begin with '202611'"):
        life.named(dataset, "202611")
    with pytest.raises(SettingsError, match=f"no run is 'x'; the last ones here: {RUN}, 20261122"):
        life.named(dataset, "x")
