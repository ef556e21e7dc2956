"""`history`, `explain` and `compare` tell what runs did to a dataset, from its own commits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from imgbatch.cli import past as commands
from imgbatch.dataset import MANIFEST, Dataset
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.forget import forget
from imgbatch.dataset.given import given, look_up
from imgbatch.dataset.past import Past
from imgbatch.errors import DatasetError, SettingsError
from imgbatch.observe.compare import compare
from imgbatch.observe.explain import explain
from imgbatch.observe.history import history
from imgbatch.observe.rows import Differences, differ
from imgbatch.search import like
from imgbatch.settings import Limits
from tests import corpus
from tests.corpus import PHOTOS, many, run_inline

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = "[analyzers.quality]\n[analyzers.hashes]\n"
# A picture with a contrast below 60 counts as blank: some do.
OTHER = "[analyzers.quality]\nblank_levels = 60.0\n[analyzers.hashes]\n"
LIMITS = Limits(shard_sources=5, commit_seconds=0.001)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: twelve pictures; one new, one changed, one removed, one broken; a threshold."""
    folder = tmp_path_factory.mktemp("past")
    pictures = many(folder / "in", 12)
    run_inline(pictures, folder / "d", recipe=RECIPE, limits=LIMITS)
    (pictures / "00001.jpg").write_bytes(PHOTOS["flower.jpg"].read_bytes())
    (pictures / "00002.jpg").write_bytes(b"no picture")
    (pictures / "00012.jpg").write_bytes(PHOTOS["flower.jpg"].read_bytes())
    (pictures / "00006.jpg").unlink()
    run_inline(pictures, folder / "d", recipe=RECIPE, limits=LIMITS)
    run_inline(pictures, folder / "d", recipe=OTHER, limits=LIMITS)
    return folder


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    """A copy of the dataset, to be harmed."""
    return shutil.copytree(made / "d", tmp_path / "d")


def opened(folder: Path) -> Dataset:
    return Dataset.open(str(folder))


def test_history_tells_runs_in_order_and_what_each_did(made: Path) -> None:
    runs = history(opened(made / "d"))
    counts = ("status", "new", "changed", "removed", "sources_before", "sources_after")
    assert [tuple(run[name] for name in counts) for run in runs] == [
        ("finished", 12, 0, 0, 0, 12),
        ("finished", 1, 2, 1, 12, 12),
        ("finished", 0, 0, 0, 12, 12),
    ]
    assert [run["failed"] for run in runs] == [{}, {"decode.unrecognised": 1}, {}]
    assert [run["recipe"] for run in runs] == [
        [],
        [],
        ["analyzers.quality.blank_levels 2.0 -> 60.0"],
    ]
    # Three shards; two that changed and a new one; the third run filled one table of all four.
    assert [run["parts"].get("quality") for run in runs] == [3, 3, 4]
    assert runs[2]["parts"] == {"quality": 4}


def test_a_run_that_began_and_never_ended_is_told(own: Path) -> None:
    last = opened(own).runs()[-1]
    (own / "runs" / f"{last['run']}.json").write_text(json.dumps(last | {"status": "running"}))
    assert history(opened(own))[-1]["status"] == "running or died"
    take_number(opened(own), "later")
    runs = history(opened(own))
    assert [run["status"] for run in runs] == ["finished", "finished", "died", "no record"]
    assert runs[-1]["sources_after"] == 12


def test_history_tells_a_forget_without_what_was_forgotten(own: Path, made: Path) -> None:
    dataset = opened(own)
    named = given(str(made / "in" / "00004.jpg"))
    forget(dataset, look_up(dataset, [named]))
    last = history(opened(own))[-1]
    assert (last["status"], last["sources_before"], last["sources_after"]) == ("forgot 1", 12, 11)
    assert named.source_id not in json.dumps(last)


def test_explain_tells_the_way_of_a_source_that_changed_and_broke(made: Path) -> None:
    found = explain(opened(made / "d"), str(made / "in/00002.jpg"))
    assert found["outcome"]["error_class"] == "decode.unrecognised"
    assert found["rows"] == {}
    assert [entry["generation"] for entry in found["listed"]] == [0, 1]
    assert len({entry["version"] for entry in found["listed"]}) == 2
    assert [(e["status"], e["carried"]) for e in found["outcomes"]] == [
        ("ok", False),
        ("failed", False),
    ]
    runs = [run["run"] for run in opened(made / "d").runs()]
    assert [entry["run"] for entry in found["outcomes"]] == runs[:2]
    assert [line["run"] for line in found["shard"]] == runs
    assert all(line["seconds"] > 0 for line in found["shard"])


def test_explain_tells_a_neighbour_that_it_was_carried_over(made: Path) -> None:
    found = explain(opened(made / "d"), f"file://{made}/in/00003.jpg")
    assert [entry["touched"] for entry in found["listed"]] == [0, 0]
    assert [entry["carried"] for entry in found["outcomes"]] == [False, True]
    assert found["rows"]["quality"][0]["is_blank"] in (True, False)


