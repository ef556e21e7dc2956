"""Labels of a dataset: whole or not at all, by one writer, without forgotten sources, and said."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pytest
from PIL import Image, ImageEnhance

from imgbatch.cli import live_lines
from imgbatch.dataset import Dataset, groups
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.export import export
from imgbatch.dataset.forget import forget
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.given import given, look_up
from imgbatch.dataset.lock import RunLock
from imgbatch.dataset.verify import verify
from imgbatch.errors import BusyError, DamageError, FencedError, GroupError, SettingsError
from imgbatch.grouping import Wish, group, settings_of
from imgbatch.observe.history import history
from imgbatch.observe.status import status
from imgbatch.report import write_report
from imgbatch.settings import Limits
from imgbatch.storage import open_store
from tests import corpus
from tests.groupers.written import label

if TYPE_CHECKING:
    import pyarrow as pa

RECIPE = "[analyzers.hashes]\n[analyzers.classic]\n"
COPIES = ("china.jpg", "china smaller.jpg", "china again.jpg")


def pictures(folder: Path) -> Path:
    """Fill a folder with two photographs, one of them three times."""
    folder.mkdir()
    for name in ("china.jpg", "flower.jpg"):
        shutil.copy(corpus.PHOTOS[name], folder)
    shutil.copy(corpus.PHOTOS["china.jpg"], folder / "china again.jpg")
    with Image.open(folder / "china.jpg") as image:
        smaller = ImageEnhance.Brightness(image.resize((320, 214))).enhance(1.2)
        smaller.save(folder / "china smaller.jpg", quality=30)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with labels and, beside it, what it was made of."""
    folder = tmp_path_factory.mktemp("grouping")
    corpus.run_inline(pictures(folder / "in"), folder / "out", recipe=RECIPE)
    label(Dataset.open(str(folder / "out")), "duplicates")
    return folder


@pytest.fixture
def dataset(whole: Path, tmp_path: Path) -> Dataset:
    shutil.copytree(whole / "out", tmp_path / "out")
    return Dataset.open(str(tmp_path / "out"))


def names_of(dataset: Dataset, whole: Path) -> dict[str, str]:
    rows = dataset.read("sources", columns=["source_id", "address"]).to_pylist()
    start = f"file://{whole}/in/"
    return {r["source_id"]: r["address"].removeprefix(start).replace("%20", " ") for r in rows}


def labels(dataset: Dataset, name: str = "duplicates") -> pa.Table:
    return groups.read(Dataset.open(dataset.url), name)


def quiet(dataset: Dataset, **asked: Any) -> dict[str, Any]:
    return group(Wish(dataset.url, **asked), Limits(), say=str)


def test_copies_have_one_label_and_the_commit_says_what_it_was_made_of(
    dataset: Dataset, whole: Path
) -> None:
    names = names_of(dataset, whole)
    found = {names[r["source_id"]]: r["group_id"] for r in labels(dataset).to_pylist()}
    assert len({found[name] for name in COPIES}) == 1
    assert found["flower.jpg"] is None
    made = groups.record(dataset.table("groups/duplicates"))
    assert made is not None
    assert made["grouper"] == "duplicates"
    assert made["settings"] == {"distance": 32, "detail": 12}
    assert {n: r["rows"] for n, r in made["tables"].items()} == {"sources": 4, "hashes": 4}
    parts = dataset.table("tables/hashes").parts()
    assert made["tables"]["hashes"]["fingerprint"] in {p.fingerprint for p in parts.values()}
    assert json.loads(dataset.store.get(groups.record_name(made["run"])))["status"] == "finished"


def test_labels_by_several_settings_lie_side_by_side(dataset: Dataset) -> None:
    quiet(dataset, grouper="duplicates", settings={"distance": 0}, label="strict")
    assert groups.names(Dataset.open(dataset.url)) == ["duplicates", "duplicates-strict"]
    counts = [
        len(labels(dataset, n)["group_id"].drop_null()) for n in ("duplicates", "duplicates-strict")
    ]
    assert counts[0] == 3
    assert counts[1] == 2  # the smaller one has some other bits


