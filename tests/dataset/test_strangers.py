"""What lies in a dataset and nothing of ours makes: told, and never what a command of ours made."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import typer
from typer.testing import CliRunner

from imgbatch.cli import app
from imgbatch.dataset import Dataset, lock
from imgbatch.dataset.strangers import FILES, OURS, strangers
from imgbatch.storage import open_store
from tests import corpus
from tests.posts.made import Tweet, write_dump

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMANDS: Any = typer.main.get_command(app)
RECIPE = "[analyzers.hashes]\n[analyzers.classic]\n[analyzers.pixels]\nwidth = 8\nheight = 8\n"
INLINE = ("--engine", "inline")
# What is there for as long as a command is at work, or was killed.
PASSING = {"doctor", lock.NAME}
# Commands that are not typed here: they make what another makes.
ALIKE = {
    "submit": "run, on a cluster",
    "cloud run": "run, on rented machines",
    "cloud plan": "plan",
    "classify": "group; it needs the weights of a CLIP model",
}


def of_datasets(group: Any, before: str = "") -> Iterator[str]:
    """Yield every command that is given a DATASET."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from of_datasets(command, f"{before}{name} ")
        elif any(each.metavar == "DATASET" for each in command.params):
            yield before + name


def typed(*words: str | Path) -> str:
    """Run a command in this process; return what it printed."""
    done = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, (words, done.output)
    return done.stdout


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """A dataset after every command that may make something in one, and these commands."""
    folder = tmp_path_factory.mktemp("used")
    given, made = corpus.many(folder / "in", 24), folder / "d"
    (given / "half.jpg").write_bytes(corpus.PHOTOS["china.jpg"].read_bytes()[:50_000])
    names = sorted(file.name for file in given.iterdir())
    write_dump(given / "posts.jsonl", [Tweet(str(at), media=[n]) for at, n in enumerate(names)])
    (folder / "r.toml").write_text(RECIPE)
    labels = [f"{name},{'ab'[at % 2]}" for at, name in enumerate(names[:20])]
    (folder / "labels.csv").write_text("\n".join(["source,label", *labels]) + "\n")
    model, learner = folder / "m.skops", ("--on", "pixels", "--model", "bayes")
    one = given / names[0]
    recipe = ("--recipe", folder / "r.toml")
    lines: list[tuple[str | Path, ...]] = [
        ("doctor", given, made, *recipe),
        ("plan", given, made, *recipe),
        ("run", given, made, *recipe, *INLINE, "--workers", "1"),
        ("retry", made, "--class", "decode.*", *INLINE),
        ("status", made),
        ("tail", made),
        ("logs", made, "--out", folder / "logs"),
        ("explain", made, "--source", one),
        ("history", made),
        ("group", made, "duplicates", *INLINE),
        ("group", made, "clusters", "--set", "table=classic", "--set", "k=2", *INLINE),
        ("fit", made, "--labels", folder / "labels.csv", *learner, "--out", model),
        ("apply", made, model),
        ("search", made, "--like", one, "--on", "classic", "--html"),
        ("report", made),
        ("sheet", made),
        ("export", made, folder / "plain"),
        ("verify", made),
    ]
    for line in lines:
        typed(*line)
    runs = json.loads(typed("history", made, "--json"))["runs"]
    last: list[tuple[str | Path, ...]] = [
        ("compare", made, *(each["run"] for each in runs[:2])),
        ("forget", made, "--source", one, "--yes"),
        ("retain", made, "--days", "1", "--yes"),
    ]
    for line in last:
        typed(*line)
    CliRunner().invoke(app, ["cancel", str(made)])  # no run is at work
    (made / "tables" / "hashes" / "stray.txt").write_text("words")
    typed("run", given, made, *recipe, *INLINE, "--repair")
    return made, {str(line[0]) for line in lines + last} | {"cancel"}


@pytest.mark.slow
def test_every_command_of_a_dataset_is_looked_at(used: tuple[Path, set[str]]) -> None:
    assert set(of_datasets(COMMANDS)) == used[1] | set(ALIKE)


@pytest.mark.slow
def test_what_our_commands_make_is_no_stranger_and_no_folder_is_ours_for_nothing(
    used: tuple[Path, set[str]],
) -> None:
    made = used[0]
    assert strangers(Dataset.open(str(made)), []) == []
    assert {each.name for each in made.iterdir() if each.is_dir()} == OURS - PASSING
    for folder, patterns in FILES.items():
        names = [each.name for each in (made / folder).iterdir() if each.is_file()]
        unused = {p for p in patterns if not any(fnmatchcase(name, p) for name in names)}
        assert unused <= PASSING, folder


def test_files_of_others_are_noted_wherever_ours_lie_singly(tmp_path: Path) -> None:
    corpus.run_inline(corpus.many(tmp_path / "in", 2), tmp_path / "d", recipe="[analyzers.image]\n")
    dataset = Dataset.open(str(tmp_path / "d"))
    assert strangers(dataset, []) == []
    (tmp_path / "d" / "notes.txt").write_text("mine")
    (tmp_path / "d" / "runs" / "why.md").write_text("mine")
    (tmp_path / "d" / "logs" / "line\n.log").write_text("mine")
    assert strangers(dataset, []) == [
        "no part of the dataset: notes.txt, logs/line%0A.log, runs/why.md"
    ]
    for number in range(10):
        (tmp_path / "d" / f"{number}.jpg").write_text("mine")
    (note,) = strangers(dataset, [])
    assert note.endswith("0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 8 more")


def test_the_marks_that_consoles_make_for_folders_are_no_files(bucket: str) -> None:
    store = open_store(f"s3://{bucket}/marked")
    store.put("logs/run/a.jsonl", b"{}")
    for name in ("marked/", "marked/logs/", "marked/report/"):
        boto3.client("s3").put_object(Bucket=bucket, Key=name, Body=b"")
    assert list(store.files()) == list(store.files("logs")) == list(store.files("report")) == []