def test_explain_tells_of_a_source_that_left(made: Path) -> None:
    found = explain(opened(made / "d"), str(made / "in/00006.jpg"))
    assert found["manifest"] is None
    assert found["outcome"] is None
    assert [entry.get("missing") for entry in found["listed"]] == [None, "it is not in it"]
    assert found["outcomes"][0]["status"] == "ok"


def test_explain_says_when_the_files_of_former_states_are_gone(own: Path, made: Path) -> None:
    for table in (MANIFEST, "tables/sources"):
        held = opened(own).table(table).parts()
        for file in (own / table).glob("*.parquet"):
            if file.name not in held:
                file.unlink()
    found = explain(opened(own), str(made / "in/00002.jpg"))
    assert [entry.get("missing") for entry in found["listed"]] == ["its file is gone", None]
    assert [entry.get("missing") for entry in found["outcomes"]] == ["its file is gone", None]
    with pytest.raises(SettingsError, match="no source"):
        explain(opened(own), str(made / "in/00006.jpg"))


@pytest.mark.parametrize(
    ("text", "near"),
    [("0003.jpg", "in/00003.jpg"), ("elsewhere/00011.JPG", "in/00011.jpg"), ("zebra", None)],
)
def test_a_source_that_is_not_there_is_an_error_with_near_addresses(
    made: Path, text: str, near: str | None
) -> None:
    with pytest.raises(SettingsError) as error:
        explain(opened(made / "d"), text)
    assert ("did you mean" in str(error.value)) == (near is not None)
    assert (near or "") in str(error.value)


def test_explain_finds_members_and_odd_names_by_path_and_the_log_lines_that_name_them(
    tmp_path: Path,
) -> None:
    corpus.make(tmp_path / "in")
    run_inline(tmp_path / "in", tmp_path / "d", recipe="[analyzers.image]\n")
    dataset = opened(tmp_path / "d")
    for name in ("inside.zip!/china.jpg", "inside.tar.gz!/link.jpg", "<b>bold & 'quoted'.jpg"):
        found = explain(dataset, f"{tmp_path}/in/{name}")
        assert found["address"] == f"file://{tmp_path}/in/{name}"
        assert explain(dataset, found["source_id"])["address"] == found["address"]
        assert found["log"] == []
    line = {
        "event": "source.error",
        "source": found["source_id"],
        "level": "error",
        "timestamp": "2",
    }
    (tmp_path / "d/logs/r").mkdir()
    (tmp_path / "d/logs/r/w-0000.jsonl").write_text(f'{{"a": "b"}}\n{json.dumps(line)}\n')
    assert explain(dataset, found["source_id"])["log"] == [line]


def test_explain_and_search_take_a_name_whose_bytes_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("plain.jpg", os.fsdecode(b"\xff\xfe.jpg")):
        shutil.copy(PHOTOS["china.jpg"], tmp_path / "in" / name)
    run_inline(tmp_path / "in", tmp_path / "d", recipe="[analyzers.classic]\n")
    dataset = opened(tmp_path / "d")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/in/\xff\xfe.jpg")
    assert explain(dataset, odd)["address"] == f"file://{tmp_path}/in/%FF%FE.jpg"
    [hit] = like(dataset, odd, LIMITS).hits.to_pylist()
    assert hit["address"] == f"file://{tmp_path}/in/plain.jpg"
    with pytest.raises(SettingsError):
        explain(dataset, os.fsdecode(b"\xff\xfe.jpg"))


def test_compare_counts_sources_and_outcomes(made: Path) -> None:
    found = compare(opened(made / "d"), "first", "previous")
    assert found["sources"] == {
        "before": 12,
        "after": 12,
        "added": 1,
        "removed": 1,
        "changed": 2,
    }
    assert found["outcomes"] == {"ok": {"ok": [12, 11]}, "failed": {"decode.unrecognised": [0, 1]}}
    quality = found["tables"]["quality"]
    names = ("before", "after", "added", "removed", "changed", "of_changed")
    assert [quality[name] for name in names] == [12, 11, 1, 2, 1, 1]
    status = found["tables"]["sources"]["columns"]["status"]
    assert status == {"rows": 1, "kinds": [{"from": "ok", "to": "failed", "rows": 1}]}


def test_compare_tells_which_labels_flipped_when_a_threshold_changed(made: Path) -> None:
    dataset = opened(made / "d")
    contrast = dataset.read("quality", columns=["contrast"])["contrast"]
    blank = pc.sum(pc.less_equal(contrast, 60.0)).as_py()
    assert 0 < blank < 11
    found = compare(dataset, "previous", "last")
    quality = found["tables"]["quality"]
    assert quality["changed"] == blank
    assert quality["of_changed"] == 0
    assert quality["columns"] == {
        "is_blank": {"rows": blank, "kinds": [{"from": False, "to": True, "rows": blank}]}
    }
    assert quality["drift"] == {}
    assert found["tables"]["hashes"]["changed"] == 0


