"""A conditional write whose answer is lost is repeated and refused: it is ours all the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake.exceptions import CommitFailedError

from imgbatch.cloud import schedules
from imgbatch.cloud.control import LEASE, Control
from imgbatch.cloud.holding import Holding
from imgbatch.cloud.launch import launch
from imgbatch.dataset import MANIFEST, Dataset, manifest
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.delta import Table
from imgbatch.dataset.lock import NAME, Holder, RunLock
from imgbatch.doctor.writing import _Probe
from imgbatch.errors import BusyError, DamageError, FencedError, SettingsError, StorageError
from imgbatch.fetching.kept import Journal, journal
from imgbatch.observe import cancel
from imgbatch.storage import ChangedError, claim, open_store
from tests.cloud.fake import NOON
from tests.cloud.watched import Scene
from tests.servers.scripted import Answer, Scripted
from tests.storage.faulty import RepeatingStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> RepeatingStore:
    return RepeatingStore(str(tmp_path / "store"))


def test_a_client_repeats_a_conditional_write_and_is_refused_by_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What all the others rest on."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    with Scripted() as server:
        bucket = open_store(f"s3://repeated?endpoint={server.url}")
        server.script = [Answer(500, "InternalError"), Answer(412, "PreconditionFailed")]
        with pytest.raises(FileExistsError):
            bucket.put_once("x", b"1")
        assert [asked.method for asked in server.asked] == ["PUT", "PUT"]


def test_what_is_there_with_our_bytes_is_ours_and_with_others_not(store: RepeatingStore) -> None:
    claim(store, "x", b"ours")
    assert (store.refused, store.get("x")) == (1, b"ours")
    with pytest.raises(FileExistsError):
        claim(store, "x", b"theirs")
    assert store.get("x") == b"ours"


@pytest.mark.parametrize("former", [False, True])
def test_a_lock_that_was_taken_so_is_ours(store: RepeatingStore, *, former: bool) -> None:
    if former:
        dead = {"machine": "another", "host": "far", "at": 0.0, "expires": 0.3}
        told = json.loads(Holder.me("old", expires=60).encoded()) | dead
        store.put(NAME, json.dumps(told).encode())
    lock = RunLock.take(store, "run1", expires=60)
    assert store.refused == 1
    assert json.loads(store.get(NAME))["run"] == "run1"
    with pytest.raises(BusyError, match="run1"):
        RunLock.take(store, "run2", expires=60)
    lock.release()
    assert list(store.list()) == []


def test_a_beat_that_was_given_so_loses_no_lock(store: RepeatingStore) -> None:
    lock = RunLock.take(store, "run1", expires=60)
    assert lock._beat()
    assert (store.refused, json.loads(store.get(NAME))["beat"]) == (2, 1)
    lock.release()


class Overtaken(RepeatingStore):
    """Somebody else writes between a look and the write that compares."""

    other = b""

    def replace(self, name: str, data: bytes, version: str) -> str:  # noqa: ARG002 - as its own
        self.put(name, self.other) if self.other else self.delete(name)
        raise ChangedError(f"{name} changed meanwhile")


@pytest.mark.parametrize("other", [Holder.me("run2", expires=60).encoded(), b"", b"no lock"])
def test_a_beat_that_another_one_overtook_loses_it(tmp_path: Path, other: bytes) -> None:
    store = Overtaken(str(tmp_path))
    lock = RunLock.take(store, "run1", expires=60)
    store.other = other
    assert not lock._beat()
    lock._stop.set()


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    made = Dataset.create(str(tmp_path / "dataset"))
    made.table(MANIFEST).create(manifest.SCHEMA, fence=0, run="create")
    return made


@pytest.fixture
def unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each commit to a table be written and refused as its own repetition is."""
    commit = Table._commit

    def lost(table: Table, *words: Any) -> None:
        commit(table, *words)
        raise CommitFailedError("version 1 is there already")

    monkeypatch.setattr(Table, "_commit", lost)


@pytest.mark.usefixtures("unanswered")
def test_a_number_that_was_taken_so_is_ours(dataset: Dataset) -> None:
    dataset.table("tables/quality").create(pa.schema([("x", pa.int8())]), fence=0, run="create")
    assert take_number(dataset, "run1") == 1
    assert take_number(Dataset.open(dataset.url), "run2") == 2
    assert [told.get("run") for told in dataset.table(MANIFEST).history()][-2:] == [
        "run1",
        "create",
    ]
    other = Dataset.open(dataset.url)
    assert [other.table(name).fence for name in (MANIFEST, "tables/quality")] == [2, 2]


