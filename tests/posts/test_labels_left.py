"""Labels of pictures whose posts leave, by whatever way: they tell what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset, groups
from tests.corpus import run_inline
from tests.groupers.written import label
from tests.posts.made import Tweet, photo, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

FIRST, SECOND = "1500000000000000001", "1500000000000000002"
OLD = "2020-03-04T05:06:07.000Z"
RECIPE = '[analyzers.hashes]\n[posts]\nremoved = "forget"\nkeep_days = 365\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder `in` with a post of 2020 and one of now whose pictures are copies; `own`: labels."""
    photo(tmp_path / "in/FfOfFirst1.jpg")
    photo(tmp_path / "in/FfOfSecond.jpg", tail=b"1")
    first = Tweet(FIRST, "one", ["FfOfFirst1.jpg"], when=OLD)
    second = Tweet(SECOND, "two", ["FfOfSecond.jpg"], author="8", when="2026-11-01T00:00:00.000Z")
    write_dump(tmp_path / "in/tweets.jsonl", [first, second])
    run_inline(tmp_path / "in", tmp_path / "own", recipe=RECIPE)
    found = label(Dataset.open(str(tmp_path / "own")), "duplicates")
    assert found["group_size"].to_pylist() == [2, 2]
    return tmp_path


@pytest.mark.parametrize("way", ["--post-id", "--deleted-posts", "retain", "an export without it"])
def test_what_is_left_of_its_group_is_a_picture_without_a_copy(
    folder: Path, imgbatch: Callable[..., Done], way: str
) -> None:
    own = folder / "own"
    if way == "--post-id":
        done = imgbatch("forget", own, way, FIRST, "--yes")
    elif way == "--deleted-posts":
        (folder / "gone.jsonl").write_text(f'{{"delete": {{"status": {{"id_str": "{FIRST}"}}}}}}\n')
        done = imgbatch("forget", own, way, folder / "gone.jsonl", "--yes")
    elif way == "retain":
        done = imgbatch("retain", own, "--yes")
    else:
        second = Tweet(SECOND, "two", ["FfOfSecond.jpg"], author="8")
        write_dump(folder / "in/tweets.jsonl", [second])
        assert run_inline(folder / "in", own, recipe=RECIPE).forgot
        done = None
    assert done is None or done.returncode == 0, done
    dataset = Dataset.open(str(own))
    (row,) = groups.read(dataset, "duplicates").to_pylist()
    said = row["group_id"], row["group_size"], row["is_best"], row["same_bytes"], row["distance"]
    assert said == (None, 1, True, False, None)
    made = groups.record(dataset.table("groups/duplicates"))
    assert made is not None
    assert (made["left"], made["groups"], made["grouped"]) == (1, 0, 0)
