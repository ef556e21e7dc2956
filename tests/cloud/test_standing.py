"""What `status` makes of the control objects, and how a run is followed to its end."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.cli.cloud import lines
from imgbatch.cli.cloud.follow import _states, refuse_headless
from imgbatch.cli.cloud.money import beyond
from imgbatch.cli.cloud.opened import Opened
from imgbatch.cloud import Event, schedules
from imgbatch.cloud.control import Lease, State
from imgbatch.cloud.launch import launch
from imgbatch.cloud.schedules import Schedule, due
from imgbatch.cloud.standing import code_of, ended, follow, standing
from imgbatch.errors import CloudError, DeploymentError, JobError, SpentError
from tests.cloud.fake import NOON
from tests.cloud.watched import HOUR, Scene

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RUN, NEXT = "20270115T080000Z-aaaaaa", "20270115T090000Z-bbbbbb"


def state(phase: str, run: str = RUN, **more: Any) -> State:
    words = {"run": run, "phase": phase, "at": NOON, "deadline": NOON + 6 * HOUR, "budget": 50.0}
    return State.model_validate(words | more)


def lease(run: str = RUN) -> Lease:
    end = int(NOON + 6 * HOUR)
    return Lease(run=run, deadline=end, beat=1, left=60, head="", head_machine="i-1", pool="gpu")


def told(scene: Scene, now: float = NOON) -> str:
    return "\n".join(lines.standing(standing("lab", scene.control, now)))


def test_nothing_at_work_is_said_so(tmp_path: Path) -> None:
    assert told(Scene(tmp_path)) == "deployment lab: nothing at work"


def test_a_run_at_work_shows_its_money_its_end_and_each_wait(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for run in (RUN, NEXT):
        scene.control.order(scene.order(run))
    scene.control.hold(lease())
    steps = {"ordered": 0.0, "head": 40.0, "taken": 52.0, "ray": 60.0, "first-shard": 200.0}
    scene.control.tell(
        state(
            "working",
            shards=100,
            shards_done=25,
            workers=3,
            booting=1,
            preemptions=2,
            spent=4.5,
            per_hour=1.25,
            eta=3600.0,
            steps=steps,
            reason="no l4 to be had in xx-1a",
        )
    )
    text = told(scene)
    assert "working: 25/100 shards, 3 workers and 1 on the way, $4.50 of $50.00, $1.25/h" in text
    dies = f"{datetime.fromtimestamp(NOON + 6 * HOUR).astimezone():%H:%M}"
    assert f"dies at {dies}, 2 preemptions (no l4 to be had in xx-1a)" in text
    assert "52 s  the head took the order (+12 s)" in text
    assert f"waits: {NEXT}" in text
    assert "nothing" not in text
    record = standing("lab", scene.control, NOON).record()
    assert record["at_work"]["spent"] == 4.5
    assert [waiting["run"] for waiting in record["queue"]] == [NEXT]
    # Recipes are long, and variables are nobody's business.
    assert "recipe" not in record["order"]


def test_a_head_that_is_silent_is_said_so(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.control.order(scene.order(RUN))
    scene.control.hold(lease())
    scene.control.tell(state("working"))
    assert "said nothing" not in told(scene, NOON + 60)
    assert "its head has said nothing for 5 min 0 s" in told(scene, NOON + 300)
    assert standing("lab", scene.control, NOON + 300).record()["silent_seconds"] == 300


def test_a_machine_that_did_not_come_up_is_told_with_its_reason(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.control.order(scene.order(RUN))
    boot = b'{"machine": "i-7", "pool": "", "reason": "boot: pull failed: no such image", "at": 1}'
    scene.control.put(RUN, "boots/i-7.json", boot)
    assert "i-7 did not come up: boot: pull failed: no such image" in told(scene)
    found = Opened(scene.cloud.deployment, scene.control)
    found.__dict__["cloud"] = scene.cloud
    launch(scene.order(NEXT), scene.place, now=NOON)
    refuse_headless(RUN, found)  # one is on its way
    scene.groups.want(scene.place.head, 0)
    with pytest.raises(CloudError, match="none is on its way; i-7: boot: pull failed"):
        refuse_headless(RUN, found)


def test_a_head_of_a_schedule_that_did_not_come_up_is_told_for_a_day(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    report = f'{{"machine": "i-7", "pool": "", "reason": "no image", "at": {NOON:.0f}}}'
    scene.control.store.put("boots/i-7.json", report.encode())
    scene.control.store.put("boots/i-8.json", b'{"machine"')
    assert "i-7 did not come up: no image" in told(scene, NOON + 23 * HOUR)
    assert "did not come up" not in told(scene, NOON + 25 * HOUR)


@pytest.mark.parametrize(
    "name",
    ["lease.json", f"orders/{NEXT}.json", f"runs/{NEXT}/state.json", "schedules/nightly.json"],
)
def test_what_cannot_be_read_is_named_and_hides_nothing_else(tmp_path: Path, name: str) -> None:
    scene = Scene(tmp_path)
    scene.control.order(scene.order(RUN))
    scene.control.tell(state("working", spent=1.25))
    scene.control.store.put(name, b'{"run": ')
    text = told(scene)
    assert "$1.25 of $50.00" in text
    assert "cannot be read: " in text
    assert name.rpartition("/")[2] in text


@pytest.mark.parametrize("cut", [b"", b'{"machine": "i-7", "rea', b'{"machine": "i-7"}', b"[]"])
def test_a_report_that_was_cut_off_is_told_all_the_same(tmp_path: Path, cut: bytes) -> None:
    scene = Scene(tmp_path)
    scene.control.order(scene.order(RUN))
    scene.control.put(RUN, "boots/i-7.json", cut)
    assert "i-7 did not come up: it did not say why" in told(scene)


def test_a_head_that_the_cloud_does_not_launch_is_explained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = Scene(tmp_path)
    launch(scene.order(RUN), scene.place, now=NOON)
    found = Opened(scene.cloud.deployment, scene.control)
    found.__dict__["cloud"] = scene.cloud
    events = scene.cloud.state[scene.place.head].events
    events.append(Event(NOON, "quota", "You have requested more vCPU capacity than your limit"))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    list(zip(_states(RUN, found), range(60), strict=False))
    assert capsys.readouterr().err.count("no head comes up yet: the account may have no more") == 1


def test_a_run_whose_head_is_gone_for_good_is_not_followed_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)
    launch(scene.order(RUN), scene.place, now=NOON)
    scene.control.tell(state("working"))
    found = Opened(scene.cloud.deployment, scene.control)
    found.__dict__["cloud"] = scene.cloud
    monkeypatch.setattr(time, "sleep", lambda _: None)
    looks = _states(RUN, found)
    assert [next(looks) is not None for _ in range(40)] == [True] + [False] * 39
    # As the kill of a schedule does, in the middle of the run.
    for group in scene.place.deployment.groups:
        scene.groups.want(group, 0)
    with pytest.raises(CloudError, match="none is on its way"):
        list(zip(looks, range(40), strict=False))


def test_between_two_heads_the_run_is_still_at_work(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.control.order(scene.order(RUN))
    scene.control.tell(state("working"))
    assert told(scene).startswith(f"run {RUN}")


def test_a_head_that_has_said_nothing_yet_is_named_by_its_lease(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.control.order(scene.order(RUN))
    scene.control.hold(lease())
    assert f"a head has come up for run {RUN}" in told(scene)


def test_runs_that_ended_are_listed_newest_first_with_why(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in range(8):
        run = f"20270115T08000{number}Z-aaaaaa"
        scene.control.put(run, "order.json", b"{}")
        phase = ("done", "budget")[number % 2]
        scene.control.tell(state(phase, run, code=31 * (number % 2), spent=1.0, reason="why"))
    found = [line for line in told(scene).splitlines() if line.startswith("ended:")]
    assert len(found) == 5
    assert found[0].startswith("ended: 20270115T080007Z-aaaaaa  budget")
    assert "exit code 31 (why)" in found[0]


def test_a_schedule_shows_its_next_tick_and_what_came_of_the_last(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    order = scene.order(hours=0)
    since = NOON - 10 * 24 * HOUR
    words = {"cron": "0 3 * * *", "timezone": "UTC", "hours": 5, "since": since}
    schedules.put(
        scene.control, Schedule.model_validate({"name": "nightly", "order": order, **words})
    )
    assert "not run yet" in told(scene)
    (ordered,) = due(scene.control, NOON)
    assert f"last {ordered.run} waits" in told(scene)
    scene.control.close(ordered.run)
    scene.control.tell(state("done", ordered.run, code=0, spent=2.0))
    assert f"last {ordered.run}: done: 0 of 0 shards, $2.00, exit code 0" in told(scene)
    tick = datetime.fromtimestamp(NOON, UTC).replace(hour=3, minute=0) + timedelta(days=1)
    assert f"next {tick.astimezone():%a %H:%M}" in told(scene)


def script(scene: Scene, *steps: Callable[[], None]) -> Callable[[float], None]:
    """What sleeps, and does one of some things each time."""
    left = list(steps)

    def sleep(seconds: float) -> None:
        scene.cloud.advance(seconds)
        if left:
            left.pop(0)()

    return sleep


def test_following_yields_each_state_once_and_ends_with_the_run(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.control.order(scene.order(RUN))
    working, done = state("working"), state("done", code=0)

    def finish() -> None:
        scene.control.close(RUN)
        scene.control.tell(done)

    sleep = script(scene, lambda: scene.control.tell(working), lambda: None, finish)
    seen = list(follow(RUN, scene.control, now=lambda: scene.cloud.now, sleep=sleep))
    assert seen == [None, working, None, done]


def test_a_run_that_no_head_takes_ends_its_watching_at_its_deadline(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.control.order(scene.order(RUN, hours=0.01))
    with pytest.raises(SpentError, match="taken by no head before its deadline"):
        list(follow(RUN, scene.control, now=scene.clock.now, sleep=scene.clock.sleep))


def test_a_run_that_leaves_the_queue_without_a_word_is_told(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.control.order(scene.order(RUN))
    sleep = script(scene, lambda: scene.control.withdraw(RUN))
    with pytest.raises(DeploymentError, match="is not in the queue"):
        list(follow(RUN, scene.control, now=lambda: scene.cloud.now, sleep=sleep))


def test_the_exit_code_is_the_runs_own_and_else_its_phases() -> None:
    assert code_of(state("failed", code=16)) == 16
    codes = {"done": 0, "failed": 17, "stopped": 20, "budget": 31, "deadline": 31}
    assert {phase: code_of(state(phase)) for phase in codes} == codes
    assert ended(state("done")) is None
    assert isinstance(ended(state("failed", reason="x")), JobError)
    assert isinstance(ended(state("deadline")), SpentError)


def test_a_cap_that_the_plan_goes_beyond_is_told_before_the_question(tmp_path: Path) -> None:
    order = Scene(tmp_path).order(budget=5.0, hours=6)

    def said(dollars: float, hours: float) -> str:
        p50 = {"dollars_p50": dollars, "seconds_p50": hours * HOUR}
        p90 = {"dollars_p90": 2 * dollars, "seconds_p90": 2 * hours * HOUR}
        return "\n".join(beyond(order.model_copy(update={"expected": p50 | p90}), NOON))

    assert said(2.0, 2.0) == ""
    assert said(4.0, 1.0).startswith(
        "the budget may end it before its work is done: one run in ten"
    )
    assert "give --budget 8" in said(4.0, 1.0)
    assert said(1.0, 7.0).startswith(
        "the deadline may end it before its work is done: one run in two"
    )
    assert beyond(order, NOON) == []


def test_on_a_terminal_a_run_is_shown_in_place_and_its_last_state_stays() -> None:
    said = (
        "from imgbatch.cli.cloud.follow import shown\n"
        "from tests.cloud.test_standing import state\n"
        "states = [state('working', shards=9, shards_done=n, workers=2) for n in (1, 5)]\n"
        "states.append(state('done', shards=9, shards_done=9, code=0))\n"
        "assert len(list(shown(iter(states), as_json=False))) == 3\n"
    )
    ours, theirs = pty.openpty()
    done = subprocess.run([sys.executable, "-c", said], stdout=theirs, check=False, timeout=60)
    os.close(theirs)
    printed = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "\x1b[" in printed
    assert "done: 9/9 shards" in printed
