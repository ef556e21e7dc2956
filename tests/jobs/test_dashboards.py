"""Ray's dashboard takes orders from whoever reaches it: one that we start is on loopback."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.analyzers import settings_of
from imgbatch.cloud.control import Order
from imgbatch.messages import Job
from imgbatch.settings import Limits, read_recipe
from jobs import analyze, group, hosted
from jobs.child import Diary
from tests import corpus
from tests.cloud.fake import FakeCloud, deployment

if TYPE_CHECKING:
    from pathlib import Path


class Asked(Exception):  # noqa: N818 - ends what would start a Ray
    """Ray would have been started."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Ray is asked for by who would start one here; none is started."""
    said: dict[str, Any] = {}

    def connect(address: str, **options: Any) -> None:
        said.update(options, address=address)
        raise Asked

    monkeypatch.setattr(analyze, "connect", connect)
    monkeypatch.setattr(group, "connect", connect)
    return said


def test_every_dashboard_that_we_start_or_tell_to_start_is_on_loopback(root: Path) -> None:
    told = [(root / name).read_text("utf-8") for name in ("jobs/README.md", "Dockerfile")]
    code = [path.read_text("utf-8") for path in (root / "jobs").glob("*.py")]
    # One word with its value, or two items of a list.
    hosts = re.findall(r"dashboard[-_]host[=\s\"',]+([\w.:*]+)", "\n".join([*told, *code]))
    assert set(hosts) == {"127.0.0.1"}
    by_hand = "\n".join(told)
    starts = by_hand.count("--head --port")
    assert starts == by_hand.count("--dashboard-host") > 0, "each `ray start --head` says where"


def test_the_head_s_ray_has_its_dashboard_on_loopback_whatever_its_own_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[list[str]] = []

    class Child:
        def __init__(self, words: list[str], *_: object) -> None:
            started.append(words)

        def end(self) -> None: ...

    monkeypatch.setattr(hosted, "Child", Child)
    order = Order(
        run="r",
        input="s3://b/in",
        dataset="s3://b/d",
        recipe=corpus.RECIPE,
        pool="gpu",
        most=1,
        budget=1.0,
        deadline=1.0,
    )
    ports = hosted.Ports("10.0.0.7", dashboard=8299)
    lab = deployment()
    hosted.HostedRun(order, lab, FakeCloud(lab), ports=ports, diary=Diary()).close()
    (words,) = started
    assert words[words.index("start") + 1] == "--head"
    given = {words[at]: words[at + 1] for at in range(len(words) - 1) if words[at][:2] == "--"}
    assert given["--dashboard-host"] == "127.0.0.1"
    assert given["--dashboard-port"] == "8299"
    assert words.count("--dashboard-host") == 1
    assert given["--node-ip-address"] == "10.0.0.7"


def test_a_ray_of_this_machine_alone_has_no_dashboard(asked: dict[str, Any]) -> None:
    recipe = read_recipe("[analyzers.image]", settings_of=settings_of)
    job = Job("run", "file:///d", recipe, Limits())
    with pytest.raises(Asked):
        next(analyze.execute(job, [], workers=1, address="local"))
    assert (asked["address"], asked["include_dashboard"]) == ("local", False)
    asked.clear()
    with pytest.raises(Asked):
        next(group.spread(lambda batch: batch, [None, None]))  # type: ignore[list-item, arg-type, return-value] # none is looked at
    assert (asked["address"], asked["include_dashboard"]) == ("local", False)
