"""`imgbatch cloud plan` and `imgbatch cloud costs`, as they are typed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.cli.cloud.costs import costs
from imgbatch.cli.cloud.opened import opened
from imgbatch.cli.cloud.plan import plan, plan_run
from imgbatch.cloud import known
from imgbatch.cloud.control import Control, Order, State
from imgbatch.cloud.deployment import Deployment
from imgbatch.cloud.ledger import Line, Tariff, Traffic, spent, write
from imgbatch.errors import CloudError, DeploymentError, SettingsError
from imgbatch.forecast import expected
from tests.cloud.aws_on_moto import account
from tests.cloud.fake import NOON, deployment
from tests.corpus import many

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = "20270115T080000Z-abcdef"
HEAD = {"role": "head", "type": "m.head", "spot": False, "dollars": 0.1, "besides": 0.01}
WORKER = {"role": "worker", "type": "g.small", "spot": True, "dollars": 0.25, "besides": 0.02}


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("IMGBATCH_MODEL_CACHE", str(tmp_path / "cache"))
    return many(tmp_path / "in", 30)


@pytest.fixture
def moto(pictures: Path) -> Iterator[None]:
    assert pictures.exists()  # its fixture comes first: it takes the keys of this machine away
    with account():
        yield


@pytest.fixture
def lab(pictures: Path, tmp_path: Path) -> Deployment:
    """A deployment in us-east-1 of which this laptop knows; its control objects lie in a folder."""
    assert pictures.exists()  # its fixture makes this laptop nobody's
    control = tmp_path / "control"
    told = deployment().model_dump()
    pool = told["pools"]["cpu"] | {"machines": ["c7i.xlarge"], "spot": True, "most": 4}
    told |= {"region": "us-east-1", "control": control.as_uri()}
    told["pools"] = {"cpu": pool | {"zones": []}}
    told["head"]["machines"] = ["m7i.large"]
    own = Deployment.model_validate(told)
    control.mkdir()
    (control / "deployment.json").write_text(own.model_dump_json())
    known.remember(own, own.control)
    return own


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_without_deployment_and_credentials_the_shipped_table_is_told_as_what_it_is(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = str(pictures), str(tmp_path / "own")
    plan(*words, cloud="aws", region="eu-central-1", calibration=False)
    text = capsys.readouterr().out
    assert "the table that imgbatch ships" in text
    assert "30 sources" in text
    assert "* recommended" in text
    assert "quota ?" in text
    assert not (tmp_path / "own").exists()
    plan(*words, cloud="aws", region="eu-central-1", gpus="l4", calibration=False, json=True)
    record = said(capsys)
    assert {offer["offers"][0]["machine"]["gpu"] for offer in record["offers"]} == {"l4"}
    assert {offer["offers"][0]["source"] for offer in record["offers"]} == {"table"}
    assert record["expected"]["dollars_p50"] <= record["expected"]["dollars_p90"]


def test_no_region_is_no_guess(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    words = str(pictures), str(tmp_path / "own")
    with pytest.raises(SettingsError, match="no region"):
        plan(*words, cloud="aws")
    with pytest.raises(SettingsError, match="has its region"):
        plan(*words, region="us-east-1")
    with pytest.raises(SettingsError, match="has its cloud"):
        plan(*words, cloud="aws", region="us-east-1", deployment="lab")
    with pytest.raises(CloudError, match="no price is known in mars-1") as failed:
        plan(*words, cloud="aws", region="mars-1", calibration=False)
    assert "mars-1 is the name of a region" in failed.value.remedy


@pytest.mark.usefixtures("moto")
def test_a_deployment_is_planned_with_its_own_pool_region_and_quota(
    lab: Deployment, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan(str(pictures), str(tmp_path / "own"), calibration=False, json=True)
    record = said(capsys)
    assert (record["deployment"], record["regions"], record["taken"]) == (
        "lab",
        [lab.region],
        "cpu",
    )
    (bid,) = record["offers"]
    assert bid["asked"] == 4
    assert bid["offers"][0]["machine"]["type"] == "c7i.xlarge"
    assert record["budget"] >= record["expected"]["dollars_p90"]


@pytest.mark.usefixtures("moto")
def test_a_run_is_told_the_same_before_it_asks_and_its_order_keeps_it(
    lab: Deployment, pictures: Path, tmp_path: Path
) -> None:
    asked = order(input=str(pictures), dataset=str(tmp_path / "own"), pool="cpu", most=2)
    found = plan_run(asked, opened(lab.name), limit=None, share=None, add_input=False)
    assert found is not None
    assert found.taken is not None
    assert found.taken.asked == 2
    kept = asked.model_copy(update={"expected": expected(found)})
    assert kept.expected["seconds_p50"] < kept.expected["seconds_p90"]


@pytest.mark.usefixtures("moto")
def test_what_this_laptop_may_not_read_is_said_and_ends_no_run(
    lab: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = order(input=str(tmp_path / "nowhere"), dataset=str(tmp_path / "own"), pool="cpu")
    found = plan_run(asked, opened(lab.name), limit=None, share=None, add_input=False)
    assert found is None
    assert "cannot be told from here" in capsys.readouterr().err


# -- what was paid ---------------------------------------------------------------------------------


def order(**given: Any) -> Order:
    usual: dict[str, Any] = {
        "run": RUN,
        "input": "s3://in",
        "dataset": "s3://out",
        "recipe": "[analyzers.image]\n",
        "pool": "gpu",
        "most": 4,
        "budget": 5.0,
        "deadline": NOON + 9999,
        "expected": {
            "seconds_p50": 3000.0,
            "seconds_p90": 4000.0,
            "dollars_p50": 0.6,
            "dollars_p90": 0.8,
        },
    }
    return Order(**(usual | given))


def ledger() -> list[Line]:
    """A head for an hour, a worker for half of one, and one whose price changed and was lost."""
    at = NOON
    return [
        Line(machine="i-h", zone="a", start=at, end=at + 3600, priced="live", **HEAD),
        Line(machine="i-1", zone="a", start=at + 300, end=at + 2100, priced="live", **WORKER),
        Line(machine="i-2", zone="b", start=at + 300, end=at + 1200, priced="live", **WORKER),
        Line(
            machine="i-2",
            zone="b",
            start=at + 1200,
            end=at + 2100,
            priced="live",
            **(WORKER | {"dollars": 0.5}),
        ),
    ]


def past(control: Control) -> None:
    control.order(order())
    control.close(RUN)
    state = State(run=RUN, phase="done", at=NOON + 3600, deadline=0, budget=5, preemptions=1)
    control.tell(state)
    control.put(RUN, "ledger.jsonl", write(ledger()))


def test_costs_are_those_of_the_ledger_to_the_second(
    lab: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    past(Control(lab.control))
    costs(json=True)
    record = said(capsys)
    (one,) = record["runs"]
    assert record["dollars"] == pytest.approx(spent(ledger(), NOON + 3600))
    assert one["machines"] == 2
    assert one["hours"] == pytest.approx(1.0)
    assert one["spot"] == pytest.approx(0.5 * 0.25 + 0.25 * 0.25 + 0.25 * 0.5)
    assert one["on_demand"] == 0
    assert one["head"] == pytest.approx(0.1)
    assert one["besides"] == pytest.approx(0.01 + 1.0 * 0.02)
    assert one["seconds"] == pytest.approx(3600)
    assert one["expected"]["dollars_p90"] == 0.8


def test_traffic_is_a_part_of_what_a_run_cost(
    lab: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    control = Control(lab.control)
    past(control)
    traffic = Traffic(tariff=Tariff(read=0.02), read=10**12)
    control.put(RUN, "ledger.jsonl", write(ledger(), traffic))
    costs(json=True)
    record = said(capsys)
    assert record["runs"][0]["traffic"] == pytest.approx(20.0)
    assert record["dollars"] == pytest.approx(spent(ledger(), NOON + 3600) + 20.0)
    costs()
    text = capsys.readouterr().out
    assert "traffic $" in text
    assert "total: $20.44" in text


def test_costs_of_all_runs_and_of_one_are_tables(
    lab: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    past(Control(lab.control))
    costs()
    text = capsys.readouterr().out
    assert RUN in text
    assert "total: $0.44" in text
    costs(RUN)
    text = capsys.readouterr().out
    assert text.count("i-2") == 2
    assert "1 preemptions; budget $5.00" in text
    with pytest.raises(DeploymentError, match="no run"):
        costs(RUN[:-1])


def test_a_run_at_work_counts_until_now_and_is_in_the_list(
    lab: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    control = Control(lab.control)
    control.order(order())
    control.tell(State(run=RUN, phase="working", at=NOON, deadline=0, budget=5))
    open_line = ledger()[0].model_copy(update={"end": None})
    control.put(RUN, "ledger.jsonl", write([open_line]))
    costs(json=True)
    (one,) = said(capsys)["runs"]
    assert one["phase"] == "working"
    assert one["lines"][0]["end"] is None


def test_no_runs_cost_nothing(lab: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.name == "lab"
    costs()
    assert "nothing was paid" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["ledger.jsonl", "order.json", "state.json"])
def test_a_run_that_cannot_be_read_is_named_and_hides_no_other(
    lab: Deployment, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    control = Control(lab.control)
    past(control)
    control.put(
        "20260101T000000Z-damage", "order.json", control.store.get(f"runs/{RUN}/order.json")
    )
    control.put("20260101T000000Z-damage", name, b'{"run": ')
    costs()
    printed = capsys.readouterr()
    assert "total: $0.44" in printed.out
    assert "not counted: run 20260101T000000Z-damage cannot be read" in printed.err