def test_what_changed_since_makes_labels_stale_and_not_damaged(
    whole: Path, tmp_path: Path, dataset: Dataset
) -> None:
    shutil.copytree(whole / "in", tmp_path / "in")
    assert verify(dataset).notes == []
    shutil.copy(corpus.PHOTOS["rocket.jpg"], tmp_path / "in")
    corpus.run_inline(tmp_path / "in", tmp_path / "out", recipe=RECIPE, add_input=True)
    again = Dataset.open(dataset.url)
    found = verify(again)
    assert found.problems == []
    assert len(found.notes) == 1
    assert "stale, sources and hashes changed since" in found.notes[0]
    assert status(again)["groups"]["duplicates"]["stale"] == ["sources", "hashes"]
    label(again, "duplicates")
    assert verify(Dataset.open(dataset.url)).notes == []


def test_rows_of_a_picture_that_a_run_removed_are_counted_until_it_is_grouped_again(
    tmp_path: Path,
) -> None:
    given, own = pictures(tmp_path / "in"), tmp_path / "out"
    corpus.run_inline(given, own, recipe=RECIPE)
    label(Dataset.open(str(own)), "duplicates")
    (given / "china again.jpg").unlink()
    assert corpus.run_inline(given, own, recipe=RECIPE).removed == 1
    found = verify(Dataset.open(str(own)))
    dead = "1 of 4 rows are of sources that are not there, or of other versions"
    changed = f"groups duplicates: stale, sources and hashes changed since, {dead}: "
    assert found.problems == []
    assert found.notes == [f"{changed}group again: `imgbatch group DATASET duplicates`"]
    assert label(Dataset.open(str(own)), "duplicates").num_rows == 3
    found = verify(Dataset.open(str(own)))
    assert (found.problems, found.notes) == ([], [])


def test_a_run_that_does_nothing_and_another_grouping_leave_labels_fresh(
    whole: Path, dataset: Dataset
) -> None:
    corpus.run_inline(whole / "in", Path(dataset.url.removeprefix("file://")), recipe=RECIPE)
    quiet(dataset, grouper="duplicates", label="other")
    assert verify(Dataset.open(dataset.url)).notes == []


def test_verify_names_labels_that_are_not_as_committed(dataset: Dataset) -> None:
    table = dataset.table("groups/duplicates")
    (part,) = table.parts().values()
    path = Path(dataset.url.removeprefix("file://")) / table.name / part.path
    path.write_bytes(path.read_bytes()[:-100])
    (problem,) = verify(Dataset.open(dataset.url)).problems
    assert "groups duplicates" in problem
    assert part.path in problem
    assert "imgbatch group DATASET duplicates" in problem


def test_damaged_outcomes_are_named_where_there_are_labels_too(dataset: Dataset) -> None:
    (part,) = dataset.table("tables/sources").parts()
    path = Path(dataset.url.removeprefix("file://")) / "tables/sources" / part
    path.write_bytes(path.read_bytes()[:-100])
    (problem,) = verify(Dataset.open(dataset.url)).problems
    assert part in problem


def test_what_a_killed_grouping_left_is_told_from_files_of_others(dataset: Dataset) -> None:
    (part,) = dataset.table("groups/duplicates").parts()
    ours = [f"_files/{'1' * 6}/sheet.html", part.replace("@", "@9")]
    for name in ("notes.xlsx", *ours):
        dataset.store.put(f"groups/duplicates/{name}", b"words")
    found = verify(Dataset.open(dataset.url))
    assert found.orphans == [f"groups/duplicates/{name}" for name in ours]
    assert found.foreign == ["groups/duplicates/notes.xlsx"]


def test_labels_are_exported_described_reported_and_told(dataset: Dataset, tmp_path: Path) -> None:
    assert export(dataset, str(tmp_path / "csv"), form="csv")["groups/duplicates"] == 4
    shutil.copytree(dataset.url.removeprefix("file://"), tmp_path / "groups")
    with pytest.raises(SettingsError, match="would put files into DATASET"):
        export(Dataset.open(str(tmp_path / "groups")), str(tmp_path), form="csv")
    with (tmp_path / "csv/groups/duplicates.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(r["picture_id"] for r in rows) == sorted(
        labels(dataset)["picture_id"].to_pylist()
    )
    write_report(dataset)
    page = dataset.store.get("report/index.html").decode()
    part = page.partition('<section id="groups">')[2].partition("</section>")[0]
    assert "3 rows of 4" in part
    assert part.count('<img src="data:image/jpeg;base64,') == 3
    assert "groups/duplicates,group_id,string" in dataset.store.get("report/codebook.csv").decode()
    write_report(dataset, thumbnails=False)
    assert "data:image" not in dataset.store.get("report/index.html").decode()
    assert verify(Dataset.open(dataset.url)).problems == []
    assert history(dataset)[-1]["status"] == "grouped duplicates"
    assert status(dataset)["groups"]["duplicates"]["groups"] == 1


