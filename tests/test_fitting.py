"""Shallow learners over a dataset of real digits: as scikit-learn by hand, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import pickle
import shlex
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deltalake
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import classification_report, confusion_matrix
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from imgbatch import fitting
from imgbatch.dataset import Dataset, groups, ordered
from imgbatch.dataset.forget import forget
from imgbatch.dataset.given import given, look_up
from imgbatch.dataset.labels import check
from imgbatch.dataset.ordered import here
from imgbatch.errors import BusyError, DamageError, GroupError, LabelsError, SettingsError
from imgbatch.fitting import FitWish, fit
from imgbatch.fitting.labels import Labelled, match, read_labels
from imgbatch.groupers import learned
from imgbatch.grouping import Wish, group
from imgbatch.learners import file
from imgbatch.settings import Limits
from tests import corpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

RECIPE = """
[media]
exact = true
[analyzers.classic]
[analyzers.faces]
detector = "lbp"
[analyzers.pixels]
width = 8
height = 8
mode = "L"
"""
LIMITS = Limits(threads=2)
# Digits to learn from and to be judged by; file names are numbers, of different lengths.
TRAIN, TEST = 300, 100


@pytest.fixture(scope="module")
def digits() -> tuple[NDArray[np.uint8], list[str]]:
    pixels, labels = load_digits(return_X_y=True)
    return (pixels[: TRAIN + TEST] * 15).astype(np.uint8), [str(n) for n in labels[: TRAIN + TEST]]


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, digits: tuple[NDArray[np.uint8], list[str]]
) -> Path:
    """Return a folder with the dataset `d` and the labels `train.csv` and `test.csv`."""
    folder = tmp_path_factory.mktemp("fitting")
    rows = []
    for number, (pixels, label) in enumerate(zip(*digits, strict=True)):
        name = f"{label}/{number}.png"
        (folder / "in" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.reshape(8, 8)).save(folder / "in" / name)
        rows.append((name, label))
    (folder / "in" / "cut.png").write_bytes((folder / "in" / "0" / "0.png").read_bytes()[:60])
    write(folder / "train.csv", rows[:TRAIN])
    write(folder / "test.csv", rows[TRAIN:])
    corpus.run_inline(folder / "in", folder / "d", recipe=RECIPE)
    return folder


def write(path: Path, rows: list[tuple[str, str]], name: str = "filepath") -> Path:
    with path.open("w", newline="") as opened:
        csv.writer(opened).writerows([(name, "label"), *rows])
    return path


def wish(made: Path, **asked: Any) -> FitWish:
    plain = FitWish(
        dataset=str(made / "d"),
        labels=str(made / "train.csv"),
        test=str(made / "test.csv"),
        on="pixels",
        model="forest",
    )
    return replace(plain, **asked)


ESTIMATORS = {
    "forest": RandomForestClassifier(n_estimators=100, random_state=42),
    "bayes": GaussianNB(),
    "svm": make_pipeline(StandardScaler(), LinearSVC(max_iter=5000, random_state=42)),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
}


@pytest.mark.parametrize("model", ESTIMATORS)
def test_a_fit_is_that_of_scikit_learn_on_rows_in_the_order_of_their_numbers(
    made: Path, tmp_path: Path, digits: tuple[NDArray[np.uint8], list[str]], model: str
) -> None:
    pixels, labels = digits
    by_hand = ESTIMATORS[model].fit(pixels[:TRAIN].astype(np.float32), labels[:TRAIN])
    predicted = by_hand.predict(pixels[TRAIN:].astype(np.float32))
    record = fit(wish(made, model=model), str(tmp_path / "m.skops"), LIMITS)
    assert record["first"] == predicted[:10].tolist()
    assert record["scores"]["accuracy"] == np.mean(predicted == np.array(labels[TRAIN:]))
    assert record["scores"]["accuracy"] > 0.75
    told = classification_report(labels[TRAIN:], predicted, output_dict=True, zero_division=0)
    for one in record["scores"]["classes"]:
        hand = told[one["class"]]
        assert one["rows"] == hand["support"]
        assert (one["precision"] or 0) == pytest.approx(hand["precision"])
        assert one["recall"] == pytest.approx(hand["recall"])
        assert one["f1"] == pytest.approx(hand["f1-score"])
        assert 0 < one["average_precision"] <= 1
    assert record["scores"]["confusion"] == confusion_matrix(labels[TRAIN:], predicted).tolist()
    loaded = file.load(str(tmp_path / "m.skops"))
    assert (loaded.estimator.predict(pixels[TRAIN:].astype(np.float32)) == predicted).all()


def test_the_order_belongs_to_the_fit(
    made: Path, tmp_path: Path, digits: tuple[NDArray[np.uint8], list[str]]
) -> None:
    pixels, labels = (np.array(part) for part in digits)
    record = fit(wish(made), str(tmp_path / "m.skops"), LIMITS)
    assert record["order"] == "number of the file's name, address, frame"
    fitted = file.load(str(tmp_path / "m.skops")).estimator
    by_text = np.array(sorted(range(TRAIN), key=lambda n: f"{labels[n]}/{n}.png"))
    forest = RandomForestClassifier(random_state=42).fit(pixels[by_text], labels[by_text])
    assert (fitted.predict_proba(pixels) != forest.predict_proba(pixels)).any()


def test_the_same_fit_gives_the_same_model_whatever_the_threads(
    made: Path, tmp_path: Path, digits: tuple[NDArray[np.uint8], list[str]]
) -> None:
    chances = []
    for threads in (1, 3):
        fit(wish(made), str(tmp_path / "m.skops"), Limits(threads=threads))
        model = file.load(str(tmp_path / "m.skops"))
        assert model.estimator.n_jobs is None
        chances.append(model.estimator.predict_proba(digits[0]))
    np.testing.assert_array_equal(*chances)


def test_the_file_names_no_source(made: Path, tmp_path: Path) -> None:
    fit(wish(made), str(tmp_path / "m.skops"), LIMITS)
    table = Dataset.open(str(made / "d")).read("sources", columns=["source_id", "address"])
    with zipfile.ZipFile(tmp_path / "m.skops") as zipped:
        held = b"".join(zipped.read(name) for name in zipped.namelist())
    for row in table.to_pylist():
        assert row["source_id"].encode() not in held
        assert row["address"].encode() not in held


def apply(made: Path, model: Path, **more: Any) -> dict[str, Any]:
    settings = {"model": str(model), "sha256": file.digest_of(str(model))}
    asked = Wish(str(made / "d"), "learned", settings, **more)
    return group(asked, LIMITS, spread=here, say=lambda _: None)


def test_every_picture_gets_the_label_that_the_model_gives(
    made: Path, tmp_path: Path, digits: tuple[NDArray[np.uint8], list[str]]
) -> None:
    fit(wish(made), str(tmp_path / "m.skops"), LIMITS)
    record = apply(made, tmp_path / "m.skops", label="forest")
    assert (record["rows"], record["groups"], record["grouped"]) == (400, 10, 400)
    labels = deltalake.DeltaTable(made / "d" / "groups" / "learned-forest").to_pyarrow_table()
    addresses = Dataset.open(str(made / "d")).read("sources", columns=["source_id", "address"])
    by_id = dict(zip(*(column.to_pylist() for column in addresses.columns), strict=True))
    estimator = file.load(str(tmp_path / "m.skops")).estimator
    predicted = estimator.predict(digits[0].astype(np.float32))
    chances = estimator.predict_proba(digits[0].astype(np.float32))
    for row in labels.to_pylist():
        number = int(Path(by_id[row["source_id"]]).stem)
        assert row["label"] == predicted[number]
        assert row["probabilities"] == pytest.approx(chances[number])
        assert sum(row["probabilities"]) == pytest.approx(1)
        assert row["probability"] == max(row["probabilities"])


def test_a_model_without_probabilities_gives_labels_alone(made: Path, tmp_path: Path) -> None:
    fit(wish(made, model="svm"), str(tmp_path / "m.skops"), LIMITS)
    apply(made, tmp_path / "m.skops", label="svm")
    labels = groups.read(Dataset.open(str(made / "d")), "learned-svm")
    assert labels["probability"].null_count == labels["probabilities"].null_count == 400
    assert labels["label"].null_count == 0


def test_one_label_against_the_rest_and_one_model_for_each_class(
    made: Path, tmp_path: Path
) -> None:
    record = fit(wish(made, only="3"), str(tmp_path / "m.skops"), LIMITS)
    assert record["classes"] == ["3", record["others"]] == ["3", "rest"]
    assert record["scores"]["accuracy"] > 0.9
    record = fit(wish(made, model="svm", only="3"), str(tmp_path / "m.skops"), LIMITS)
    assert all(one["average_precision"] > 0.7 for one in record["scores"]["classes"])
    record = fit(wish(made, model="logistic", one_vs_rest=True), str(tmp_path / "m.skops"), LIMITS)
    assert len(file.load(str(tmp_path / "m.skops")).estimator.estimators_) == 10
    assert record["scores"]["accuracy"] > 0.85


def test_a_label_that_is_called_rest_is_told_from_what_is_not(made: Path, tmp_path: Path) -> None:
    rows = [(f"{n}.png", "a" if n < 15 else "rest") for n in range(30)]
    train, test = write(tmp_path / "l.csv", rows), write(tmp_path / "t.csv", [("31.png", "a")])
    record = fit(
        wish(made, labels=str(train), test=str(test), model="bayes", only="rest"),
        str(tmp_path / "m.skops"),
        LIMITS,
    )
    assert (record["only"], record["others"]) == ("rest", "not rest")
    assert record["classes"] == ["not rest", "rest"]
    told = {one["class"]: one["rows"] for one in record["scores"]["classes"]}
    assert told == {"not rest": 1, "rest": 0}


def test_where_no_class_is_spoken_for_all_probabilities_are_0_as_the_codebook_says(
    made: Path, tmp_path: Path
) -> None:
    asked = wish(made, one_vs_rest=True, settings={"trees": 1})
    fit(asked, str(tmp_path / "m.skops"), LIMITS)
    apply(made, tmp_path / "m.skops", label="alone")
    rows = groups.read(Dataset.open(str(made / "d")), "learned-alone").to_pylist()
    sums = [round(sum(row["probabilities"]), 5) for row in rows]
    assert set(sums) == {0.0, 1.0}
    assert all(
        row["label"] == "0" and row["probability"] == 0
        for row, total in zip(rows, sums, strict=True)
        if not total
    )
    told = next(c.meaning for c in learned.COLUMNS if c.name == "probabilities")
    assert "all 0 where no class is spoken for" in told


def test_settings_of_a_model_are_heard_and_typos_are_not(made: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "m.skops")
    fit(wish(made, settings={"trees": 7, "depth": 2}), path, LIMITS)
    forest = file.load(path).estimator
    assert len(forest.estimators_) == 7
    assert max(tree.get_depth() for tree in forest.estimators_) <= 2
    with pytest.raises(SettingsError, match="did you mean 'trees'"):
        fit(wish(made, settings={"treees": 7}), path, LIMITS)
    with pytest.raises(SettingsError, match="no model 'forrest'; did you mean 'forest'"):
        fit(wish(made, model="forrest"), path, LIMITS)


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("svm", {"c": float("inf")}),
        ("logistic", {"c": float("inf")}),
        ("bayes", {"smoothing": float("inf")}),
        # Every number that a class has but one value of would be NaN, and each label the first one.
        ("bayes", {"smoothing": 0}),
    ],
)
def test_settings_that_scikit_learn_cannot_fit_with_are_refused(
    made: Path, tmp_path: Path, model: str, settings: dict[str, float]
) -> None:
    with pytest.raises(SettingsError, match=next(iter(settings))):
        fit(wish(made, model=model, settings=settings), str(tmp_path / "m.skops"), LIMITS)


def test_a_model_that_cannot_be_put_in_its_place_leaves_nothing_behind(
    made: Path, tmp_path: Path
) -> None:
    (tmp_path / "m.skops").mkdir()
    with pytest.raises(LabelsError, match="the model cannot be written"):
        fit(wish(made, model="bayes"), str(tmp_path / "m.skops"), LIMITS)
    assert [path.name for path in tmp_path.iterdir()] == ["m.skops"]


def test_a_test_file_without_any_vector_is_refused_and_nothing_is_written(
    made: Path, tmp_path: Path
) -> None:
    test = write(tmp_path / "t.csv", [("cut.png", "0")])
    words = ["--labels", made / "train.csv", "--test", test, "--on", "pixels", "--model", "bayes"]
    done = imgbatch("fit", made / "d", *words, "--out", tmp_path / "m.skops")
    assert done.returncode == 26
    assert "t.csv leaves nothing to judge by" in done.stderr
    assert "not judged" not in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_two_fits_that_write_the_same_file_do_not_meet(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one begins and ends between the moments when this one is written and put there."""
    out = str(tmp_path / "m.skops")
    records: list[dict[str, Any]] = []
    replace_file = Path.replace

    def replaced(self: Path, target: str) -> Path:
        if not records:
            records.append({})
            records[0] = fit(wish(made, model="bayes"), out, LIMITS)
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", replaced)
    later = fit(wish(made, model="logistic"), out, LIMITS)
    assert file.digest_of(out) == later["sha256"] != records[0]["sha256"]
    assert file.read_record(out)["model"] == "logistic"
    assert [path.name for path in tmp_path.iterdir()] == ["m.skops"]


