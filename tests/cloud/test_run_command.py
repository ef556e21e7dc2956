"""`imgbatch cloud run`, `status` and `stop` as people type them, on a server that answers like AWS.

The head is played: its group fills, and what it would write is written here.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.cloud.control import Control, Lease, State
from imgbatch.cloud.deployment import Deployment
from tests import corpus
from tests.cloud.aws_on_moto import deploy
from tests.cloud.moto_server import ACCOUNT, REGION, Moto, moto_server, push

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow  # each command is a process of its own
IMGBATCH = [sys.executable, "-m", "imgbatch", "cloud"]
BUCKET = "imgbatch-lab-test"
INPUT, DATASET = f"s3://{BUCKET}/photos", f"s3://{BUCKET}/d"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/imgbatch-lab:1"
MONEY = ("--budget", "5", "--deadline", "2h")


@dataclass
class Lab:
    """A deployment on the server, which this laptop knows."""

    moto: Moto
    control: Control
    head: str
    pool: str

    def imgbatch(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*IMGBATCH, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*IMGBATCH, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def desired(self) -> dict[str, int]:
        groups = self.moto.client("autoscaling").describe_auto_scaling_groups()
        return {
            group["AutoScalingGroupName"]: group["DesiredCapacity"]
            for group in groups["AutoScalingGroups"]
        }

    def armed(self) -> dict[str, float]:
        said = self.moto.client("autoscaling").describe_scheduled_actions()
        return {
            action["AutoScalingGroupName"]: action["StartTime"].timestamp()
            for action in said["ScheduledUpdateGroupActions"]
        }

    def state(self, run: str, phase: str, **more: Any) -> State:
        words = {"run": run, "phase": phase, "at": time.time(), "budget": 5.0}
        return State.model_validate(words | {"deadline": time.time() + 7200} | more)


@pytest.fixture(scope="module")
def server() -> Iterator[Moto]:
    with moto_server() as aws:
        yield aws


@pytest.fixture
def lab(server: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    server.reset()
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "IMGBATCH_MODEL_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    s3 = server.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    (photo,) = corpus.many(tmp_path / "photos", 1).iterdir()
    s3.put_object(Bucket=BUCKET, Key="photos/a.jpg", Body=photo.read_bytes())
    made = deployed()
    control = Control(f"{made.control}?region={REGION}")
    control.store.put("deployment.json", made.model_dump_json().encode())
    server.client("ecr").create_repository(repositoryName="imgbatch-lab")
    push(server, IMAGE)
    note = tmp_path / "config" / "imgbatch" / "deployments" / "lab.json"
    note.parent.mkdir(parents=True)
    told = {"cloud": "aws", "region": REGION, "control": f"{made.control}?region={REGION}"}
    note.write_text(json.dumps(told))
    return Lab(server, control, made.head.group, made.pools["cpu"].group)


def deployed() -> Deployment:
    names = deploy(REGION)
    pool = {"machines": ["g6.xlarge", "g5.xlarge"], "most": 4, "spot": True, "disk_gib": 50}
    zones = {"zones": [f"{REGION}a"]}
    return Deployment.model_validate(
        {
            "format": 1,
            "name": "lab",
            "cloud": "aws",
            "region": REGION,
            "account": ACCOUNT,
            "bucket": f"s3://{BUCKET}",
            "control": f"s3://{BUCKET}/control",
            "image": IMAGE,
            "token": names.token,
            "head": {"group": names.head, "machines": ["m7i.large"], "disk_gib": 30},
            "pools": {"cpu": {"group": names.gpu, "gpus": [], **pool, **zones}},
        }
    )


def test_a_run_that_no_head_will_come_for_is_told_by_status_with_what_to_do(lab: Lab) -> None:
    done = lab.imgbatch("run", INPUT, DATASET, *MONEY, "--yes", "--no-follow", "--no-plan")
    assert done.returncode == 0, done.stderr
    (order,) = lab.control.orders()
    done = lab.imgbatch("status")
    assert done.returncode == 0
    assert "no head" not in done.stderr
    # As a head leaves it that could not read the queue until its last second.
    lab.moto.client("autoscaling").set_desired_capacity(
        AutoScalingGroupName=lab.head, DesiredCapacity=0
    )
    done = lab.imgbatch("status")
    assert done.returncode == 0
    assert f"no head is up for run {order.run}, and none is on its way" in done.stderr
    assert f"imgbatch cloud stop {order.run}" in done.stderr


def test_a_run_is_ordered_watched_queued_behind_and_stopped(lab: Lab) -> None:
    done = lab.imgbatch("run", INPUT, DATASET, *MONEY, "--yes", "--no-follow", "--no-plan")
    assert done.returncode == 0, done.stderr
    assert "room for 4 machines" in done.stderr or "? " in done.stderr
    (order,) = lab.control.orders()
    assert f"ordered: run {order.run}" in done.stdout
    assert "dies at" in done.stdout
    assert lab.desired() == {lab.head: 1, lab.pool: 0}
    assert lab.armed() == pytest.approx(dict.fromkeys((lab.head, lab.pool), order.deadline), abs=2)
    assert order.environment["IMGBATCH_MODEL_MIRROR"] == f"s3://{BUCKET}/models"
    assert (order.pool, order.most, order.budget) == ("cpu", 4, 5)
    assert order.heads_until == 0, "its budget pays the head until the deadline"
    assert b"heads_until" not in lab.control.store.get(f"orders/{order.run}.json")

    words = ("run", INPUT, DATASET, *MONEY, "--yes", "--no-follow", "--no-plan", "--json")
    done = lab.imgbatch(*words)
    assert done.returncode == 0, done.stderr
    second = json.loads(done.stdout.splitlines()[-1])
    assert second["behind"] == [order.run]

    # A head takes the first.
    end = int(order.deadline)
    lease = Lease(
        run=order.run,
        deadline=end,
        beat=1,
        left=7200,
        head="10.0.0.1:6379",
        head_machine="i-1",
        pool="cpu",
    )
    lab.control.hold(lease)
    steps = {"ordered": 0.0, "taken": 95.0, "first-shard": 240.0}
    told = {"shards": 10, "shards_done": 4, "workers": 2, "spent": 0.12, "per_hour": 0.4}
    lab.control.tell(lab.state(order.run, "working", steps=steps, eta=600.0, **told))
    lab.control.put(order.run, "head.log", b"one\ntwo\n")
    done = lab.imgbatch("status")
    assert (
        "working: 4/10 shards, 2 workers, $0.12 of $5.00, $0.40/h, 10 min 0 s left" in done.stdout
    )
    assert "the head took the order (+1 min 35 s)" in done.stdout
    assert f"waits: {second['run']}" in done.stdout
    record = json.loads(lab.imgbatch("status", "--json").stdout)
    assert record["at_work"]["run"] == order.run
    assert lab.imgbatch("logs").stdout == "one\ntwo\n"

    done = lab.imgbatch("stop", second["run"])
    assert done.returncode == 0, done.stderr
    assert "taken off the queue" in done.stdout
    done = lab.imgbatch("stop", "--force")
    assert done.returncode == 0, done.stderr
    assert "ended by force" in done.stdout
    assert "machines: none left" in done.stdout
    assert set(lab.desired().values()) == {0}
    assert lab.armed() == {}
    assert lab.control.lease() is None
    assert lab.imgbatch("stop").returncode == 28

    for words in ((), ("--force",)):
        lab.control.store.put("orders/damaged.json", b"{")
        done = lab.imgbatch("stop", *words)
        assert done.returncode == 0, done.stderr
        assert "run damaged" in done.stdout
        assert lab.control.waiting() == []
    assert "damaged.json is no JSON" in done.stderr


def test_the_least_deadline_that_a_refusal_advises_is_taken(lab: Lab) -> None:
    words = (INPUT, DATASET, "--budget", "5", "--yes", "--no-follow", "--no-plan")
    done = lab.imgbatch("run", *words, "--deadline", "14m")
    assert "Give at least --deadline 15m" in done.stderr
    done = lab.imgbatch("run", *words, "--deadline", "15m")
    assert done.returncode == 0, done.stderr
    assert len(lab.control.orders()) == 1


def test_a_run_is_followed_to_its_end_and_its_exit_code_is_ours(lab: Lab) -> None:
    ours = lab.begin("run", INPUT, DATASET, *MONEY, "--yes", "--no-plan")
    order = ordered(lab)
    lab.control.tell(lab.state(order, "working", workers=1, shards=2, shards_done=1))
    time.sleep(4)
    lab.control.tell(lab.state(order, "budget", code=31, reason="5.00 dollars are spent"))
    out, err = ours.communicate(timeout=60)
    assert ours.returncode == 31
    assert "working: 1/2 shards, 1 worker" in out
    assert "5.00 dollars are spent" in err
    assert "SpentError" in err


def test_ctrl_c_ends_the_watching_and_not_the_run(lab: Lab) -> None:
    ours = lab.begin("run", INPUT, DATASET, *MONEY, "--yes", "--no-plan")
    order = ordered(lab)
    lab.control.tell(lab.state(order, "waiting"))
    assert ours.stdout
    for line in ours.stdout:
        if line.startswith("waiting"):
            break
    ours.send_signal(signal.SIGINT)
    _, err = ours.communicate(timeout=60)
    assert ours.returncode == 130
    assert f"run {order} goes on" in err
    assert lab.desired()[lab.head] == 1
    assert [waiting.run for waiting in lab.control.orders()] == [order]


def ordered(lab: Lab) -> str:
    for _ in range(300):
        if orders := lab.control.orders():
            return orders[0].run
        time.sleep(0.1)
    pytest.fail("nothing was ordered")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((INPUT, DATASET, "--budget", "5"), 10, "needs a deadline"),
        (("s3://elsewhere/p", DATASET, *MONEY), 28, 'Add "s3://elsewhere" to `readable`'),
        ((INPUT, f"s3://{BUCKET}/control/d", *MONEY), 28, "the machines themselves go by"),
        ((INPUT, DATASET, *MONEY, "--no-plan"), 10, "Give --yes"),
    ],
)
def test_what_is_wrong_is_told_before_anything_costs_money(
    lab: Lab, words: tuple[str, ...], code: int, said: str
) -> None:
    done = lab.imgbatch("run", *words)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert set(lab.desired().values()) == {0}
    assert lab.armed() == {}
    assert lab.control.orders() == []


def test_machines_without_a_price_or_a_known_quota_are_refused(lab: Lab) -> None:
    made = json.loads(lab.control.deployment())
    made["pools"]["cpu"]["machines"] = ["g6.xlarge", "g9.xlarge"]
    lab.control.store.put("deployment.json", json.dumps(made).encode())
    words = ("run", INPUT, DATASET, *MONEY, "--yes", "--no-plan", "--no-follow")
    done = lab.imgbatch(*words)
    assert done.returncode == 28, done.stderr
    assert "no price is known of g9.xlarge" in done.stderr
    assert "is known here" not in done.stderr
    # AWS tells a spot price of this one; what bounds it is not known to imgbatch.
    made["pools"]["cpu"]["machines"] = ["m5.xlarge"]
    lab.control.store.put("deployment.json", json.dumps(made).encode())
    done = lab.imgbatch(*words)
    assert done.returncode == 27, done.stderr
    assert "no price" not in done.stderr
    assert "no type of pool cpu is known here" in done.stderr
    assert set(lab.desired().values()) == {0}
    assert lab.armed() == {}


def test_without_an_image_or_weights_in_the_mirror_nothing_is_rented(
    lab: Lab, tmp_path: Path
) -> None:
    lab.moto.client("ecr").batch_delete_image(
        repositoryName="imgbatch-lab", imageIds=[{"imageTag": "1"}]
    )
    recipe = tmp_path / "faces.toml"
    recipe.write_text("[analyzers.faces]\ndetector = 'ultraface'\n")
    done = lab.imgbatch("run", INPUT, DATASET, *MONEY, "--recipe", str(recipe), "--yes")
    assert done.returncode == 28
    assert f"{IMAGE} is not in the registry" in done.stderr
    assert "`scripts/image lab`" in done.stderr
    assert f"`imgbatch models push ultraface-rfb-320 s3://{BUCKET}/models`" in done.stderr
    assert set(lab.desired().values()) == {0}


def test_a_bucket_elsewhere_is_refused_until_its_region_is_said_and_then_asked_about(
    lab: Lab,
) -> None:
    far = {"LocationConstraint": "us-west-2"}
    lab.moto.client("s3", "us-west-2").create_bucket(
        Bucket="far-photos", CreateBucketConfiguration=far
    )
    made = json.loads(lab.control.deployment())
    made["readable"] = ["s3://far-photos"]
    lab.control.store.put("deployment.json", json.dumps(made).encode())
    url = "s3://far-photos/p"
    done = lab.imgbatch("run", url, DATASET, *MONEY, "--yes", "--no-plan")
    assert done.returncode == 28
    assert f"Give `{url}?region=us-west-2` if you mean it" in done.stderr
    words = (f"{url}?region=us-west-2", DATASET, *MONEY, "--no-plan", "--no-follow", "--yes")
    done = lab.imgbatch("run", *words)
    assert done.returncode == 0, done.stderr
    assert "every byte that crosses is paid for" in done.stderr
    assert "$0.020 per GB read, counted towards the budget" in done.stdout
    assert "$5.00 pay at most 250 GB of traffic" in done.stdout
    (order,) = lab.control.orders()
    assert order.input == f"{url}?region=us-west-2"
    assert (order.tariff.read, order.tariff.written) == (0.02, 0)


def test_traffic_beyond_the_budget_is_shown_and_not_agreed_to_unseen(
    lab: Lab, tmp_path: Path
) -> None:
    far = {"LocationConstraint": "sa-east-1"}
    s3 = lab.moto.client("s3", "sa-east-1")
    s3.create_bucket(Bucket="far-photos", CreateBucketConfiguration=far)
    (photo,) = (tmp_path / "photos").iterdir()
    # Bytes behind a picture's end are no harm to it, and 100 MB of them a cent.
    s3.put_object(Bucket="far-photos", Key="p/a.jpg", Body=photo.read_bytes() + bytes(10**8))
    made = json.loads(lab.control.deployment())
    made["readable"] = ["s3://far-photos"]
    lab.control.store.put("deployment.json", json.dumps(made).encode())
    words = ("run", "s3://far-photos/p?region=sa-east-1", DATASET, "--deadline", "2h")
    words += ("--yes", "--no-follow")
    done = lab.imgbatch(*words, "--budget", "0.015")
    assert done.returncode == 10, done.stderr
    assert "$0.138 per GB read" in done.stdout
    assert "$0.01 of traffic" in done.stdout
    assert "$0.01 of it traffic, and --budget is" in done.stderr
    assert "leave --yes out" in done.stderr
    assert lab.control.orders() == []
    done = lab.imgbatch(*words, "--budget", "5")
    assert done.returncode == 0, done.stderr
    (order,) = lab.control.orders()
    assert order.expected["traffic"] == pytest.approx(0.1 * 0.138, rel=0.01)
    assert order.expected["dollars_p50"] > order.expected["traffic"]


def test_a_dataset_elsewhere_has_its_price_told(lab: Lab) -> None:
    far = {"LocationConstraint": "us-west-2"}
    s3 = lab.moto.client("s3", "us-west-2")
    s3.create_bucket(Bucket="far-data", CreateBucketConfiguration=far)
    made = json.loads(lab.control.deployment())
    made["writable"] = ["s3://far-data"]
    lab.control.store.put("deployment.json", json.dumps(made).encode())
    dataset = "s3://far-data/d?region=us-west-2"
    done = lab.imgbatch("run", INPUT, dataset, *MONEY, "--yes", "--no-follow")
    assert done.returncode == 0, done.stderr
    assert "DATASET is in us-west-2" in done.stdout
    assert "per GB written, counted towards the budget" in done.stdout
    (order,) = lab.control.orders()
    assert (order.tariff.read, order.tariff.written) == (0, 0.02)


def test_a_plan_is_shown_first_and_goes_with_the_order(lab: Lab) -> None:
    done = lab.imgbatch("run", INPUT, DATASET, *MONEY, "--yes", "--no-follow")
    assert done.returncode == 0, done.stderr
    assert "to do: 1 source" in done.stdout
    (order,) = lab.control.orders()
    assert set(order.expected) >= {"dollars_p50", "dollars_p90", "seconds_p50"}


def test_no_deployment_or_several_is_an_error_that_says_what_to_do(
    lab: Lab, tmp_path: Path
) -> None:
    folder = tmp_path / "config" / "imgbatch" / "deployments"
    (folder / "other.json").write_text((folder / "lab.json").read_text())
    done = lab.imgbatch("status")
    assert (done.returncode, "Say which with --deployment" in done.stderr) == (28, True)
    assert lab.imgbatch("status", "--deployment", "lab").returncode == 0
    for name in ("lab", "other"):
        (folder / f"{name}.json").unlink()
    done = lab.imgbatch("run", INPUT, DATASET, *MONEY)
    assert (done.returncode, "scripts/cloud up aws" in done.stderr) == (28, True)


def test_a_schedule_is_held_against_what_there_is_before_anybody_agrees_to_it(lab: Lab) -> None:
    early = {"cron": "0 3 * * 1", "kill": "0 9 * * 1", "timezone": "UTC", "hours": 6}
    told = {**deployed().model_dump(), "schedules": {"early": early}, "max_hours": 24.0}
    lab.control.store.put("deployment.json", json.dumps(told).encode())
    run = ("--", "run", INPUT, DATASET, "--budget", "5", "--no-plan")
    add = ("schedule", "add", "late", "--every", "Mon 05:00")
    done = lab.imgbatch(*add, "--hours", "25", *run)
    assert done.returncode == 28, done.stderr
    assert "no machine of lab may live longer than 24" in done.stderr
    assert "fewer --hours" in done.stderr
    done = lab.imgbatch(*add, "--hours", "6", *run)
    assert done.returncode == 10, done.stderr
    assert "this has to be agreed to" in done.stderr
    assert "schedule early: it ends all machines at" in done.stdout
    done = lab.imgbatch(*add, "--hours", "6", "--json", *run)
    plan = json.loads(done.stdout.splitlines()[0])
    assert "in the hours of the new one" in plan["clashes"][0]
