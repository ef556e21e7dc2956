"""How a run is ended: off the queue, by its head, by force; and that no machine is left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.cli.cloud.at_work import also, busy, end_runs, told
from imgbatch.cloud import zero
from imgbatch.cloud.control import Lease, State
from imgbatch.cloud.halt import halt, meant
from imgbatch.cloud.launch import launch
from imgbatch.cloud.ledger import Line, write
from imgbatch.cloud.stopped import NEVER, STOP
from imgbatch.cloud.zero import empty
from imgbatch.errors import (
    CancelledError,
    CloudError,
    DeploymentError,
    LeftoverError,
    PermissionsError,
    RunError,
    SettingsError,
    StorageError,
)
from tests.cloud.fake import LEAVING_SECONDS, NOON, ON_DEMAND, FakeGroups
from tests.cloud.watched import GPU, HEAD, HOUR, FakeClock, Scene

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.cloud.halt import Halted
    from imgbatch.cloud.launch import Place

RUN, NEXT = "20270115T080000Z-aaaaaa", "20270115T090000Z-bbbbbb"


class Head(FakeClock):
    """A head that lives in the pauses of whoever waits.

    Args:
        scene: where.
        obeys: whether it reads the stop object.
        says: whether it writes its state.
        leaves: whether it ends its machines.
    """

    def __init__(
        self, scene: Scene, *, obeys: bool = True, says: bool = True, leaves: bool = True
    ) -> None:
        super().__init__(scene.cloud)
        self.scene, self.obeys, self.says, self.leaves = scene, obeys, says, leaves
        self.beat = 0
        self.end = 0

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.says and self.scene.cloud.alive(HEAD):
            self.live()

    def live(self) -> None:
        control = self.scene.control
        stopped = self.obeys and control.get(RUN, STOP) is not None
        self.end += stopped
        phase = "stopped" if self.end > 2 else "draining" if self.end else "working"
        over = phase == "stopped"
        self.beat += 1
        control.tell(state(phase, at=self.now(), code=20 if over else None))
        if over and self.leaves:
            control.close(RUN)
            control.release()
            for group in (GPU, HEAD):
                self.scene.groups.want(group, 0)
        elif not over:
            control.hold(lease(self.beat))


def state(phase: str = "working", at: float = NOON, code: int | None = None) -> State:
    return State.model_validate(
        {"run": RUN, "phase": phase, "at": at, "deadline": NOON + 6 * HOUR, "budget": 50.0}
        | {"code": code, "spent": 1.5, "workers": 2}
    )


def lease(beat: int = 1) -> Lease:
    end = int(NOON + 6 * HOUR)
    return Lease(
        run=RUN,
        deadline=end,
        beat=beat,
        left=end - int(NOON),
        head="10.0.0.1:6379",
        head_machine="i-0001",
        pool="gpu",
    )


def at_work(folder: Path) -> Scene:
    scene = Scene(folder)
    launch(scene.order(RUN), scene.place, now=NOON)
    scene.control.hold(lease())
    scene.control.tell(state())
    scene.groups.want(GPU, 3)
    scene.cloud.advance(30)
    scene.control.put(RUN, "ledger.jsonl", ledger(scene))
    return scene


def ledger(scene: Scene) -> bytes:
    """What its head would have written: itself; the workers it has not seen yet."""
    (head,) = scene.cloud.alive(HEAD)
    besides = scene.cloud.market.besides(50, "")
    told = {"machine": head.machine, "type": head.type, "zone": head.zone, "start": head.since}
    prices = {"dollars": ON_DEMAND[head.type], "besides": besides, "priced": "live"}
    return write([Line.model_validate({**told, **prices, "role": "head", "spot": False})])


def stop(scene: Scene, head: FakeClock, *, run: str = RUN, force: bool = False) -> Halted:
    return halt(run, scene.place, force=force, say=lambda _: None, clock=head)


def test_a_run_that_nobody_took_leaves_the_queue_and_its_head_goes(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    launch(scene.order(RUN), scene.place, now=NOON)
    found = stop(scene, scene.clock)
    assert found.how == "withdrawn"
    assert found.state is not None
    assert (found.state.phase, found.state.code, found.state.reason) == ("stopped", 20, NEVER)
    assert scene.control.orders() == []
    assert scene.nothing_runs()
    # A head that had just come up finds that it is not wanted, whatever it read before.
    assert scene.control.get(RUN, STOP) is not None
    assert scene.control.get(RUN, "order.json") is not None


def test_a_run_that_is_ordered_while_another_is_withdrawn_has_a_head(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    launch(scene.order(RUN), scene.place, now=NOON)
    real = scene.groups.want

    def want(group: str, count: int) -> None:
        scene.groups.want = real  # type: ignore[method-assign]
        # Somebody orders just before: a head is on its way, so that none is woken.
        assert count == 0
        launch(scene.order(NEXT), scene.place, now=NOON)
        real(group, count)

    scene.groups.want = want  # type: ignore[method-assign]
    assert stop(scene, scene.clock).waiting == (NEXT,)
    assert scene.groups.size(HEAD).wanted == 1


def test_a_run_that_waits_leaves_the_queue_and_the_one_at_work_goes_on(tmp_path: Path) -> None:
    scene = at_work(tmp_path)
    launch(scene.order(NEXT), scene.place, now=NOON)
    found = stop(scene, Head(scene), run=NEXT)
    assert found.how == "withdrawn"
    assert [order.run for order in scene.control.orders()] == [RUN]
    assert len(scene.cloud.alive(GPU)) == 3
    assert scene.control.get(RUN, STOP) is None


def test_a_head_that_lives_ends_the_run_itself(tmp_path: Path) -> None:
    scene = at_work(tmp_path)
    found = stop(scene, Head(scene))
    assert (found.how, found.state and found.state.phase) == ("gently", "stopped")
    assert scene.nothing_runs()
    assert json.loads(scene.control.get(RUN, STOP) or b"")["at"] == NOON + 30


def test_a_head_that_drains_for_long_is_left_to_it_and_the_error_says_what_to_do(
    tmp_path: Path,
) -> None:
    scene = at_work(tmp_path)
    with pytest.raises(CancelledError, match="still ending after 120 s") as caught:
        stop(scene, Head(scene, obeys=False))
    assert "--force" in caught.value.remedy
    assert len(scene.cloud.alive()) == 4


def test_a_silent_head_is_not_waited_for_and_every_machine_ends(tmp_path: Path) -> None:
    scene = at_work(tmp_path)
    found = stop(scene, Head(scene, says=False))
    assert found.how == "forced"
    assert set(found.machines.values()) == {0}
    assert scene.nothing_runs()
    assert scene.control.lease() is None
    assert scene.control.orders() == []
    assert found.state is not None
    assert (found.state.phase, found.state.reason) == ("stopped", "ended by force")
    # Its workers no ledger has: they count at the dearest price that they can have had.
    assert scene.cloud.bill() <= found.state.spent <= 1.5 * scene.cloud.bill()


def test_where_no_head_is_up_nobody_is_asked_and_nobody_waited_for(tmp_path: Path) -> None:
    scene = at_work(tmp_path)
    scene.groups.want(HEAD, 0)
    scene.cloud.advance(LEAVING_SECONDS + 10)  # ... and none is listed any more
    before = scene.cloud.now
    assert stop(scene, scene.clock).how == "forced"
    # Its workers take that long to leave; a head would be waited for besides.
    assert scene.cloud.now - before < LEAVING_SECONDS + 60
    assert scene.nothing_runs()


def test_force_ends_what_a_head_asks_for_again_and_again(tmp_path: Path) -> None:
    scene = at_work(tmp_path)

    class Stubborn(FakeClock):
        def sleep(self, seconds: float) -> None:
            # Until it is gone it may ask for workers, and renew its lease.
            if scene.groups.members(HEAD):
                scene.groups.want(GPU, 2)
                scene.control.hold(lease(9))
                scene.control.tell(state(at=self.now()))
            super().sleep(seconds)

    found = stop(scene, Stubborn(scene.cloud), force=True)
    assert scene.nothing_runs()
    assert scene.control.lease() is None
    assert found.state is not None
    assert found.state.over
    assert [group.armed for group in scene.cloud.state.values()] == [None, None, None]


def test_force_leaves_other_runs_in_the_queue_and_names_them(tmp_path: Path) -> None:
    scene = at_work(tmp_path)
    launch(scene.order(NEXT), scene.place, now=NOON)
    found = stop(scene, scene.clock, force=True)
    assert found.waiting == (NEXT,)
    assert [order.run for order in scene.control.orders()] == [NEXT]
    assert scene.nothing_runs()


def test_a_run_that_is_ordered_as_the_last_machine_goes_keeps_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = at_work(tmp_path)
    look = zero.machines

    def last_look(place: Place) -> dict[str, int]:
        found = look(place)
        if not any(found.values()) and NEXT not in scene.control.waiting():
            launch(scene.order(NEXT, hours=9), scene.place, now=scene.cloud.now)
        return found

    monkeypatch.setattr(zero, "machines", last_look)
    assert stop(scene, scene.clock, force=True).waiting == (NEXT,)
    assert scene.groups.size(HEAD).wanted == 1
    for group in (HEAD, GPU):
        assert scene.groups.armed(group) == NOON + 9 * HOUR


def test_a_head_that_came_as_the_last_machine_went_keeps_its_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = at_work(tmp_path)
    look = zero.machines

    def last_look(place: Place) -> dict[str, int]:
        found = look(place)
        if not any(found.values()) and NEXT not in scene.control.waiting():
            launch(scene.order(NEXT, hours=9), scene.place, now=scene.cloud.now)
            scene.cloud.advance(60)
            (head,) = scene.cloud.alive(HEAD)
            scene.control.hold(
                lease().model_copy(update={"run": NEXT, "head_machine": head.machine})
            )
        return found

    monkeypatch.setattr(zero, "machines", last_look)
    stop(scene, scene.clock, force=True)
    held = scene.control.lease()
    assert held is not None
    assert held.run == NEXT
    assert len(scene.cloud.alive(HEAD)) == 1


def test_what_a_head_wrote_in_its_last_second_is_taken_away_whatever_run_it_was_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = at_work(tmp_path)
    look = zero.machines

    def last_look(place: Place) -> dict[str, int]:
        found = look(place)
        if not any(found.values()):
            scene.control.hold(lease(9))
        return found

    monkeypatch.setattr(zero, "machines", last_look)
    zero.to_zero(scene.place, [], lambda _: None, scene.clock)
    assert scene.control.lease() is None


def test_a_machine_that_does_not_go_is_named_with_exit_code_30(tmp_path: Path) -> None:
    scene = at_work(tmp_path)
    machine = scene.cloud.alive(GPU)[0]
    real = scene.cloud._end

    def stays(rented: object, *words: object) -> None:
        if rented is not machine:
            real(rented, *words)  # type: ignore[arg-type]

    scene.cloud._end = stays  # type: ignore[method-assign]
    with pytest.raises(LeftoverError, match=f"{machine.machine} of {GPU}") as caught:
        stop(scene, scene.clock, force=True)
    assert caught.value.exit_code == 30
    # Its end by the cloud itself stays armed.
    assert scene.cloud.state[GPU].armed == NOON + 6 * HOUR


def test_a_group_that_is_not_there_keeps_no_other_from_its_end(tmp_path: Path) -> None:
    scene = at_work(tmp_path)
    first = next(group for group in scene.place.deployment.groups if group not in (HEAD, GPU))
    for gone in (first, HEAD):
        del scene.cloud.state[gone]
    scene.cloud.rented = [rented for rented in scene.cloud.rented if rented.group == GPU]
    found = stop(scene, scene.clock, force=True)
    assert found.machines == {GPU: 0}
    assert not scene.cloud.alive()
    assert scene.control.orders() == []


def test_a_group_that_takes_no_order_keeps_no_other_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = at_work(tmp_path)
    real = FakeGroups.want

    def want(groups: FakeGroups, group: str, count: int) -> None:
        if group == HEAD:
            raise PermissionsError("not this one")
        real(groups, group, count)

    monkeypatch.setattr(FakeGroups, "want", want)
    with pytest.raises(PermissionsError, match="not this one"):
        stop(scene, scene.clock, force=True)
    assert scene.cloud.alive(GPU) == []
    # The head leaves by itself, which it does without a lease.
    assert scene.control.lease() is None


@pytest.mark.parametrize("damaged", [b"{", b'{"run": "x", "of_a_newer_version": 1}'])
def test_an_order_that_nobody_can_read_keeps_no_machine_alive(
    tmp_path: Path, damaged: bytes
) -> None:
    scene = at_work(tmp_path)
    scene.control.store.put(f"orders/{NEXT}.json", damaged)
    said: list[str] = []
    left = empty(scene.place, say=said.append, clock=scene.clock)
    assert set(left.values()) == {0}
    assert scene.nothing_runs()
    assert any(NEXT in line for line in said)


def test_an_order_that_nobody_can_read_is_named_with_what_takes_it_away(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.control.store.put(f"orders/{NEXT}.json", b"{")
    with pytest.raises(DeploymentError, match=NEXT) as caught:
        launch(scene.order(RUN), scene.place, now=NOON)
    assert f"imgbatch cloud stop {NEXT}" in caught.value.remedy
    assert stop(scene, scene.clock, run=NEXT).how == "withdrawn"
    launch(scene.order(RUN), scene.place, now=NOON)


class Unwritable:
    """What a control does whose bucket takes nothing."""

    def put(self, *_: object) -> None:
        raise StorageError("no space left")

    close = release = put


def test_a_bucket_that_takes_nothing_keeps_no_machine_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = at_work(tmp_path)
    for verb in ("put", "close", "release"):
        monkeypatch.setattr(scene.control, verb, getattr(Unwritable(), verb))
    with pytest.raises(StorageError, match="no space left"):
        stop(scene, scene.clock)
    assert len(scene.cloud.alive()) == 4
    # All are gone, and that the run is still in the queue is no success.
    with pytest.raises(StorageError, match="no space left"):
        stop(scene, scene.clock, force=True)
    assert scene.nothing_runs()
    monkeypatch.undo()
    assert stop(scene, scene.clock, force=True).how == "forced"
    assert scene.control.orders() == []


@pytest.mark.parametrize("name", ["lease.json", f"orders/{RUN}.json", f"runs/{RUN}/state.json"])
@pytest.mark.parametrize("damaged", [b"{", b'{"of_a_newer_version": 1}'])
def test_a_damaged_object_keeps_no_run_from_being_stopped(
    tmp_path: Path, name: str, damaged: bytes
) -> None:
    scene = at_work(tmp_path)
    scene.control.store.put(name, damaged)
    assert meant(scene.control, RUN[:12]) == RUN
    found = stop(scene, scene.clock, force=True)
    assert found.how == "forced"
    assert scene.nothing_runs()
    assert scene.control.waiting() == []
    assert scene.control.lease() is None


@pytest.mark.parametrize("name", ["lease.json", f"orders/{RUN}.json"])
def test_a_damaged_object_keeps_no_deployment_from_going_down(tmp_path: Path, name: str) -> None:
    scene = at_work(tmp_path)
    scene.control.store.put(name, b"{")
    there = scene.place.deployment.model_copy(update={"control": str(tmp_path / "control")})
    assert busy(there) == [RUN]
    end_runs(scene.there, busy(there), scene.clock, lambda _: scene.place)
    assert scene.control.waiting() == []
    assert busy(there) == []


def test_a_bucket_that_cannot_be_read_keeps_no_deployment_from_going_down_by_force(
    tmp_path: Path,
) -> None:
    scene = at_work(tmp_path)
    lease_file = tmp_path / "control" / "lease.json"
    lease_file.unlink()
    lease_file.mkdir()  # of which the store says that it may not be read
    there = scene.place.deployment.model_copy(update={"control": str(tmp_path / "control")})
    with pytest.raises(StorageError):
        told(lambda: busy(there), [], force=False)
    assert told(lambda: busy(there), [], force=True) == []
    end_runs(scene.there, [RUN], scene.clock, lambda _: scene.place)
    assert scene.control.waiting() == []


@pytest.mark.parametrize("error", [CloudError("no cloud"), SettingsError("no region")])
def test_a_cloud_that_cannot_even_be_opened_keeps_no_deployment_from_going_down(
    tmp_path: Path, error: RunError
) -> None:
    scene = at_work(tmp_path)

    def opened(_: object) -> Place:
        raise error

    end_runs(scene.there, [RUN], scene.clock, opened)
    assert scene.control.waiting() == []
    assert scene.control.lease() is None
    state = scene.control.state(RUN)
    assert state is not None
    assert (state.phase, state.code) == ("stopped", 20)


def test_a_run_that_is_ordered_while_somebody_decides_is_not_ended_unasked(tmp_path: Path) -> None:
    scene = at_work(tmp_path)
    there = scene.place.deployment.model_copy(update={"control": str(tmp_path / "control")})
    runs = busy(there)
    again: dict[str, Any] = {"root": Named("lab"), "runs": runs, "busy": lambda: busy(there)}
    assert also(**again, yes=True, force=False) == [RUN]
    launch(scene.order(NEXT), scene.place, now=NOON)  # terraform plans, and asks
    with pytest.raises(DeploymentError, match=f"at work on 'lab', or wait: {NEXT}$"):
        also(**again, yes=True, force=False)
    assert also(**again, yes=True, force=True) == [RUN, NEXT]


class Named:
    """As much of a root as its name."""

    def __init__(self, name: str) -> None:
        self.name = name


def test_an_empty_deployment_is_emptied_all_the_same(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.groups.want(GPU, 2)
    scene.cloud.advance(60)
    left = empty(scene.place, say=lambda _: None, clock=scene.clock)
    assert set(left.values()) == {0}
    assert scene.nothing_runs()


def test_the_run_that_is_meant_is_that_at_work_or_named_by_its_beginning(tmp_path: Path) -> None:
    scene = at_work(tmp_path)
    scene.control.order(scene.order(NEXT))
    assert meant(scene.control, None) == RUN
    assert meant(scene.control, "20270115T09") == NEXT
    with pytest.raises(SettingsError, match=r"2 runs begin with '2027'.*" + RUN):
        meant(scene.control, "2027")
    with pytest.raises(SettingsError, match="no run that waits or is at work is '19'"):
        meant(scene.control, "19")


def test_nothing_at_work_is_nothing_to_stop(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="no run waits"):
        meant(Scene(tmp_path).control, None)