class Counted(dict[str, Labelled]):
    """Labelled sources that count how often somebody goes through all of them."""

    times = 0

    def __iter__(self) -> Iterator[str]:
        self.times += 1
        return super().__iter__()


def test_labels_are_not_gone_through_for_each_batch_of_the_table(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered, "ROWS", 10)  # 40 batches of the table
    dataset = Dataset.open(str(made / "d"))
    labelled = Counted(match(read_labels(str(made / "train.csv")), dataset))
    found, _ = fitting._examples(dataset, "pixels", {"labels": labelled})
    assert len(found["labels"].labels) == TRAIN
    assert labelled.times < 5


def test_sources_are_named_by_id_by_address_or_by_the_end_of_it(made: Path, tmp_path: Path) -> None:
    table = Dataset.open(str(made / "d")).read("sources", columns=["source_id", "address"])
    found = {Path(row["address"]).name: row for row in table.to_pylist()}
    labels = [
        (found["10.png"]["source_id"], "a"),
        (found["11.png"]["address"], "b"),
        (str(made / "in" / "2" / "12.png"), "a"),
        ("./13.png", "b"),
    ]
    path = write(tmp_path / "l.csv", labels, "source")
    record = fit(wish(made, labels=str(path), test=""), str(tmp_path / "m.skops"), LIMITS)
    assert (record["rows"], record["classes"], record["scores"]) == (
        {"labels": 4},
        ["a", "b"],
        None,
    )


