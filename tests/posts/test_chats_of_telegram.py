"""Chats of Telegram that share a number, week after week: what is said of one touches no other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset, posts
from imgbatch.dataset.verify import verify
from imgbatch.sources.dumps import telegram
from tests.fetching import given as fetching
from tests.posts.made import bring, photo, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.posts.made import Done

    Command = Callable[..., Done]

ABOUT = "Here is the data you requested. Remember: Telegram is ad free."
BOB, GROUP = ("personal_chat", "Bob"), ("private_group", "The group")
POLICIES = ("keep", "mark", "forget")


def account(folder: Path, *chats: tuple[str, str]) -> None:
    """Write an export of an account: chats of one number, of two messages with a picture each."""
    listed = []
    for kind, name in chats:
        messages = []
        for number in (1, 2):
            file = f"{kind}/photo_{number}.jpg"
            photo(folder / file, tail=file.encode())
            said = {"type": "message", "date_unixtime": "1709528767", "from": "Ada"}
            text = f"{name} {number}"
            messages.append({"id": number, **said, "from_id": "user1", "text": text, "photo": file})
        listed.append({"name": name, "type": kind, "id": 777, "messages": messages})
    told = {"about": ABOUT, "chats": {"about": "", "list": listed}}
    (folder / "result.json").write_text(json.dumps(told, indent=1))


def told(own: Path) -> list[tuple[str, str]]:
    return rows(own, "posts", "post_id", "text")


def pictures(own: Path) -> list[str]:
    listed = Dataset.open(str(own)).read("sources")["address"].to_pylist()
    found = (address.partition("/in/")[2] for address in listed)
    return sorted(name for name in found if name.endswith(".jpg"))


@pytest.fixture
def before() -> Iterator[pytest.MonkeyPatch]:
    """Has chats called by their numbers alone, as former versions did where none shared one."""
    former = pytest.MonkeyPatch()
    former.setattr(telegram, "called", lambda _, number: number)
    former.setattr(posts, "VERSION", 6)
    yield former
    former.undo()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_forgotten_message_stays_out_when_a_second_chat_of_its_number_comes(
    tmp_path: Path, imgbatch: Command, policy: str
) -> None:
    own, said = tmp_path / "own", f'removed = "{policy}"'
    account(tmp_path / "in", BOB)
    bring(tmp_path / "in", own, said)
    assert imgbatch("forget", own, "--post-id", "user777/1", "--yes").returncode == 0
    account(tmp_path / "in", GROUP, BOB)
    bring(tmp_path / "in", own, said)
    assert told(own) == [
        ("chat777/1", "The group 1"),
        ("chat777/2", "The group 2"),
        ("user777/2", "Bob 2"),
    ]
    assert "personal_chat/photo_1.jpg" not in pictures(own)
    assert imgbatch("verify", own, "--forgotten", "--post-id", "user777/1").returncode == 0
    assert verify(Dataset.open(str(own))).problems == []


def test_a_chat_stays_what_it_is_when_a_second_one_of_its_number_comes_and_goes(
    tmp_path: Path,
) -> None:
    own, said = tmp_path / "own", 'removed = "forget"'
    bobs = [("user777/1", "Bob 1"), ("user777/2", "Bob 2")]
    for chats, left in (((BOB,), 0), ((BOB, GROUP), 0), ((BOB,), 2), ((BOB, GROUP), 0)):
        account(tmp_path / "in", *chats)
        for file in (tmp_path / "in/private_group").glob("*") if GROUP not in chats else ():
            file.unlink()
        summary = bring(tmp_path / "in", own, said)
        assert summary.posts is not None
        assert summary.posts["removed"] == left
        assert [one for one in told(own) if one[0].startswith("user")] == bobs
        assert pictures(own)[:2] == ["personal_chat/photo_1.jpg", "personal_chat/photo_2.jpg"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("chat", [BOB, GROUP])
def test_messages_that_were_called_by_a_number_alone_are_the_same_posts(
    tmp_path: Path,
    before: pytest.MonkeyPatch,
    imgbatch: Command,
    policy: str,
    chat: tuple[str, str],
) -> None:
    own, said = tmp_path / "own", f'removed = "{policy}"'
    account(tmp_path / "in", chat)
    bring(tmp_path / "in", own, said)
    assert [one for one, _ in told(own)] == ["777/1", "777/2"]
    assert imgbatch("forget", own, "--post-id", "777/1", "--yes").returncode == 0
    before.undo()
    now = "user777" if chat is BOB else "chat777"
    for _ in range(2):
        summary = bring(tmp_path / "in", own, said)
        assert told(own) == [(f"{now}/2", f"{chat[1]} 2")]
        assert rows(own, "post_media", "post_id", "status") == [(f"{now}/2", "matched")]
        assert pictures(own) == [f"{chat[0]}/photo_2.jpg"]
        if summary.posts is not None:
            assert (summary.posts["new"], summary.posts["removed"]) == (0, 0)
    proof = imgbatch("verify", own, "--forgotten", "--post-id", "777/1")
    assert proof.returncode == 0, proof.stdout
    assert verify(Dataset.open(str(own))).problems == []


def test_a_fetch_too_knows_what_was_forgotten_by_a_number_alone(
    tmp_path: Path, before: pytest.MonkeyPatch, imgbatch: Command
) -> None:
    own, out = tmp_path / "own", tmp_path / "out"
    account(tmp_path / "in", BOB)
    bring(tmp_path / "in", own)
    fetching.fetch(tmp_path / "in", out)
    before.undo()
    words = ("--post-id", "777/1", "--platform", "telegram", "--fetched", out, "--yes")
    assert imgbatch("forget", own, *words).returncode == 0
    account(tmp_path / "in", BOB, GROUP)
    for _ in range(2):
        fetching.fetch(tmp_path / "in", out)
        kept = {one["post_id"] for one in fetching.posts(out) if "post_id" in one}
        assert "user777/1" not in kept
        assert {"user777/2", "chat777/2"} <= kept
