"""The commands as people type them, each in a process of its own."""

from __future__ import annotations

import gc
import json
import math
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from imgbatch import errors, terminal
from imgbatch.dataset import FORMAT
from tests import corpus

if TYPE_CHECKING:
    from pathlib import Path


def imgbatch(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imgbatch", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    corpus.make(folder / "corpus")
    (folder / "r.toml").write_text(corpus.RECIPE)
    done = imgbatch("run", folder / "corpus", folder / "d", "--engine", "inline")
    assert done.returncode == 0, done.stderr
    return folder


def test_run_says_what_came_of_it_and_again_that_there_is_nothing_to_do(made: Path) -> None:
    done = imgbatch("run", made / "corpus", made / "d", "--engine", "inline")
    assert done.returncode == 0
    assert done.stdout.startswith(f"nothing to do: {len(corpus.EXPECTED)} sources")


def test_run_prints_plain_lines_into_a_pipe(made: Path, tmp_path: Path) -> None:
    recipe = made / "r.toml"
    done = imgbatch(
        "run", made / "corpus", tmp_path / "d", "--recipe", recipe, "--engine", "inline"
    )
    assert "\x1b" not in done.stdout + done.stderr
    assert f"to do: {len(corpus.EXPECTED)} sources in" in done.stderr
    assert "1  decode.truncated" in done.stdout


def test_run_with_json_prints_nothing_but_json(made: Path, tmp_path: Path) -> None:
    words = ["--recipe", made / "r.toml", "--engine", "inline", "--json", "--limit", "5"]
    done = imgbatch("run", made / "corpus", tmp_path / "d", *words)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["event"] == "finished"
    assert events[-1]["sources"] == 5
    assert done.stderr == ""


@pytest.mark.slow
def test_verify_status_and_export_answer(made: Path, tmp_path: Path) -> None:
    verified = imgbatch("verify", made / "d")
    assert verified.returncode == 0
    assert "verified: everything is as committed" in verified.stdout
    status = json.loads(imgbatch("status", made / "d", "--json").stdout)
    assert status["sources"] == len(corpus.EXPECTED)
    assert "decode" in imgbatch("status", made / "d").stdout
    assert imgbatch("export", made / "d", tmp_path / "out", "--format", "csv").returncode == 0
    assert (tmp_path / "out" / "sources.csv").exists()


@pytest.mark.slow
def test_verify_of_a_damaged_dataset_names_the_shard_and_exits_14(
    made: Path, tmp_path: Path
) -> None:
    words = ["--recipe", made / "r.toml", "--engine", "inline"]
    imgbatch("run", made / "corpus", tmp_path / "d", *words)
    part = next((tmp_path / "d" / "tables" / "hashes").glob("*.parquet"))
    part.unlink()
    done = imgbatch("verify", tmp_path / "d")
    assert done.returncode == errors.DamageError.exit_code == 14
    assert f"problem: shard {part.name.partition('-')[0]}" in done.stdout
    assert "to do: `imgbatch run INPUT DATASET --repair`" in done.stderr


@pytest.mark.slow
def test_verify_of_a_dataset_that_a_run_left_unfinished_says_to_run_again(tmp_path: Path) -> None:
    words = ["run", corpus.many(tmp_path / "in", 3), tmp_path / "d", "--engine", "inline"]
    assert imgbatch(*words).returncode == 0
    shutil.rmtree(tmp_path / "d" / "tables" / "hashes")  # as if it had not come to that table
    done = imgbatch("verify", tmp_path / "d")
    assert done.returncode == errors.DamageError.exit_code
    assert "Nothing is damaged" in done.stderr
    assert "`imgbatch run INPUT DATASET` goes on" in done.stderr
    assert imgbatch(*words).returncode == 0
    assert imgbatch("verify", tmp_path / "d").returncode == 0


@pytest.mark.slow
def test_analyzers_and_recipes_are_shown_to_copy(tmp_path: Path) -> None:
    shown = imgbatch("analyzers").stdout
    assert "quality: " in shown
    assert "phash (string)" in shown
    recipe = imgbatch("recipe", "show", "quick").stdout
    (tmp_path / "mine.toml").write_text(recipe)
    folder = corpus.many(tmp_path / "c", 1)
    words = ["--recipe", tmp_path / "mine.toml", "--engine", "inline"]
    assert imgbatch("run", folder, tmp_path / "d", *words).returncode == 0


def test_preprocess_writes_copies_and_counts_them(made: Path, tmp_path: Path) -> None:
    steps = '[[steps]]\nname = "crop_square"\n[[steps]]\nname = "resize"\nwidth = 64\nheight = 64\n'
    (tmp_path / "steps.toml").write_text(steps)
    words = ["preprocess", made / "corpus", tmp_path / "out", "--recipe", tmp_path / "steps.toml"]
    done = imgbatch(*words, "--json")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    ok = sum(outcome == "ok" for outcome in corpus.EXPECTED.values())
    assert (counts["sources"], counts["copies"]) == (len(corpus.EXPECTED), ok)
    copies = list((tmp_path / "out" / "copies").rglob("*.jpg"))
    assert len(copies) == ok
    with Image.open(copies[0]) as image:
        assert image.size == (64, 64)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["verify", "{tmp}/nothing"], 12, "not an imgbatch dataset"),
        (["run", "{tmp}/nothing", "{tmp}/d"], 11, "is not there"),
        (["run", "{tmp}", "{tmp}/../d", "--recipe", "quik"], 10, "did you mean 'quick'"),
        (["run", "{tmp}", "{tmp}/../d", "--recipe", "{tmp}/bad.toml"], 10, "'brightnes'"),
        (["run", "{tmp}", "s4://bucket"], 10, "did you mean 's3'"),
        (["run", "{tmp}", "{tmp}/../d", "--max-failed", "many"], 10, "--max-failed 'many'"),
        (["run", "{tmp}", "{tmp}/../d", "--address", "1.2.3.4:6379"], 10, "inline uses none"),
        (["run", "{tmp}"], 2, "DATASET"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_what_is_wrong_is_said_with_a_remedy_and_a_code(
    tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    (tmp_path / "bad.toml").write_text("[analyzers.quality]\nbrightnes = 1\n")
    if words[0] == "run":
        words = [*words, "--engine", "inline"]
    done = imgbatch(*[w.replace("{tmp}", str(tmp_path)) for w in words])
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    if code != 2:
        assert "to do: " in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["run", "{corpus}", "{d}", "--engine", "inline"],
        ["run", "{corpus}", "{d}", "--engine", "inline", "--repair"],
        ["verify", "{d}"],
        ["report", "{d}"],
    ],
)
@pytest.mark.parametrize("other", [FORMAT - 1, FORMAT + 1])
def test_a_dataset_of_another_format_version_is_refused_and_left_as_it_is(
    made: Path, tmp_path: Path, words: list[str], other: int
) -> None:
    shutil.copytree(made / "d", tmp_path / "d")
    (tmp_path / "d/dataset.json").write_text(json.dumps({"format": other, "made_by": "9.9"}))
    (made / "corpus/new.jpg").write_bytes(corpus.PHOTOS["china.jpg"].read_bytes())
    before = held(tmp_path / "d")
    try:
        places = {"corpus": made / "corpus", "d": tmp_path / "d"}
        done = imgbatch(*[word.format(**places) for word in words])
    finally:
        (made / "corpus/new.jpg").unlink()
    assert done.returncode == errors.DatasetError.exit_code == 12
    assert f"has dataset format {other}" in done.stderr
    assert f"knows {FORMAT}" in done.stderr
    assert "to do: Use the version of imgbatch that made it" in done.stderr
    assert held(tmp_path / "d") == before


