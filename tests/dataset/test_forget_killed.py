"""A forget that is killed at any of its writes, by SIGKILL: the next one completes it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import MANIFEST, Dataset
from imgbatch.dataset.audit import records
from imgbatch.dataset.forget import forget
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.given import given, look_up
from imgbatch.dataset.verify import verify
from imgbatch.report import write_report
from imgbatch.settings import Limits
from tests import corpus
from tests.equal import assert_equal

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = "[analyzers.image]\n[analyzers.motion]\n"
LIMITS = Limits(shard_sources=4, commit_seconds=0.001)
GONE = ("00001.jpg", "00006.jpg")

# Every way in which a forget writes. Each call is a place to die at, just before it is made: that
# is also just after the one before. The parent forks and never opens a table itself.
KILLER = """
import json, os, shutil, signal, sys
from imgbatch.dataset import Dataset, delta
from imgbatch.dataset.forget import forget
from imgbatch.dataset.given import given, look_up
from imgbatch.storage import local

whole, out, *names = sys.argv[1:]
calls, die_at = 0, 0

def watched(function):
    def call(*args, **named):
        global calls
        calls += 1
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **named)
    return call

os.replace, os.link = watched(os.replace), watched(os.link)
local.LocalStore.delete = watched(local.LocalStore.delete)
delta.Table.commit = watched(delta.Table.commit)
while True:
    die_at += 1
    folder = f"{out}/{die_at}"
    shutil.copytree(whole, folder)
    child = os.fork()
    if not child:
        dataset = Dataset.open(folder)
        forget(dataset, look_up(dataset, [given(name) for name in names]))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
print(json.dumps(die_at - 1))
"""


@pytest.mark.slow
def test_killed_before_each_write_it_is_completed_by_the_next(tmp_path: Path) -> None:
    corpus.many(tmp_path / "in", 12)
    corpus.run_inline(tmp_path / "in", tmp_path / "own", recipe=RECIPE, limits=LIMITS)
    write_report(Dataset.open(str(tmp_path / "own")))
    names = [str(tmp_path / "in" / name) for name in GONE]
    words = [sys.executable, "-c", KILLER, str(tmp_path / "own"), str(tmp_path / "out"), *names]
    deaths = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
    assert deaths > 30
    shutil.copytree(tmp_path / "in", tmp_path / "kept")
    for name in GONE:
        (tmp_path / "in" / name).unlink()
    corpus.run_inline(tmp_path / "in", tmp_path / "fresh", recipe=RECIPE, limits=LIMITS)
    for name in GONE:
        shutil.copy(tmp_path / "kept" / name, tmp_path / "in")
    for death in range(1, deaths + 1):
        _completed(tmp_path, tmp_path / "out" / str(death), names, run_between=death % 2 == 0)


def _completed(place: Path, own: Path, names: list[str], *, run_between: bool) -> None:
    named = [given(name) for name in names]
    dataset = Dataset.open(str(own))
    if dataset.read(MANIFEST).num_rows < len(list((place / "in").iterdir())):
        assert list(own.glob("forgotten/*.parquet")), "tombstones come first"
    begun = [record for record in records(dataset.store) if record["status"] == "begun"]
    if begun:
        assert verify_forgotten(dataset).problems
    if run_between and len(verify_forgotten(dataset, named).problems):
        summary = corpus.run_inline(place / "in", own, recipe=RECIPE, limits=LIMITS)
        assert summary.forgotten == (2 if list(own.glob("forgotten/*.parquet")) else 0)
    dataset = Dataset.open(str(own))
    # One that is on record as begun is completed by any other.
    other = [given("s3://elsewhere/unknown.jpg")] if begun and not run_between else named
    had_page = (own / "report" / "index.html").exists()
    audit = forget(dataset, look_up(dataset, other))
    assert verify_forgotten(dataset, named).problems == []
    assert verify(dataset).problems == []
    assert {record["status"] for record in records(dataset.store)} == {"finished"}
    # Whoever deleted the page says so as long as it is begun; who finished has told its caller.
    assert audit.report == ("pictures" if begun or had_page else "none")
    assert not (own / "report/index.html").exists()
    assert_equal(own, place / "fresh")
