"""Words against pictures: `search --text` and `classify`, by a CLIP of open_clip with made weights.

Made weights know nothing of what words mean: what is proved is that ours are the library's own
numbers, and what is made of them; not that a photo of a cat is found by "a cat".
"""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from imgbatch.dataset import Dataset, groups
from imgbatch.dataset.labels import check
from imgbatch.dataset.made import made_of
from imgbatch.dataset.ordered import here
from imgbatch.errors import GroupError, RunError, SearchError
from imgbatch.groupers import Context, zero_shot
from imgbatch.groupers.zero_shot import read_prompts
from imgbatch.grouping import Wish, group
from imgbatch.search import like, text
from imgbatch.settings import Limits
from tests import corpus
from tests.search.test_command import imgbatch

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.slow  # the network is made, and loaded again, by processes of their own

# The smallest of open_clip's networks whose words come with it.
BUILDER = "ViT-S-32-alt"
PROMPTS = ("city: a photo of a city", "city: a street", "face: a portrait", "a flower in a garden")
LABELS = ("city", "face", "a flower in a garden")


@dataclass(frozen=True)
class Made:
    """A folder with `in` and its dataset `d`, and the network that made its table `clip`."""

    folder: Path
    network: Any
    limits: Limits

    @property
    def dataset(self) -> Dataset:
        return Dataset.open(str(self.folder / "d"))

    def texts(self, words: list[str]) -> NDArray[np.float64]:
        """Embeddings by the library alone."""
        with torch.inference_mode():
            tokens = open_clip.get_tokenizer(BUILDER)(words)
            found = self.network.encode_text(tokens, normalize=True)
        return np.asarray(found.numpy(), np.float64)

    def pictures(self) -> dict[str, NDArray[np.float64]]:
        rows = self.dataset.read("clip", columns=["picture_id", "embedding"]).to_pylist()
        return {row["picture_id"]: np.asarray(row["embedding"]) for row in rows}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("words")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(5)
    network = open_clip.create_model(BUILDER, load_weights=False).eval()
    path = folder / "clip.pt"
    torch.save(network.state_dict(), path)
    (folder / "in").mkdir()
    for name, photo in corpus.PHOTOS.items():
        (folder / "in" / name).write_bytes(photo.read_bytes())
    (folder / "in" / "lie.jpg").write_text("<html>")
    limits = Limits(threads=2, model_cache=str(folder / "cache"))
    corpus.run_inline(folder / "in", folder / "d", recipe=recipe(path), limits=limits)
    yield Made(folder, network, limits)
    torch.set_num_threads(threads)


def recipe(path: Path) -> str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"""
[media]
[analyzers.classic]
[analyzers.clip]
model = "{BUILDER}"
weights = {{ url = "{path}", sha256 = "{digest}" }}
preprocess = {{ input = 224, resize = 224 }}
"""


def test_words_find_what_the_librarys_own_numbers_say(made: Made) -> None:
    [query] = made.texts(["a protest at night"])
    cosines = {key: float(query @ v) for key, v in made.pictures().items()}
    found = text(made.dataset, "a protest at night", made.limits, k=3)
    best = sorted(cosines, key=lambda key: -cosines[key])[:3]
    assert found.hits["picture_id"].to_pylist() == best
    wanted = [cosines[key] for key in best]
    assert found.hits["similarity"].to_pylist() == pytest.approx(wanted, abs=1e-6)
    assert (found.space.table, found.compared) == ("clip", 5)
    digest = hashlib.sha256((made.folder / "clip.pt").read_bytes()).hexdigest()
    assert found.space.model == f"{BUILDER} (sha256 {digest[:12]})"