def held(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("text", "value"),
    [(None, None), ("0", 0), ("7", 7), ("5%", 0.05), ("0%", 0), ("100%", math.inf)],
)
def test_max_failed_is_a_count_or_a_share(text: str | None, value: float | None) -> None:
    assert terminal.max_failed(text) == value


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys, imgbatch.__main__\n"
        "read = {'typer', 'rich'} & set(sys.modules)\n"
        "import imgbatch.cli\n"
        "heavy = {'numpy', 'pyarrow', 'ray', 'cv2', 'PIL', 'deltalake', 'av'}\n"
        "print(sorted(read), sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    # A worker's process reads the first module, and has no command line.
    assert done.stdout.strip() == "[] []"


def test_a_process_that_runs_a_command_within_keeps_its_own_exit_code(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from imgbatch.__main__ import main\n"
        "try:\n"
        f"    sys.argv = ['imgbatch', 'status', {str(tmp_path)!r}]\n"
        "    main()\n"
        "except SystemExit as ended:\n"
        "    assert ended.code == 12, ended\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_a_command_loads_is_not_looked_through_for_garbage() -> None:
    before = gc.get_freeze_count()
    try:
        with terminal.loading():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


def test_a_part_of_the_input_is_what_is_taken_in_and_a_changed_recipe_still_redoes_all(
    tmp_path: Path,
) -> None:
    given, recipe = corpus.many(tmp_path / "in", 3), tmp_path / "r.toml"
    recipe.write_text("[media]\n[analyzers.pixels]\n")
    corpus.run_inline(given, tmp_path / "d", recipe=recipe.read_text())
    recipe.write_text("[media]\n[analyzers.pixels]\nwidth = 32\n")
    for option in (terminal.Limit, terminal.Sample):
        assert "a changed recipe still redoes all" in option.__metadata__[0].help
    for part in (("--limit", "1"), ("--sample", "0.4")):
        done = imgbatch("plan", given, tmp_path / "d", "--recipe", recipe, *part)
        assert done.returncode == 0, done.stderr
        assert "to read: 3 sources" in done.stdout
