"""The id of a forgotten post: found in any object, taken out of texts, and not seen by chance."""

from __future__ import annotations

import io
import json
import shutil
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.audit import records
from imgbatch.dataset.forget import Audit, forget
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.given import Given, look_up
from imgbatch.dataset.post_ids import PostIds, words
from imgbatch.dataset.post_marks import mark
from imgbatch.dataset.posts_forgotten import look_up as look_up_posts
from imgbatch.dataset.tombstones import Tombstones, names_below
from imgbatch.errors import SettingsError
from imgbatch.report import write_report
from tests.posts.made import Tweet, bring, photo, rows, write_dump

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND = "1500000000000000001", "1500000000000000002"
FOUND = "names a forgotten source or post in {} places"


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A living post names the first in its text, and has a picture that is called after it."""
    folder = tmp_path_factory.mktemp("ids")
    shared = f"{FIRST}_1.jpg"
    photo(folder / "in/media" / shared)
    write_dump(
        folder / "in/tweets.jsonl",
        [Tweet(FIRST, "one", [shared]), Tweet(SECOND, f"as {FIRST} says", [shared], author="8")],
    )
    bring(folder / "in", folder / "own")
    return folder / "own"


@pytest.fixture
def own(brought: Path, tmp_path: Path) -> Path:
    return shutil.copytree(brought, tmp_path / "own")


@pytest.fixture
def dataset(own: Path) -> Dataset:
    return Dataset.open(str(own))


def take_down(dataset: Dataset, post: str = FIRST, platform: str = "", **said: str) -> Audit:
    found = look_up_posts(dataset, [(platform, post)])
    known = look_up(dataset, [Given(one, one) for one in sorted(found.sources)])
    return forget(dataset, known, of_posts=found, **said)


def table(**columns: list[str]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


OBJECTS = {
    "logs/x.jsonl": json.dumps({"event": "odd", "text": f"post {FIRST}: no picture"}).encode(),
    "logs/number.jsonl": json.dumps({"post": int(FIRST)}).encode(),
    "runs/x.json": json.dumps({"run": "x", "number": 0, "deep": [{"at": f"x {FIRST} 0"}]}).encode(),
    "set-aside/notes.txt": f"https://x.com/u7/status/{FIRST}?s=20".encode(),
    "report/x.html": f"<td>{FIRST}</td>".encode(),
    "tables/image/copy.parquet": table(seen=["no", f"3_{FIRST}"]),
    "set-aside/posts/part": table(platform=["x", "x"], post_id=[FIRST, SECOND]),
}


@pytest.mark.parametrize("platform", ["", "x"])
@pytest.mark.parametrize("name", OBJECTS)
def test_it_is_found_in_any_object(dataset: Dataset, name: str, platform: str) -> None:
    take_down(dataset, platform=platform)
    assert verify_forgotten(dataset).problems == []
    dataset.store.put(name, OBJECTS[name])
    assert verify_forgotten(dataset).problems == [f"{name} {FOUND.format(1)}"]


def test_a_takedown_leaves_neither_log_nor_record_that_names_it(dataset: Dataset) -> None:
    lines = [FIRST, json.dumps({"post": int(FIRST)}), json.dumps({"post": SECOND})]
    dataset.store.put("logs/a-run/x.jsonl", "\n".join(lines).encode())
    dataset.store.put("logs/a-run/x.txt", f"{FIRST}\nkept".encode())
    record = {"run": "x", "number": 0, FIRST: 1, "posts": [FIRST, int(SECOND)]}
    dataset.store.put("runs/x.json", json.dumps(record).encode())
    assert take_down(dataset).lines == 5
    assert dataset.store.get("logs/a-run/x.jsonl").decode() == lines[2]
    assert dataset.store.get("logs/a-run/x.txt") == b"kept"
    left = {"run": "x", "number": 0, "(forgotten)": 1, "posts": ["(forgotten)", int(SECOND)]}
    assert json.loads(dataset.store.get("runs/x.json")) == left
    assert verify_forgotten(dataset).problems == []


def test_what_a_living_post_says_and_what_its_files_are_called_is_no_trace(
    brought: Path, own: Path, dataset: Dataset
) -> None:
    take_down(dataset)
    write_report(dataset)
    assert f"{FIRST}_1.jpg" in dataset.store.get("report/index.html").decode()
    assert rows(own, "posts", "post_id", "text") == [(SECOND, f"as {FIRST} says")]
    assert rows(own, "post_media", "post_id", "status") == [(SECOND, "matched")]
    name = brought.parent / f"in/media/{FIRST}_1.jpg"
    said = [f"{name.as_uri()}: no such file", f"cannot read '{name}'", f"{FIRST}.json:1: no id"]
    dataset.store.put("logs/x.txt", "\n".join(said).encode())
    assert verify_forgotten(dataset).problems == []


def test_a_post_of_another_platform_is_another_one(dataset: Dataset) -> None:
    take_down(dataset, platform="x")
    take_down(dataset, SECOND, platform="tiktok")
    dataset.store.put("logs/x.txt", SECOND.encode())
    (problem,) = verify_forgotten(dataset).problems
    assert problem == f"logs/x.txt {FOUND.format(1)}"
    assert sorted(record["platforms"] for record in records(dataset.store)) == [["tiktok"], ["x"]]


def test_a_reason_that_names_a_post_is_refused_before_anything_is_written(
    dataset: Dataset,
) -> None:
    with pytest.raises(SettingsError, match="names a source or a post"):
        take_down(dataset, reason=f"delete {FIRST}, please")
    take_down(dataset, reason=f"ticket {SECOND}")


@pytest.mark.parametrize(
    ("own", "text"),
    [
        ("B_x-9", "2024-01-02_B_x-9 is odd"),
        ("CxYzAbCdEfG", "(CxYzAbCdEfG)"),
        ("t3_1abcd", "https://reddit.com/comments/t3_1abcd/title/"),
        ("1234567890/17", "message 1234567890/17."),
        ("-1234_5678", "wall=-1234_5678"),
        ("posts.csv:12", "posts.csv:12"),
        ("0123456789abcdef0123456789abcdef", "post=0123456789abcdef0123456789abcdef,"),
        ("12345678", "12345678"),
    ],
)
def test_ids_of_many_shapes_are_words(own: str, text: str) -> None:
    none = Tombstones(key=b"k")
    stones = Tombstones(b"k", frozenset({none.hash(mark("x", own))}))
    assert PostIds(stones, frozenset({"x"})).within(text)
    assert not PostIds(stones, frozenset({"", "reddit"})).within(text)
    assert not PostIds(stones, frozenset()).within(text)


@pytest.mark.parametrize("post", ["tables", "number", "image", "worker", "event", "source_id"])
def test_a_post_that_is_called_like_a_word_of_our_records_takes_nothing_of_them(
    dataset: Dataset, post: str
) -> None:
    named = [name for name in names_below(dataset.store, "runs") if name.endswith(".json")]
    records_of = {name: json.loads(dataset.store.get(name)) for name in named}
    forget(
        dataset,
        look_up(dataset, []),
        of_posts=look_up_posts(dataset, [("", post), ("x", FIRST)]),
    )
    assert {name: json.loads(dataset.store.get(name)) for name in named} == records_of
    assert verify_forgotten(dataset).problems == []


@pytest.mark.parametrize("text", ["1234567 sources in 2026/11", "s3://in/12345678", "one"])
def test_what_counts_or_is_called_so_is_no_word(text: str) -> None:
    assert not {"1234567", "2026", "2026/11", "12345678", "one"} & set(words(text))