def test_a_takedown_while_it_is_read_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = corpus.many(tmp_path / "in", 6)
    corpus.run_inline(source, tmp_path / "d", recipe=RECIPE)
    rows = [(f"{number:05}.jpg", "ab"[number % 2]) for number in range(6)]
    asked = wish(tmp_path, labels=str(write(tmp_path / "l.csv", rows)), test="", model="bayes")
    batches, done = ordered.Ordered.batches, []

    def late(self: ordered.Ordered, name: str) -> Iterator[Any]:
        if not done:
            done.append(name)
            dataset = Dataset.open(asked.dataset)
            forget(dataset, look_up(dataset, [given(str(source / "00005.jpg"))]))
        yield from batches(self, name)

    monkeypatch.setattr(ordered.Ordered, "batches", late)
    with pytest.raises(BusyError, match=r"changed while it was read: .*tables/pixels"):
        fit(asked, str(tmp_path / "m.skops"), LIMITS)
    assert not (tmp_path / "m.skops").exists()
    with pytest.raises(LabelsError, match="1 of 6 labelled sources are not in"):
        fit(asked, str(tmp_path / "m.skops"), LIMITS)
    write(tmp_path / "l.csv", rows[:5])
    fit(asked, str(tmp_path / "m.skops"), LIMITS)