def test_a_photo_from_outside_is_seen_by_the_recipes_own_weights(made: Made) -> None:
    # A part says the digest of own weights alone; where they lie is in the run's record.
    with Image.open(corpus.PHOTOS["coffee.png"]) as photo:
        photo.convert("RGB").save(made.folder / "copy.png")
    found = like(made.dataset, str(made.folder / "copy.png"), made.limits, k=1, on="clip")
    [hit] = found.hits.to_pylist()
    assert hit["address"].endswith("/coffee.png")
    assert hit["similarity"] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("words", "on", "match"),
    [
        ("a cat", "classic", "classic knows no words"),
        ("a cat", "clap", "did you mean 'clip'"),
        (" ", None, "is empty"),
        ("very " * 100, None, "reads 75 tokens"),
    ],
)
def test_what_words_cannot_be_asked_of_is_said(
    made: Made, words: str, on: str | None, match: str
) -> None:
    with pytest.raises(SearchError, match=match) as caught:
        text(made.dataset, words, made.limits, on=on)
    # Another table helps where the table is wrong, and not where the words are.
    wrong_words = {" ": "Say what", "very " * 100: "Say it shorter"}.get(words)
    remedy = caught.value.remedy
    assert remedy.startswith(wrong_words) if wrong_words else "--on" in remedy or "table" in remedy
    assert len(str(caught.value)) < 300
    assert caught.value.exit_code == 25


def by_hand(made: Made) -> tuple[list[str], NDArray[np.float64]]:
    """Probabilities of the three labels, picture by picture, as the CLIP paper has them."""
    one = made.texts(["a photo of a city", "a street", "a portrait", "a flower in a garden"])
    city = (one[0] + one[1]) / 2
    means = np.stack([city / np.linalg.norm(city), one[2], one[3]])
    pictures = made.pictures()
    scale = float(made.network.logit_scale.detach().exp())
    logits = scale * np.stack(list(pictures.values())) @ means.T
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return list(pictures), shares / shares.sum(axis=1, keepdims=True)


def test_labels_are_the_softmax_of_the_models_scale_times_the_cosines(made: Made) -> None:
    said: list[str] = []
    wish = Wish(str(made.folder / "d"), "zero_shot", {"prompts": list(PROMPTS)})
    record = group(wish, made.limits, spread=here, say=said.append)
    rows = {row["picture_id"]: row for row in groups.read(made.dataset, "zero_shot").to_pylist()}
    keys, shares = by_hand(made)
    assert set(rows) == set(keys)
    for key, wanted in zip(keys, shares, strict=True):
        assert rows[key]["probabilities"] == pytest.approx(wanted.tolist(), abs=1e-5)
        assert rows[key]["label"] == LABELS[int(wanted.argmax())]
        assert rows[key]["probability"] == pytest.approx(wanted.max(), abs=1e-5)
        assert sum(rows[key]["probabilities"]) == pytest.approx(1.0, abs=1e-6)
    assert record["settings"]["prompts"] == list(PROMPTS)
    assert record["tables"]["clip"]["rows"] == 5
    assert any("a street" in line for line in said)
    name = groups.file_name("zero_shot", record["run"], "model.json")
    told = json.loads(made.dataset.store.get(name))
    digest = hashlib.sha256((made.folder / "clip.pt").read_bytes()).hexdigest()
    assert told["weights"] == {BUILDER: digest}
    assert told["logit_scale"] == pytest.approx(float(made.network.logit_scale.detach().exp()))


