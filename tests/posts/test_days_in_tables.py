"""Days and years as numbers: no post is of 1970 for them, and none is deleted as that old."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imgbatch.dataset import Dataset, posts
from imgbatch.dataset.posts_forgotten import older
from imgbatch.sources.dumps import table
from imgbatch.sources.dumps.values import unix_time
from tests.posts.made import bring, rows

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SAID = 'media_column = "image"'
CHRISTMAS = datetime(2023, 12, 24, tzinfo=UTC)


def run(folder: Path) -> dict[str, Any]:
    (folder / "in").mkdir(exist_ok=True)
    days = {101: 20231224, 102: "2023", 103: 86400 * 10_000, 104: None}
    lines = [{"id": own, "image": f"{own}.png", "date": day} for own, day in days.items()]
    (folder / "in/p.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    brought = bring(folder / "in", folder / "own", SAID).posts
    assert brought is not None
    return brought


def past(folder: Path) -> tuple[int, int]:
    """Return how many posts are past a time of 10 years, and how many have none."""
    known, timeless = older(Dataset.open(str(folder / "own")), time.time() - 3650 * 86400)
    return known.here, timeless


def times(folder: Path) -> list[datetime | None]:
    return [created for (created,) in rows(folder / "own", "posts", "created_at")]


def test_a_day_is_one_and_a_year_is_counted(tmp_path: Path) -> None:
    assert run(tmp_path)["gaps"]["bad-field"] == 1
    assert times(tmp_path)[:2] == [CHRISTMAS, None]
    assert past(tmp_path) == (1, 2)


def test_what_a_former_version_read_stays_until_it_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as former:
        former.setattr(table, "moment", unix_time)
        former.setattr(posts, "VERSION", posts.DAYS_SINCE - 1)
        run(tmp_path)
    assert [created.year for created in times(tmp_path)[:2] if created] == [1970, 1970]
    assert past(tmp_path) == (1, 3)
    brought = run(tmp_path)
    assert (brought["posts"], brought["new"], brought["changed"]) == (4, 0, 2)
    assert (brought["removed"], brought["absent"]) == (0, 0)
    assert times(tmp_path)[:2] == [CHRISTMAS, None]
    assert past(tmp_path) == (1, 2)