def test_compare_tells_means_and_quantiles_over_all_rows(made: Path) -> None:
    dataset = opened(made / "d")
    drift = compare(dataset, "first", "last")["tables"]["quality"]["drift"]["brightness"]
    past = Past(dataset)
    for side, run in enumerate((past.runs[0], past.runs[-1])):
        table = past.after("tables/quality", run)
        assert table is not None
        values = table.dataset().to_table()["brightness"].to_numpy()
        assert drift["count"][side] == len(values)
        assert drift["mean"][side] == pytest.approx(values.mean())
        assert drift["quantiles"][side][1] == pytest.approx(sorted(values)[len(values) // 2], abs=9)


def test_a_state_after_a_run_is_the_same_as_it_was_then(made: Path, tmp_path: Path) -> None:
    pictures = many(tmp_path / "in", 12)
    run_inline(pictures, tmp_path / "d", recipe=RECIPE, limits=LIMITS)
    past = Past(opened(made / "d"))
    after = past.after("tables/hashes", past.runs[0])
    assert after is not None
    values = after.dataset().to_table()["phash"].to_pylist()
    assert sorted(values) == sorted(opened(tmp_path / "d").read("hashes")["phash"].to_pylist())


def test_the_same_state_twice_differs_in_nothing(made: Path) -> None:
    found = compare(opened(made / "d"), "last", "last")
    assert found["sources"]["changed"] == 0
    assert all(table["columns"] == {} for table in found["tables"].values())


@pytest.mark.parametrize(
    ("text", "said"), [("2", "3 runs begin with '2'"), ("x", "no run is 'x'"), ("", "3 runs")]
)
def test_a_run_that_is_not_one_run_is_an_error_that_names_the_runs(
    made: Path, text: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=said) as error:
        compare(opened(made / "d"), text, "last")
    assert opened(made / "d").runs()[0]["run"] in str(error.value)


def test_a_vacuumed_state_cannot_be_compared_and_says_so(own: Path) -> None:
    held = opened(own).table("tables/quality").parts()
    for file in (own / "tables/quality").glob("*.parquet"):
        if file.name not in held:
            file.unlink()
    with pytest.raises(DatasetError, match="a former state cannot be read") as error:
        compare(opened(own), "first", "last")
    assert "vacuumed" in error.value.remedy
    assert compare(opened(own), "last", "last")["tables"]


def test_nulls_nans_lists_and_tolerances_are_compared_as_values() -> None:
    nan = float("nan")
    for left, right, tolerance, expected in [
        ([1.0, None, nan, 2.0, None], [1.0, None, nan, None, 3.0], 0.0, [0, 0, 0, 1, 1]),
        ([1.0, 1000.0, 1.0, nan], [1.0001, 1000.1, 1.01, 1.0], 1e-3, [0, 0, 1, 1]),
        (["a", None, "b"], ["a", "b", "c"], 0.0, [0, 1, 1]),
        ([[1, 2], None, [3]], [[1, 2], None, [4]], 0.0, [0, 0, 1]),
        ([True, None, False], [True, False, True], 0.0, [0, 1, 1]),
    ]:
        mask = differ(pa.chunked_array([left]), pa.chunked_array([right]), tolerance)
        assert mask.to_pylist() == [bool(e) for e in expected]


def test_rows_are_matched_by_source_and_frame_and_flips_of_too_many_kinds_are_only_counted() -> (
    None
):
    def rows(frames: range, text: str) -> pa.Table:
        return pa.table(
            {
                "source_id": ["s"] * len(frames),
                "version": ["v"] * len(frames),
                "frame": pa.array(frames, pa.int32()),
                "text": [f"{text}{frame}" for frame in frames],
                "flag": [text == "a"] * len(frames),
            }
        )

    found = Differences()
    found.add(rows(range(300), "a"), rows(range(100, 500), "b"), 0.0)
    assert (found.added, found.removed, found.changed) == (200, 100, 200)
    found.add(rows(range(150, 151), "a"), rows(range(150, 151), "b"), 0.0)
    assert found.columns["text"].kinds is not None
    found.add(rows(range(300), "c"), rows(range(300), "d"), 0.0)
    assert found.columns["text"].kinds is None
    assert found.columns["text"].rows == 501
    assert found.columns["flag"].kinds == {(True, False): 201}


def test_the_commands_print_lines_or_one_line_of_json(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(made / "d")
    said: list[tuple[Any, str]] = [
        (lambda *, json: commands.history(folder, json=json), "blank_levels 2.0 -> 60.0"),
        (lambda *, json: commands.explain(folder, source=f"{made}/in/00002.jpg", json=json), "now"),
        (lambda *, json: commands.compare(folder, "first", "last", json=json), "ok -> failed"),
    ]
    for command, words in said:
        command(json=False)
        shown = capsys.readouterr().out
        assert words in shown
        assert "\x1b" not in shown
        command(json=True)
        (line,) = capsys.readouterr().out.splitlines()
        assert json.loads(line)["event"] in {"history", "explain", "compare"}


def test_a_wrong_run_exits_with_the_code_of_a_wrong_word(made: Path) -> None:
    words = [sys.executable, "-m", "imgbatch", "compare", str(made / "d"), "first", "never"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == SettingsError.exit_code
    assert "imgbatch history DATASET" in done.stderr