def test_forgotten_sources_leave_labels_names_of_groups_and_files(
    dataset: Dataset, whole: Path
) -> None:
    before = labels(dataset)
    group_id = before["group_id"].drop_null()[0].as_py()
    named_after = group_id.partition("-")[0]
    made = groups.record(dataset.table("groups/duplicates"))
    assert made is not None
    sheet = groups.file_name("duplicates", made["run"], "sheet.html")
    dataset.store.put(sheet, b"<img src='data:image/png;base64,...'>")
    address = {v: k for k, v in names_of(dataset, whole).items()}
    name = next(n for n, key in address.items() if key == named_after)
    source = given(str(whole / "in" / name))
    forget(dataset, look_up(dataset, [source]))
    again = Dataset.open(dataset.url)
    assert verify_forgotten(again, [source]).problems == []
    after = labels(again)
    assert after.num_rows == 3
    left = after["group_id"].drop_null().unique().to_pylist()
    assert len(left) == 1
    assert left[0] in after["picture_id"].to_pylist()
    told = status(again)["groups"]["duplicates"]
    assert (told["groups"], told["grouped"]) == (1, 2)
    with pytest.raises(FileNotFoundError):
        again.store.get(sheet)
    found = verify(again)
    assert found.problems == []
    assert "stale" in found.notes[0]
    # Grouped again, the group keeps the name that it has now.
    assert label(again, "duplicates")["group_id"].drop_null().unique().to_pylist() == left


def test_a_record_of_a_grouping_that_nobody_can_read_is_named(dataset: Dataset) -> None:
    made = groups.record(dataset.table("groups/duplicates"))
    assert made is not None
    name = groups.record_name(made["run"])
    for damaged in (b"[1]", b"{", b"{}"):
        dataset.store.put(name, damaged)
        with pytest.raises(DamageError, match=name):
            history(dataset)


def test_only_one_writes_at_a_time(dataset: Dataset) -> None:
    before = labels(dataset)
    lock = RunLock.take(dataset.store, "other", expires=60)
    try:
        with pytest.raises(BusyError, match="other"):
            quiet(dataset, grouper="duplicates")
    finally:
        lock.release()
    assert labels(dataset).equals(before)


def test_what_was_read_while_another_run_committed_is_not_written(dataset: Dataset) -> None:
    before = labels(dataset)

    def overtaken(text: str) -> None:
        if "read" in text:
            take_number(Dataset.open(dataset.url), "other")

    with pytest.raises(FencedError, match="while it was grouped"):
        group(Wish(dataset.url, "duplicates", {"distance": 0}), Limits(), say=overtaken)
    assert labels(dataset).equals(before)
    assert verify(Dataset.open(dataset.url)).problems == []


def test_status_says_that_a_grouping_is_at_work_and_no_run(dataset: Dataset) -> None:
    told = []

    def look(text: str) -> None:
        told.append((text, status(Dataset.open(dataset.url))))

    group(Wish(dataset.url, "duplicates", label="other"), Limits(), say=look)
    assert told[0][1]["grouping"]["name"] == "duplicates-other"
    assert told[0][1]["run"]["state"] == "finished"
    assert "grouping duplicates-other: at work on" in "\n".join(live_lines.status(told[0][1]))
    assert status(Dataset.open(dataset.url))["grouping"] is None


@pytest.mark.slow
def test_labels_in_a_bucket_are_those_in_a_folder(whole: Path, bucket: str) -> None:
    url = f"s3://{bucket}/grouping"
    store = open_store(url)
    for file in (whole / "out").rglob("*"):
        name = file.relative_to(whole / "out").as_posix()
        if file.is_file() and not name.startswith(("groups/", "runs/")):
            store.put(name, file.read_bytes())
    there = Dataset.open(url)
    assert label(there, "duplicates").equals(labels(Dataset.open(str(whole / "out"))))
    found = verify(Dataset.open(url))
    assert (found.problems, found.notes) == ([], [])
    assert found.rows["groups/duplicates"] == 4
    part = next(iter(there.table("tables/hashes").parts()))
    store.delete(f"tables/hashes/{part}")
    with pytest.raises(DamageError, match="table tables/hashes"):
        label(Dataset.open(url), "duplicates")