def test_pieces_of_any_size_give_the_same_labels(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, told = [], []
    for block in (1, 2**22):
        monkeypatch.setattr("imgbatch.groupers.zero_shot.BLOCK", block)
        wish = Wish(str(made.folder / "d"), "zero_shot", {"prompts": list(PROMPTS)}, f"b{block}")
        record = group(wish, made.limits, spread=here, say=lambda _: None)
        labels.append(groups.read(made.dataset, wish.name))
        name = groups.file_name(wish.name, record["run"], "prompts.csv")
        told.append(made.dataset.store.get(name))
    assert labels[0]["label"] == labels[1]["label"]
    assert told[0] == told[1]
    shares = [np.array(table["probabilities"].to_pylist()) for table in labels]
    assert np.abs(shares[0] - shares[1]).max() < 1e-6


def test_how_much_hangs_on_a_prompt_is_told_beside_the_labels(made: Made) -> None:
    wish = Wish(str(made.folder / "d"), "zero_shot", {"prompts": list(PROMPTS)}, "words")
    record = group(wish, made.limits, spread=here, say=lambda _: None)
    name = groups.file_name("zero_shot-words", record["run"], "prompts.csv")
    told = list(csv.DictReader(made.dataset.store.get(name).decode().splitlines()))
    assert [row["prompt"] for row in told] == ["a photo of a city", "a street", "a portrait",
                                               "a flower in a garden"]  # fmt: skip
    pictures = np.stack(list(made.pictures().values()))
    keys, shares = by_hand(made)
    before = shares.argmax(axis=1)
    for row in told:
        means = made.texts(["a photo of a city", "a street", "a portrait", "a flower in a garden"])
        city = {"a photo of a city": means[0], "a street": means[1]}.get(row["prompt"])
        city = means[0] + means[1] if city is None else city
        rest = np.stack([city / np.linalg.norm(city), means[2], means[3]])
        then = (pictures @ rest.T).argmax(axis=1)
        assert int(row["kept_alone"]) == int((then == before).sum())
        assert int(row["pictures_alone"]) == int((then == LABELS.index(row["label"])).sum())
        assert int(row["of"]) == len(keys)


@dataclass(frozen=True)
class Held:
    """A table in memory, given out in pieces, made as the dataset's was."""

    rows: pa.Table
    made: Made

    def batches(self, name: str) -> Iterator[pa.RecordBatch]:
        assert name == "clip"
        yield from self.rows.to_batches(max_chunksize=3)

    def count(self, name: str) -> int:
        assert name == "clip"
        return int(self.rows.num_rows)

    def made_of(self, name: str) -> dict[str, Any]:
        return made_of(self.made.dataset, name)


def test_a_picture_without_an_embedding_has_a_row_without_a_label(
    made: Made, tmp_path: Path
) -> None:
    vectors = list(made.pictures().values())
    embeddings = [vectors[0], None, vectors[1], None, None, None, vectors[2]]
    keys = {name: [f"{name}{n}" for n in range(7)] for name in ("source_id", "version")}
    rows = pa.table(
        {
            **keys,
            "picture_id": keys["source_id"],
            "embedding": pa.array(embeddings, pa.list_(pa.float32())),
        }
    )
    files: dict[str, bytes] = {}
    context = Context(None, tmp_path, lambda _: None, files.__setitem__, lambda _: None)
    settings = zero_shot.Settings(prompts=PROMPTS)
    labels = zero_shot.group(Held(rows, made), settings, context)
    assert labels.column_names == [
        *("source_id", "version", "picture_id"),
        *(column.name for column in zero_shot.COLUMNS),
    ]
    assert labels["picture_id"].to_pylist() == rows["picture_id"].to_pylist()
    there = [n for n, vector in enumerate(embeddings) if vector is not None]
    for column in zero_shot.COLUMNS:
        values = labels[column.name].to_pylist()
        assert [n for n, value in enumerate(values) if value is not None] == there
    alone = zero_shot.group(Held(rows.take(there), made), settings, context)
    assert labels.take(there).to_pylist() == alone.to_pylist()
    assert files["prompts.csv"].decode().splitlines()[1].endswith(",3")


@pytest.mark.slow
def test_the_commands_work_from_a_terminal(made: Made, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("# what there is\n\ncity: a street\nother: a photo of something else\n")
    d = made.folder / "d"
    done = imgbatch("classify", d, "--prompts", prompts, "--name", "two", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "zero_shot-two"
    assert "of 5 pictures" in done.stderr
    done = imgbatch("search", d, "--text", "<b>a street", "-k", "2", "--out", tmp_path / "x.html")
    assert done.returncode == 0, done.stderr
    assert "&lt;b&gt;a street" in (tmp_path / "x.html").read_text("utf-8")
    done = imgbatch("verify", d)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_labels_that_are_damaged_come_again_as_verify_says(made: Made, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("city: a street\nother: a photo of something else\n")
    d = made.folder / "d"
    asked = {"prompts": ["city: a street", "other: a photo of something else"]}
    group(Wish(str(d), "zero_shot", asked, "again"), made.limits, spread=here, say=str)
    next((d / "groups/zero_shot-again").glob("labels*")).unlink()
    (problem, *_) = check(made.dataset).problems
    line = problem.partition("`imgbatch ")[2].removesuffix("`")
    assert line == "classify DATASET --prompts FILE --name again --anew"
    done = imgbatch(*line.replace("DATASET", str(d)).replace("FILE", str(prompts)).split())
    assert done.returncode == 0, done.stderr
    assert check(made.dataset).problems == []


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ([], "0 prompts for 0 label"),
        (["# nothing", " "], "0 prompts for 0 label"),
        (["cat: a cat", "cat: a kitten"], "2 prompts for 1 label"),
        (["cat: a cat", "cat: a cat", "dog: a dog"], "comes twice"),
        (["cat:", "dog: a dog"], "is not LABEL: PROMPT"),
        ([": a cat", "dog: a dog"], "is not LABEL: PROMPT"),
        (["", "cat: a cat", "dog:a dog"], "line 3: 'dog:a dog' has a colon without a blank"),
        (["cat:a cat", "dog:a dog"], "line 1: 'cat:a cat' has a colon"),
        (["cat: a cat", "dog :a dog at 12:30"], "line 2: .* has a colon"),
        (["cat: a cat", "dog:12 dogs"], "line 2: .* has a colon"),
        (["cat: a cat", "2020:a dog"], "line 2: .* has a colon"),
        (["cat: a cat", "dog\uff1aa dog"], "line 2: .* has a full-width colon"),
        (["cat: a cat", "dog\uff1a a dog"], "line 2: .* has a full-width colon"),
        (["cat: a cat", "dog:", "a house"], "line 2: 'dog:' is not LABEL: PROMPT"),
    ],
)
def test_prompts_that_label_nothing_are_refused(lines: list[str], match: str) -> None:
    with pytest.raises(GroupError, match=match) as caught:
        read_prompts(lines)
    assert caught.value.exit_code == 24


def test_many_prompts_are_read_without_comparing_each_with_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = 0
    by_value = zero_shot.Prompt.__eq__

    def counted(one: zero_shot.Prompt, other: object) -> bool:
        nonlocal compared
        compared += 1
        return by_value(one, other)

    monkeypatch.setattr(zero_shot.Prompt, "__eq__", counted)
    # As for ImageNet: a thousand labels, each in several templates.
    lines = [f"thing {i}: {template} {i}" for i in range(1000) for template in ("a photo", "art")]
    assert len(read_prompts(lines)) == len(lines)
    assert compared < len(lines)


def test_a_prompt_alone_is_its_own_label_and_a_colon_inside_a_word_is_none() -> None:
    alone = [
        "a clock at 10:30",
        "a page of https://example.org/a",
        "a screen of 16:9",
        "12\uff1a30",
    ]
    found = read_prompts([*alone, "  other:  any: thing ", "tab:\ta tab", "at 9:30: 9:30 at night"])
    assert [(one.label, one.text) for one in found] == [
        *((text, text) for text in alone),
        ("other", "any: thing"),
        ("tab", "a tab"),
        ("at 9:30", "9:30 at night"),
    ]


def test_a_prompt_with_a_colon_is_read_as_its_remedy_says() -> None:
    with pytest.raises(GroupError) as caught:
        read_prompts(["a sign: a sign", "a page of :root"])
    assert '"a page of :root: a page of :root"' in caught.value.remedy
    *_, found = read_prompts(["a sign: a sign", "a page of :root: a page of :root"])
    assert (found.label, found.text) == ("a page of :root", "a page of :root")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"prompts": ["a", "b"], "table": "classic"}, "was made by classic, which knows no words"),
        ({"prompts": ["a", "b"], "table": "embed"}, "no table embed"),
        ({"prompts": ["a", "very " * 100]}, "reads 75 tokens"),
        ({}, "0 prompts"),
    ],
)
def test_what_cannot_be_labelled_is_said_and_nothing_is_written(
    made: Made, settings: dict[str, Any], match: str
) -> None:
    wish = Wish(str(made.folder / "d"), "zero_shot", settings, "wrong")
    with pytest.raises(RunError, match=match) as caught:
        group(wish, made.limits, spread=here, say=lambda _: None)
    assert caught.value.exit_code == 24
    if "tokens" in match:
        assert "Say it shorter" in caught.value.remedy
        assert "[analyzers.clip]" not in caught.value.remedy
    assert "zero_shot-wrong" not in groups.names(made.dataset)
