"""`imgbatch dumps` as people type it, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from imgbatch.sources import dumps

FIXTURES = Path(__file__).parent / "sources" / "dumps"


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imgbatch", "dumps", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


def test_every_format_is_told_with_how_it_is_recognised_and_what_it_yields() -> None:
    done = run()
    assert done.returncode == 0, done.stderr
    for name in dumps.formats():
        assert f"\n{name}: " in f"\n{done.stdout}"
    assert done.stdout.count("  recognised by ") == len(dumps.formats())
    told = [json.loads(line) for line in run("--json").stdout.splitlines()]
    assert [each["name"] for each in told] == dumps.formats()


def test_an_input_is_told_by_what_it_is_taken_for_and_what_reading_it_gives() -> None:
    done = run(FIXTURES / "twarc2", "--read")
    assert done.returncode == 0, done.stderr
    assert "twarc2: 90% sure" in done.stdout
    assert "metadata in 2 files:\n  flattened.jsonl\n  pages.jsonl\n" in done.stdout
    assert "10 posts with 13 media, 3 gaps" in done.stdout
    assert "1 missing-field includes.media in pages.jsonl" in done.stdout


def test_an_input_that_is_no_dump_exits_32_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    for words, said in (
        ([tmp_path], "is no dump of a known format"),
        ([tmp_path, "--dump", "twarc2"], "has no file of the format twarc2"),
        ([tmp_path, "--dump", "twarc"], "did you mean 'twarc2'"),
    ):
        done = run(*words)
        assert done.returncode == 32
        assert said in done.stderr
        assert "to do: " in done.stderr
        assert "Traceback" not in done.stderr