def test_people_of_faces_without_embeddings_names_the_setting_that_makes_them(
    whole: Path, tmp_path: Path
) -> None:
    recipe = '[analyzers.faces]\ndetector = "lbp"\n'
    corpus.run_inline(whole / "in", tmp_path / "out", recipe=recipe)
    with pytest.raises(GroupError, match="no column embedding: its analyzer ran with") as raised:
        quiet(Dataset.open(str(tmp_path / "out")), grouper="people")
    assert "recognition = true" in raised.value.remedy


def test_settings_are_read_as_toml_or_as_words() -> None:
    found = settings_of(["k=5-20", "seed=3", "share=0.5", "deep=true", 'name="x"', "empty="])
    assert found == {
        "k": "5-20",
        "seed": 3,
        "share": 0.5,
        "deep": True,
        "name": "x",
        "empty": "",
    }
    for wrong in (["k"], ["k=1", "k=2"]):
        with pytest.raises(SettingsError):
            settings_of(wrong)


@pytest.mark.slow
def test_the_command_line_says_what_is_wrong_with_its_own_code(dataset: Dataset) -> None:
    def ended(*words: str) -> tuple[int, str]:
        line = [sys.executable, "-m", "imgbatch", "group", *words, "--engine", "inline"]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr + done.stdout

    code, said = ended(dataset.url, "clusters")
    assert code == 24
    assert "no table embed" in said
    code, said = ended(dataset.url, "duplicates", "--json")
    assert code == 0
    assert json.loads(said.strip().splitlines()[-1])["groups"] == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"grouper": "duplicate"}, "did you mean 'duplicates'"),
        ({"grouper": "duplicates", "settings": {"distanse": 3}}, "did you mean 'distance'"),
        ({"grouper": "duplicates", "settings": {"distance": 300}}, "distance = 300"),
        ({"grouper": "duplicates", "label": "../x"}, "no name for labels"),
    ],
)
def test_what_is_typed_wrong_changes_nothing(
    asked: dict[str, Any], said: str, dataset: Dataset
) -> None:
    before = sorted(entry.name for entry in dataset.store.list())
    with pytest.raises(SettingsError, match=said):
        quiet(dataset, **asked)
    assert sorted(entry.name for entry in dataset.store.list()) == before


# Every way in which a grouping writes: each call is a place to die at, just before it is made.
KILLER = """
import json, os, shutil, signal, sys
from imgbatch.dataset import delta
from imgbatch.grouping import Wish, group
from imgbatch.settings import Limits
from imgbatch.storage import local

whole, out = sys.argv[1:]
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
        group(Wish(folder, "duplicates", {"distance": 0}), Limits(), say=str)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
print(json.dumps(die_at - 1))
"""


@pytest.mark.slow
def test_killed_before_each_write_the_former_labels_or_the_new_ones_are_there(
    whole: Path, tmp_path: Path
) -> None:
    former = labels(Dataset.open(str(whole / "out")))
    words = [sys.executable, "-c", KILLER, str(whole / "out"), str(tmp_path)]
    deaths = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
    assert deaths > 8
    new = labels(Dataset.open(str(tmp_path / str(deaths + 1))))
    assert not new.equals(former)
    seen = []
    for death in range(1, deaths + 1):
        folder = tmp_path / str(death)
        dataset = Dataset.open(str(folder))
        here = labels(dataset)
        assert here.equals(former) or here.equals(new)
        seen.append(here.equals(new))
        assert verify(dataset).problems == []
        quiet(dataset, grouper="duplicates", settings={"distance": 0})
        assert labels(dataset).select(new.column_names).equals(new)
        assert verify(Dataset.open(str(folder))).problems == []
        kept = pc.sum(pc.is_valid(labels(dataset)["group_id"])).as_py()
        assert kept == 2
    assert seen == sorted(seen)  # once they are committed, nothing brings the former ones back
    assert {*seen} == {False, True}