def test_a_number_that_another_one_took_is_not(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Table._commit

    def overtaken(table: Table, *words: Any) -> None:
        monkeypatch.setattr(Table, "_commit", commit)
        take_number(Dataset.open(dataset.url), "run1")  # even of the same name
        commit(table, *words)

    monkeypatch.setattr(Table, "_commit", overtaken)
    with pytest.raises(FencedError, match="took number 1 as well"):
        take_number(dataset, "run1")


def test_columns_that_were_added_so_are_there(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = dataset.table("tables/quality")
    table.create(pa.schema([("x", pa.int8())]), fence=0, run="create")
    more = pa.schema([("x", pa.int8()), ("y", pa.int8())])
    stale = Dataset.open(dataset.url).table("tables/quality")

    class Alter:
        def add_columns(self, _: object) -> None:
            raise CommitFailedError("version 1 is there already")

    class Delta:
        alter = Alter()

    monkeypatch.setattr(stale, "_require", Delta)
    with monkeypatch.context() as patched:
        patched.setattr(stale, "schema", table.schema)
        with pytest.raises(StorageError, match="there already"):
            stale.add_columns(more)
        seen = [table.schema(), more]
        patched.setattr(stale, "schema", lambda: seen.pop(0))
        stale.add_columns(more)
    assert seen == []


def test_a_run_s_end_that_was_asked_for_so_is_new(store: RepeatingStore) -> None:
    assert cancel.ask(store, "r")
    assert cancel.asked(store, "r") is not None
    assert not cancel.ask(store, "r")
    store.put(cancel.name("r"), b"{}")
    with pytest.raises(DamageError):
        cancel.asked(store, "r")


def test_outcomes_that_were_kept_so_are_of_this_fetch(store: RepeatingStore) -> None:
    own, other = Journal(store), Journal(store)
    own.add({"url": "http://a"})
    own.flush()
    own.add({"url": "http://b"})
    own.flush()
    assert len(journal(store)) == 2
    other.add({"url": "http://c"})
    with pytest.raises(BusyError, match="another fetch"):
        other.flush()


def test_a_schedule_that_was_put_so_is_ours(tmp_path: Path, store: RepeatingStore) -> None:
    control = Control(str(tmp_path / "control"))
    control.store = store
    order = Scene(tmp_path).order(hours=0)
    told = {"cron": "0 3 * * 1", "timezone": "Europe/Berlin", "hours": 5, "order": order}
    schedule = schedules.Schedule(name="weekly", since=1.0, **told)
    schedules.put(control, schedule)
    assert schedules.schedules(control) == [schedule]
    with pytest.raises(SettingsError, match="there is a schedule weekly"):
        schedules.put(control, schedules.Schedule(name="weekly", since=2.0, **told))


def test_an_order_that_was_put_so_is_ours(tmp_path: Path, store: RepeatingStore) -> None:
    scene = Scene(tmp_path)
    scene.control.store = store
    order = scene.order()
    assert launch(order, scene.place, now=NOON) == []
    assert scene.control.orders() == [order]
    with pytest.raises(FileExistsError):
        launch(scene.order(hours=7), scene.place, now=NOON)


def test_a_lease_that_was_renewed_so_is_held(tmp_path: Path, store: RepeatingStore) -> None:
    control = Control(str(tmp_path / "control"))
    control.store = store
    holding = Holding(control, Scene(tmp_path).order(), "i-1")
    holding.take(NOON)
    for turn in range(1, 4):
        holding.keep(NOON + 30 * turn)
    assert control.lease().beat == 3  # type: ignore[union-attr]
    Holding(control, Scene(tmp_path).order(), "i-2").take(NOON + 100)
    with pytest.raises(FencedError, match="i-2"):
        holding.keep(NOON + 130)


def test_a_lease_that_goes_to_another_head_meanwhile_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Control(str(tmp_path / "control"))
    holding = Holding(control, Scene(tmp_path).order(), "i-1")
    holding.take(NOON)
    other = control.store.get(LEASE).replace(b"i-1", b"i-2")
    writes = [b"", other]  # the first refusal was of our own; then the other head is there

    def replace(name: str, *_: object) -> str:
        if written := writes.pop(0):
            control.store.put(name, written)
        raise ChangedError(f"{name} changed meanwhile")

    monkeypatch.setattr(control.store, "replace", replace)
    with pytest.raises(FencedError, match="i-2"):
        holding.keep(NOON + 30)
    assert writes == []


def test_a_doctor_takes_no_server_for_a_wrong_one(store: RepeatingStore) -> None:
    place: Any = type("Here", (), {"store": store})
    probe = _Probe(place, "x")
    probe.put()
    assert probe.replace() == "one over a former version is refused"
