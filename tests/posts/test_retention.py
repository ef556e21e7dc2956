"""For how long posts are kept: a recipe that changes nothing else has its say all the same."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset
from imgbatch.summary_lines import run_lines
from tests.posts.made import RECIPE, Tweet, bring, photo, rows, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

AUDITS = "forgotten/*.json"
OLD = "2020-03-04T05:06:07.000Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder `in` whose one post is of 2020, and a dataset `own` whose recipe keeps no time."""
    photo(tmp_path / "in/FfOfFirst1.jpg")
    write_dump(tmp_path / "in/tweets.jsonl", [Tweet("17", "one", ["FfOfFirst1.jpg"], when=OLD)])
    bring(tmp_path / "in", tmp_path / "own")
    return tmp_path


@pytest.fixture
def said(folder: Path, imgbatch: Callable[..., Done]) -> Callable[..., str]:
    """Run or plan over the folder, with lines of `[posts]`; gives what it says."""

    def call(command: str, lines: str = "") -> str:
        if command == "run":
            return "\n".join(run_lines(bring(folder / "in", folder / "own", lines)))
        (folder / "recipe.toml").write_text(f"{RECIPE}[posts]\n{lines}\n")
        recipe = folder / "recipe.toml"
        done = imgbatch(command, folder / "in", folder / "own", "--recipe", recipe)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def records(folder: Path) -> int:
    return len(Dataset.open(str(folder / "own")).run_names())


def test_what_retain_says_to_do_makes_it_work(
    folder: Path, imgbatch: Callable[..., Done], said: Callable[..., str]
) -> None:
    refused = imgbatch("retain", folder / "own", "--yes")
    assert (refused.returncode, "set `keep_days`" in refused.stderr) == (10, True)
    line = "posts are kept for 3,000 days from this run on, without end before"
    assert line not in said("plan")
    assert line in said("plan", "keep_days = 3000")
    assert "nothing to do" not in said("plan", "keep_days = 3000")
    assert line in said("run", "keep_days = 3000")
    kept = imgbatch("retain", folder / "own", "--yes", "--json")
    assert (kept.returncode, kept.said["days"]) == (0, 3000)


def test_a_shorter_time_holds_and_so_does_none(
    folder: Path, imgbatch: Callable[..., Done], said: Callable[..., str]
) -> None:
    said("run", "keep_days = 36500")
    line = "posts are kept for 30 days from this run on, for 36,500 days before"
    assert line in said("run", "keep_days = 30")
    said("run", "")
    assert imgbatch("retain", folder / "own", "--yes").returncode == 10
    said("run", "keep_days = 30")
    done = imgbatch("retain", folder / "own", "--yes", "--json")
    assert (done.said["days"], done.said["posts"]) == (30, 1)


def test_it_is_recorded_once(folder: Path, said: Callable[..., str]) -> None:
    said("run", "keep_days = 30")
    before = records(folder)
    assert "nothing to do: all are up to date" in said("plan", "keep_days = 30")
    assert "nothing to do" in said("run", "keep_days = 30")
    assert records(folder) == before


def test_runs_over_samples_and_over_inputs_without_posts_leave_it_as_it_is(folder: Path) -> None:
    photo(folder / "photos/a.jpg", "china.jpg")
    bring(folder / "photos", folder / "own", "keep_days = 30", add_input=True)
    last = records(folder)
    bring(folder / "photos", folder / "own", add_input=True)
    bring(folder / "in", folder / "own", "keep_days = 99", limit=1, add_input=True)
    assert records(folder) == last
    assert bring(folder / "in", folder / "own", "keep_days = 7", add_input=True).retention == {
        "days": 7,
        "before": None,
    }


def test_a_first_run_has_nothing_to_change(folder: Path) -> None:
    shutil.rmtree(folder / "own")
    assert bring(folder / "in", folder / "own", "keep_days = 30").retention is None


def test_each_input_has_its_own_time_and_none_is_recorded_twice(
    folder: Path, imgbatch: Callable[..., Done], said: Callable[..., str]
) -> None:
    other = Tweet("18", "two", when=OLD)
    (folder / "other").mkdir()
    write_dump(folder / "other/tweets.jsonl", [other])
    said("run", "keep_days = 36500")
    assert bring(folder / "other", folder / "own", add_input=True).retention is None
    said("run", "keep_days = 36500")
    last = records(folder)
    for _ in range(2):
        assert "nothing to do" in said("run", "keep_days = 36500")
        assert "nothing to do" in said("plan", "keep_days = 36500")
        assert bring(folder / "other", folder / "own", add_input=True).retention is None
    assert records(folder) == last
    kept = imgbatch("retain", folder / "own", "--yes", "--json")
    assert (kept.returncode, kept.said["days"], kept.said["posts"]) == (0, 36500, 0)
    assert list(kept.said["inputs"].values()) == [36500]

    bring(folder / "other", folder / "own", "keep_days = 30", add_input=True)
    kept = imgbatch("retain", folder / "own", "--yes", "--json")
    assert (kept.returncode, kept.said["days"], kept.said["posts"]) == (0, 30, 1)
    assert sorted(kept.said["inputs"].values()) == [30, 36500]
    assert rows(folder / "own", "posts", "post_id") == [("17",)]
    reasons = [json.loads(one.read_text())["reason"] for one in (folder / "own").glob(AUDITS)]
    assert [one.count("days, before") for one in reasons] == [2]
    again = imgbatch("retain", folder / "own", "--yes")
    assert "no post is older than 30 or 36500 days" in again.stdout


@pytest.mark.parametrize("turned", [False, True])
def test_of_a_post_of_several_inputs_the_shortest_time_holds(
    folder: Path, imgbatch: Callable[..., Done], *, turned: bool
) -> None:
    for name in ("one", "two"):
        (folder / name).mkdir()
        write_dump(folder / name / "tweets.jsonl", [Tweet("17", "one", when=OLD)])
    days = ("keep_days = 30", "")
    for name, line in zip(("one", "two"), days[::-1] if turned else days, strict=True):
        bring(folder / name, folder / "own", line, add_input=True)
    kept = imgbatch("retain", folder / "own", "--yes", "--json")
    assert (kept.returncode, kept.said["days"], kept.said["posts"]) == (0, 30, 1)
    assert rows(folder / "own", "posts") == []


def test_what_a_sample_was_asked_for_is_not_how_long_posts_are_kept(
    folder: Path, imgbatch: Callable[..., Done], said: Callable[..., str]
) -> None:
    said("run", "keep_days = 36500")
    photo(folder / "in/AA.jpg", "china.jpg")
    bring(folder / "in", folder / "own", "keep_days = 30", limit=1)
    kept = imgbatch("retain", folder / "own", "--yes", "--json")
    assert (kept.said["days"], kept.said["posts"]) == (36500, 0)