def test_a_part_that_is_missing_is_damage_where_nothing_changed(tmp_path: Path) -> None:
    corpus.run_inline(corpus.many(tmp_path / "in", 4), tmp_path / "d", recipe=RECIPE)
    [part] = (tmp_path / "d" / "tables" / "pixels").glob("*.parquet")
    part.unlink()
    labels = write(tmp_path / "l.csv", [("00000.jpg", "a"), ("00001.jpg", "b")])
    asked = wish(tmp_path, labels=str(labels), test="", model="bayes")
    with pytest.raises(DamageError):
        fit(asked, str(tmp_path / "m.skops"), LIMITS)


def test_labelled_sources_without_a_vector_are_counted(made: Path, tmp_path: Path) -> None:
    rows = [("cut.png", "0"), ("0.png", "0"), ("1.png", "1")]
    path = write(tmp_path / "l.csv", rows)
    record = fit(wish(made, labels=str(path), test=""), str(tmp_path / "m.skops"), LIMITS)
    assert record["rows"] == {"labels": 2}
    assert record["without_vector"] == {"labels": 1}


@pytest.mark.slow
def test_lines_without_a_label_are_left_out_counted_and_said(made: Path, tmp_path: Path) -> None:
    rows = [("0.png", "0"), ("1.png", "1"), ("2.png", ""), ("3.png", "  "), ("not-there.png", "")]
    train = write(tmp_path / "l.csv", rows)
    test = write(tmp_path / "t.csv", [("10.png", "0"), ("11.png", "")])
    words = ["--labels", train, "--test", test, "--on", "pixels", "--model", "bayes"]
    done = imgbatch("fit", made / "d", *words, "--out", tmp_path / "m.skops")
    assert done.returncode == 0, done.stderr
    assert "3 lines of the labels file have no label, and are left out" in done.stdout
    assert "1 lines of the test file have no label, and are left out" in done.stdout
    record = file.read_record(str(tmp_path / "m.skops"))
    assert record["unlabelled"] == {"labels": 3, "test": 1}
    assert record["rows"] == {"labels": 2, "test": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("filepath,label\n0.png,0\nnot-there.png,1\n", "1 of 2 labelled sources are not in"),
        ("filepath,label\n0.png,0\n10.png,0\n", "2 rows of 1 class: .'0'."),
        ("filepath,label\n0.png,0\n0.png,1\n", "line 3: 0.png is '1', and '0' before"),
        ("filepath,label\n0/0.png,0\n0.png,1\n", "is '1' and '0'|is '0' and '1'"),
        ("filepath,label\n,0\n", "line 2: no source is '0'"),
        ("filepath,label\n0.png,\n1.png,\n", "no line with a label"),
        ("filepath,class\n0.png,0\n", "has filepath, class"),
        ("filepath,label\n", "no line below its header"),
        ('filepath,label\n0.png,"0\n1.png,1\n', "line 2: a quote is not closed"),
        ("filepath,label\n0.png,0\n1.png,1,2\n", "line 3: 3 cells, and the header has 2"),
        ("filepath,label\n0.png,0\n1.png,1\n300.png,7\n", "learned from and judged by"),
        ("filepath,label\n0.png,0\n1.png,1\n", "8 that nothing was learned of, such as '2'"),
        ("filepath,label\ncut.png,0\n", "0 rows of 0 class"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused_and_nothing_is_written(
    made: Path, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(LabelsError, match=said):
        fit(wish(made, labels=str(tmp_path / "l.csv")), str(tmp_path / "m.skops"), LIMITS)
    assert [path.name for path in tmp_path.iterdir()] == ["l.csv"]


def test_a_name_that_ends_two_addresses_is_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        Image.new("L", (8, 8), 9).save(tmp_path / "in" / folder / "1.png")
    corpus.run_inline(tmp_path / "in", tmp_path / "d", recipe=RECIPE)
    write(tmp_path / "train.csv", [("1.png", "x")])
    with pytest.raises(LabelsError, match=r"1\.png ends two addresses"):
        fit(wish(tmp_path, test=""), str(tmp_path / "m.skops"), LIMITS)


def test_embeddings_are_learned_from_as_pixels_are(made: Path, tmp_path: Path) -> None:
    record = fit(wish(made, on="classic", model="logistic"), str(tmp_path / "m.skops"), LIMITS)
    table = Dataset.open(str(made / "d")).read("classic", columns=["embedding"])
    assert record["column"] == "embedding"
    assert record["dimensions"] == len(table["embedding"][0])
    assert record["scores"]["accuracy"] > 0.4
    assert apply(made, tmp_path / "m.skops", label="classic")["grouped"] == 400


def test_rows_of_regions_are_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises((LabelsError, GroupError), match="faces_regions"):
        fit(wish(made, on="faces_regions"), str(tmp_path / "m.skops"), LIMITS)


def test_a_table_that_is_not_there_is_told(made: Path, tmp_path: Path) -> None:
    with pytest.raises(GroupError, match="no table clip"):
        fit(wish(made, on="clip"), str(tmp_path / "m.skops"), LIMITS)


def test_a_model_of_other_pixels_is_refused(made: Path, tmp_path: Path) -> None:
    fit(wish(made), str(tmp_path / "m.skops"), LIMITS)
    other = tmp_path / "other"
    other.mkdir()
    corpus.run_inline(made / "in", other / "d", recipe=RECIPE.replace("width = 8", "width = 9"))
    with pytest.raises(GroupError, match="were made otherwise"):
        apply(other, tmp_path / "m.skops")
    assert not (other / "d" / "groups").exists()


def test_a_model_that_is_not_the_one_that_was_named_is_refused(made: Path, tmp_path: Path) -> None:
    fit(wish(made), str(tmp_path / "m.skops"), LIMITS)
    with pytest.raises(LabelsError, match="not 000"):
        file.load(str(tmp_path / "m.skops"), "0" * 64)
    with pytest.raises(LabelsError, match="cannot be read"):
        file.load(str(tmp_path / "gone.skops"))


class Evil:
    """What pickle would run when it loads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("ran",)


@pytest.mark.parametrize("data", [pickle.dumps(Evil()), b"", b"PK\x03\x04 no archive"])
def test_a_file_that_is_no_model_is_refused_and_runs_nothing(
    tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.skops").write_bytes(data)
    with pytest.raises(LabelsError, match="is no model that can be loaded"):
        file.load(str(tmp_path / "m.skops"))
    with pytest.raises(LabelsError, match="is no model"):
        file.read_record(str(tmp_path / "m.skops"))
    assert capsys.readouterr().out == ""


# What a record cannot do without.
RECORD = {"table": "pixels", "column": "pixels", "fingerprint": "0" * 32, "dimensions": 1}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in RECORD.items() if key != name}


def test_a_record_that_has_all_it_needs_can_be_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.skops", "w") as archive:
        archive.writestr(file.RECORD, json.dumps({**RECORD, "seed": 42}))
    assert file.read_record(str(tmp_path / "m.skops")) == {**RECORD, "seed": 42}


@pytest.mark.parametrize(
    "record",
    [
        *(without(name) for name in RECORD),
        {},
        [],
        "pixels",
        None,
        {**RECORD, "table": 5},
        {**RECORD, "table": "../sources"},
        {**RECORD, "column": None},
        {**RECORD, "fingerprint": ["a"]},
        {**RECORD, "dimensions": "1"},
        {**RECORD, "dimensions": 0},
    ],
    ids=str,
)
def test_a_record_that_is_none_is_refused_before_and_as_the_model_is_loaded(
    made: Path, tmp_path: Path, record: Any
) -> None:
    path = tmp_path / "m.skops"
    path.write_bytes(file.dump(GaussianNB().fit([[0.0], [1.0]], ["a", "b"]), record))
    with pytest.raises(LabelsError, match=r"is no model that can be loaded: .*imgbatch\.json"):
        file.load(str(path))
    with pytest.raises(LabelsError, match=r"is no model: .*imgbatch\.json"):
        apply(made, path)


def test_a_record_that_nobody_can_read_is_refused_whatever_zipfile_says(tmp_path: Path) -> None:
    path = tmp_path / "m.skops"
    path.write_bytes(file.dump(GaussianNB().fit([[0.0], [1.0]], ["a", "b"]), RECORD))
    whole = path.read_bytes()
    # The record is the last member: a flag of its two headers says that it is encrypted.
    flags = (whole.rindex(b"PK\x03\x04") + 6, whole.rindex(b"PK\x01\x02") + 8)
    path.write_bytes(bytes(byte | (place in flags) for place, byte in enumerate(whole)))
    with pytest.raises(LabelsError, match=r"is no model: .*encrypted"):
        file.read_record(str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(file.RECORD, "[" * 100_000)
    with pytest.raises(LabelsError, match="is no model"):
        file.read_record(str(path))


def test_a_file_with_a_type_that_no_model_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.skops"
    path.write_bytes(file.dump(corpus.Silent(), RECORD))
    with pytest.raises(LabelsError, match="holds more than a model"):
        file.load(str(path))


def test_an_estimator_that_imgbatch_does_not_fit_is_refused(tmp_path: Path) -> None:
    # Its trees lie elsewhere than a forest's, where nobody looks them through.
    other = GradientBoostingClassifier(n_estimators=2).fit([[0.0], [1.0]], ["a", "b"])
    path = tmp_path / "m.skops"
    path.write_bytes(file.dump(other, RECORD))
    with pytest.raises(LabelsError, match="no model has a GradientBoostingClassifier"):
        file.load(str(path))


def test_a_model_that_says_it_learned_from_other_vectors_is_refused(
    made: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m.skops"
    fit(wish(made, settings={"trees": 1}), str(path), LIMITS)
    learned = file.load(str(path))
    path.write_bytes(file.dump(learned.estimator, {**learned.record, "dimensions": 10**6}))
    with pytest.raises(GroupError, match="the model learned from 1000000"):
        apply(made, path)


@pytest.mark.parametrize("field", ["left_child", "feature"])
def test_a_tree_that_points_beyond_itself_is_refused(
    made: Path, tmp_path: Path, field: str
) -> None:
    path = tmp_path / "m.skops"
    fit(wish(made, settings={"trees": 1}), str(path), LIMITS)
    bent = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(bent, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith(".npy") and field in str(np.load(io.BytesIO(data)).dtype):
                nodes = np.load(io.BytesIO(data))
                nodes[field][0] = 10**6
                held = io.BytesIO()
                np.save(held, nodes)
                data = held.getvalue()
            target.writestr(name, data)
    path.write_bytes(bent.getvalue())
    with pytest.raises(LabelsError, match="points beyond itself"):
        file.load(str(path))


def imgbatch(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imgbatch", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_fit_and_apply_from_the_terminal(made: Path, tmp_path: Path) -> None:
    words = ["--labels", made / "train.csv", "--test", made / "test.csv", "--on", "pixels"]
    words += ["--model", "bayes", "--out", tmp_path / "m.skops"]
    done = imgbatch("fit", made / "d", *words)
    assert done.returncode == 0, done.stderr
    assert "bayes fitted on 300 rows of pixels, 64 numbers each, 10 classes" in done.stdout
    assert "accuracy 0." in done.stdout
    assert f"next: imgbatch apply {made / 'd'}" in done.stdout
    done = imgbatch("apply", made / "d", tmp_path / "m.skops", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["grouper"], told["rows"]) == ("learned", 400)


@pytest.mark.slow
def test_labels_that_are_damaged_or_stale_come_again_as_verify_says(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "a model.skops"
    fit(wish(made, model="bayes"), str(model), LIMITS)
    apply(made, model, label="again")
    where = "groups learned-again: "
    for note in (True, False):
        with monkeypatch.context() as patch:
            if note:
                patch.setattr(groups, "stale", lambda *_: ["pixels"])
            else:
                (part,) = Dataset.open(str(made / "d")).table("groups/learned-again").parts()
                (made / "d/groups/learned-again" / part).unlink()
            found = check(Dataset.open(str(made / "d")))
        (told, *_) = [n for n in (found.notes if note else found.problems) if n.startswith(where)]
        line = told.partition("`imgbatch ")[2].removesuffix("`")
        assert line == f"apply DATASET '{model}' --name again" + (" --anew" if not note else "")
        done = imgbatch(*shlex.split(line.replace("DATASET", str(made / "d"))))
        assert done.returncode == 0, done.stderr
    assert check(Dataset.open(str(made / "d"))).problems == []


def test_a_seed_beyond_what_scikit_learn_takes_is_a_wrong_flag(made: Path, tmp_path: Path) -> None:
    words = ["--labels", made / "train.csv", "--on", "pixels", "--model", "forest"]
    done = imgbatch("fit", made / "d", *words, "--out", tmp_path / "m.skops", "--seed", 2**32)
    assert done.returncode == 2
    assert "--seed" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_labels_have_an_exit_code_of_their_own(made: Path, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("filepath,label\nnot-there.png,1\n")
    words = ["--labels", tmp_path / "l.csv", "--on", "pixels", "--model", "bayes"]
    done = imgbatch("fit", made / "d", *words, "--out", tmp_path / "m.skops")
    assert done.returncode == 26
    assert "LabelsError" in done.stderr
    assert "to do: Take their lines out" in done.stderr
    assert not (tmp_path / "m.skops").exists()


@pytest.mark.slow
def test_a_forest_on_mnist_is_right_on_9705_of_10000_digits(shared: Path, tmp_path: Path) -> None:
    """70,000 digits from an archive; the number of the textbook chapter (100 trees, seed 42)."""
    archive = shared / "corpora" / "mnist-png.tar.gz"
    if not archive.is_file():
        pytest.skip(f"no {archive.name} in the shared folder")
    with tarfile.open(archive) as packed:
        for member in packed:
            if member.name.endswith(".csv"):
                data = packed.extractfile(member)
                assert data is not None
                (tmp_path / member.name).write_bytes(data.read())
            if len(list(tmp_path.iterdir())) == 2:
                break
    recipe = '[analyzers.pixels]\nwidth = 28\nheight = 28\nmode = "L"\n'
    corpus.run_inline(archive, tmp_path / "d", recipe=recipe)
    record = fit(wish(tmp_path), str(tmp_path / "m.skops"), Limits())
    assert record["rows"] == {"labels": 60_000, "test": 10_000}
    assert record["scores"]["accuracy"] == 0.9705
    assert record["first"] == list("7210414959")
