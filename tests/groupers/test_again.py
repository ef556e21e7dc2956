"""The command that makes labels anew, as `verify` prints it, works as it is printed."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from imgbatch import groupers
from imgbatch.cli import app
from imgbatch.dataset import Dataset, groups, labels
from imgbatch.dataset.again import command
from imgbatch.grouping import Wish, group, settings_of
from imgbatch.settings import Limits
from tests.groupers.written import dataset, rows_of

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

ASKED: list[tuple[str, dict[str, Any], str, str]] = [
    ("clusters", {"k": 4, "table": "embed", "seed": 0}, "", "clusters --set k=4"),
    ("clusters", {"k": "2-4/2"}, "some", "clusters --name some --set k=2-4/2"),
    (
        "clusters",
        {"method": "hdbscan", "smallest": 2},
        "h",
        "clusters --name h --set method=hdbscan --set smallest=2",
    ),
    ("people", {"threshold": 0.3, "faces": 3}, "", "people --set threshold=0.3 --set faces=3"),
    ("duplicates", {"distance": 0}, "strict", "duplicates --name strict --set distance=0"),
    ("duplicates", {"distance": 32, "detail": 12}, "", "duplicates"),
]


def tables(name: str, count: int) -> dict[str, pa.Table]:
    module = groupers.load(name)
    reads = module.READS(module.Settings())
    return {
        table: rows_of(table, list(columns)).slice(0, count) for table, columns in reads.items()
    }


def record(made: Dataset, name: str) -> dict[str, Any]:
    found = groups.record(Dataset.open(made.url).table(groups.path_of(name)))
    assert found is not None
    return found


def grouped_again(made: Dataset, told: str) -> None:
    """Do what a note or a problem says."""
    (line,) = re.findall(r": group again: `imgbatch ([^`]*)`$", told)
    words = shlex.split(line.replace("DATASET", shlex.quote(made.url)))
    done = CliRunner().invoke(app, [*words, "--engine", "inline"])
    assert done.exit_code == 0, (line, done.exception)


@pytest.mark.parametrize(("name", "settings", "label", "words"), ASKED)
def test_labels_come_again_with_the_settings_that_they_were_made_with(
    name: str, settings: dict[str, Any], label: str, words: str, tmp_path: Path
) -> None:
    made = dataset(tmp_path / "d", tables(name, 100))
    wish = Wish(made.url, name, settings, label)
    group(wish, Limits(), say=str)
    before = record(made, wish.name)
    made = dataset(tmp_path / "d", tables(name, 150), seed=1)
    (note,) = labels.check(Dataset.open(made.url)).notes
    assert note.endswith(f"group again: `imgbatch group DATASET {words}`")
    grouped_again(made, note)
    after = record(made, wish.name)
    assert (after["settings"], after["rows"]) == (before["settings"], 147)
    assert labels.check(Dataset.open(made.url)).notes == []
    table = Dataset.open(made.url).table(groups.path_of(wish.name))
    (part,) = table.parts()
    made.store.delete(f"{table.name}/{part}")
    (problem, *_) = labels.check(Dataset.open(made.url)).problems
    assert problem.endswith(f"`imgbatch group DATASET {words} --anew`")
    grouped_again(made, problem)
    assert record(made, wish.name)["settings"] == before["settings"]
    assert labels.check(Dataset.open(made.url)).problems == []


def test_labels_of_former_versions_come_again_with_all_that_is_known_of_them() -> None:
    settings = groupers.load("clusters").Settings(k=4, method="minibatch")
    made = {"grouper": "clusters", "settings": settings.model_dump(mode="json")}
    words = shlex.split(command("clusters-h", made))
    assert words[:6] == ["imgbatch", "group", "DATASET", "clusters", "--name", "h"]
    assert groupers.load("clusters").Settings(**settings_of(words[7::2])) == settings


@pytest.mark.parametrize(
    "value", ["plain", "5-20", "", "4", "true", "a b 'c' $d", 'x"y', "\u00e9", "1 # 2"]
)
def test_a_setting_is_printed_as_it_is_read(value: str) -> None:
    asked = {"a": value, "b": [value, "other"], "c": True, "d": 1e-9}
    words = shlex.split(command("people", {"grouper": "people", "settings": {}, "asked": asked}))
    assert settings_of(words[5::2]) == asked


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("learned-x", {"model": "a b.skops", "sha256": "0"}, "apply DATASET 'a b.skops' --name x"),
        ("zero_shot", {"prompts": ["a", "b"]}, "classify DATASET --prompts FILE"),
        (
            "zero_shot-x",
            {"prompts": ["a"], "table": "clip2"},
            "classify DATASET --prompts FILE --on clip2 --name x",
        ),
    ],
)
def test_labels_of_models_and_words_come_again_by_their_own_commands(
    name: str, settings: dict[str, Any], words: str
) -> None:
    made = {"grouper": name.partition("-")[0], "settings": settings, "asked": settings}
    assert command(name, made) == f"imgbatch {words}"


@pytest.mark.parametrize(
    ("name", "before", "now", "line"),
    [
        ("duplicates", {"distance": 0}, {}, "distance 0 -> 32"),
        ("duplicates", {}, {"detail": 0, "distance": 9}, "distance 32 -> 9; detail 12 -> 0"),
        ("people", {"threshold": 0.3}, {"threshold": 0.4}, "threshold 0.3 -> 0.4"),
        ("clusters", {"k": 5}, {"k": 5, "exemplars": 3}, "exemplars 20 -> 3"),
        ("duplicates", {"distance": 32}, {}, ""),
    ],
)
def test_other_settings_than_of_the_labels_that_are_replaced_are_said_in_one_line(
    name: str, before: dict[str, Any], now: dict[str, Any], line: str, tmp_path: Path
) -> None:
    made = dataset(tmp_path / "d", tables(name, 100))
    for settings, anew, wanted in (
        (before, False, ""),
        (now, False, line),
        (now, False, ""),
        (now, True, ""),
    ):
        assert _said(Wish(made.url, name, settings, anew=anew)) == wanted
    asked = Wish(made.url, name, before, anew=True)
    assert bool(_said(asked)) is bool(line)
    assert _said(Wish(made.url, name, now, "beside")) == ""


def _said(wish: Wish) -> str:
    """Group; return what was said of settings."""
    said: list[str] = []
    group(wish, Limits(), say=said.append)
    start = f"labels in groups/{wish.name} will be replaced by those of other settings: "
    found = [text.removeprefix(start) for text in said if text.startswith(start)]
    assert len(found) < 2
    return "".join(found)
