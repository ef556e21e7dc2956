"""Posts that were listed before any of their platform came: by pseudonyms they stay out as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch.posts.privacy import pseudonym, read_key
from tests.posts.made import bring, rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

LISTED, OTHER = "1500000000000000001", "1500000000000000002"
SAID = 'media_column = "image"\npseudonyms = true'


@pytest.fixture(autouse=True)
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("a secret that is long enough")
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(tmp_path / "key"))


def table(folder: Path, *lines: str) -> None:
    folder.mkdir()
    (folder / "posts.csv").write_text("id,platform,reply_to,image\n" + "".join(lines))


def known(own: Path) -> list[tuple[str, str, str | None]]:
    found: list[tuple[str, str, str | None]] = rows(own, "posts", "platform", "post_id", "reply_to")
    return found


def hidden(platform: str, own: str) -> str:
    return pseudonym(read_key(), "post", platform, own)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("platform", "there", "listed"),
    [
        ("", "instagram", LISTED),
        ("", "Twitter", LISTED),
        ("x", "Twitter", LISTED),
        ("instagram", "Instagram", LISTED),
        ("", "reddit", "abc123"),
    ],
)
def test_a_listed_post_stays_out_whichever_platform_comes_later(
    tmp_path: Path, imgbatch: Callable[..., Done], platform: str, there: str, listed: str
) -> None:
    own = tmp_path / "own"
    table(tmp_path / "a", f"{OTHER},x,,\n")
    told = f"t3_{listed}" if there == "reddit" else listed
    table(tmp_path / "b", f"{told},{there},,\n", f"{OTHER},{there},{told},\n")
    bring(tmp_path / "a", own, SAID)
    (tmp_path / "deleted.txt").write_text(f"{listed}\n")
    words = (own, "--deleted-posts", tmp_path / "deleted.txt")
    words += ("--platform", platform) if platform else ()
    done = imgbatch("forget", *words, "--yes")
    assert (done.returncode, "1 more posts are not here" in done.stdout) == (0, True), done.stderr
    assert imgbatch("verify", own, "--forgotten", *words[1:]).returncode == 0
    bring(tmp_path / "b", own, SAID, add_input=True)
    assert known(own) == sorted(
        [(there, hidden(there, OTHER), None), ("x", hidden("x", OTHER), None)]
    )
    done = imgbatch("verify", own, "--forgotten", *words[1:])
    assert done.returncode == 0, done.stdout
    again = imgbatch("forget", *words, "--yes")
    assert again.returncode == 0, again.stderr
    assert len(known(own)) == 2


@pytest.mark.slow
def test_one_of_another_platform_than_was_named_comes_in(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = tmp_path / "own"
    table(tmp_path / "a", f"{OTHER},x,,\n")
    table(tmp_path / "b", f"{LISTED},instagram,,\n")
    bring(tmp_path / "a", own, SAID)
    words = (own, "--post-id", LISTED, "--platform", "x")
    assert imgbatch("forget", *words, "--missing-ok", "--yes").returncode == 0
    bring(tmp_path / "b", own, SAID, add_input=True)
    assert (("instagram", hidden("instagram", LISTED), None)) in known(own)
    assert imgbatch("verify", own, "--forgotten", *words[1:]).returncode == 0
    left = imgbatch("verify", own, "--forgotten", "--post-id", LISTED)
    assert (left.returncode, "1 of the given posts were never forgotten" in left.stdout) == (
        14,
        True,
    )
