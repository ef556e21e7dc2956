"""Google Cloud beyond the contract: what goes wrong, prices, checks, what is left, the way in."""

from __future__ import annotations

import threading
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.cloud import Size, open_cloud
from imgbatch.cloud.backend import Backend
from imgbatch.cloud.control import Order
from imgbatch.cloud.gcp import doors, found, images, table
from imgbatch.cloud.gcp.events import of_operations, reason
from imgbatch.cloud.gcp.shipped import Shipped
from imgbatch.cloud.gcp.who import who
from imgbatch.cloud.ledger import spent
from imgbatch.cloud.notice import taken_in
from imgbatch.cloud.offers import verdict
from imgbatch.cloud.reach import _near
from imgbatch.cloud.scaling import Scaler
from imgbatch.cloud.work import Work
from imgbatch.errors import (
    CloudError,
    CredentialsError,
    DeploymentError,
    PermissionsError,
    SettingsError,
)
from tests.cloud import discovery
from tests.cloud.fake import deployment as any_deployment
from tests.cloud.gcp_fake import (
    DENIED,
    LABEL,
    PROJECT,
    QUOTA,
    REGION,
    STOCK_OUT,
    Made,
    _sku,
    google_cloud,
)
from tests.conftest import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imgbatch.cloud import Check, Cloud
    from imgbatch.cloud.deployment import Deployment
    from tests.cloud.gcp_fake import FakeGoogle

NOON = 1_800_000_000.0


class Clock:
    """Seconds since 1970 that tests move."""

    now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fake(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGoogle]:
    monkeypatch.setenv("IMGBATCH_MODEL_CACHE", str(tmp_path))
    with google_cloud(tmp_path, clock) as made:
        yield made


@pytest.fixture
def made(fake: FakeGoogle) -> Made:
    return fake.deploy(f"lab{uuid.uuid4().hex[:4]}")


@pytest.fixture
def cloud(made: Made, clock: Clock) -> Cloud:
    opened = open_cloud("gcp", REGION, most={made.head: 1, made.gpu: 4, made.t4: 4})
    opened.groups._clock = opened.groups._deadlines._clock = clock
    return opened


def deployment(made: Made) -> Deployment:
    told = any_deployment().model_dump()
    kinds = {"machines": ["g2-standard-4"], "gpus": ["l4"]}
    pool = {**told["pools"]["gpu"], **kinds, "group": made.gpu, "most": 4}
    return type(any_deployment()).model_validate(
        {
            **told,
            "name": made.name,
            "cloud": "gcp",
            "region": REGION,
            "account": PROJECT,
            "token": made.token,
            "head": {"group": made.head, "machines": ["e2-standard-4"], "disk_gib": 50},
            "pools": {"gpu": pool},
        }
    )


# -- what a request may be -------------------------------------------------------------------------


def test_a_misspelt_field_or_value_or_parameter_is_none_of_googles() -> None:
    path = f"projects/p/regions/{REGION}/instanceGroupManagers/g"
    resize = discovery.find("compute", "POST", f"{path}/resize")
    assert resize is not None
    assert resize.wrong({"size": ["1"]}, None) == []
    assert resize.wrong({}, None) == ["query size: missing"]
    assert resize.wrong({"size": ["many"]}, None) == ["query size: 'many' is no integer"]
    assert resize.wrong({"size": ["1"], "count": ["1"]}, None) == ["query count: unknown"]
    ends = discovery.find("compute", "POST", f"{path}/deleteInstances")
    assert ends is not None
    assert ends.wrong({}, {"instances": ["a"]}) == []
    assert ends.wrong({}, {"machines": ["a"]}) == ["body.machines: unknown field"]
    assert ends.wrong({}, {"instances": "a"}) == ["body.instances: no array"]
    assert discovery.find("compute", "POST", f"{path}/shrink") is None


# -- groups ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("knob", "kind", "said"),
    [
        ("stock_out", "stock-out", STOCK_OUT),
        ("quota", "quota", QUOTA),
        ("denied", "denied", DENIED),
    ],
)
def test_what_keeps_machines_from_coming_is_told_in_googles_words(
    fake: FakeGoogle, made: Made, cloud: Cloud, knob: str, kind: str, said: tuple[str, str]
) -> None:
    setattr(fake, knob, True)
    cloud.groups.want(made.gpu, 1)
    fake.advance()
    (event,) = cloud.groups.events(made.gpu, NOON - 1)
    assert event.kind == kind
    assert event.message == ": ".join(said)
    assert cloud.groups.members(made.gpu) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ZONE_RESOURCE_POOL_EXHAUSTED: The zone 'z' does not have enough resources", "stock-out"),
        ("QUOTA_EXCEEDED: Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally.", "quota"),
        ("IP_SPACE_EXHAUSTED: IP space of 'subnetworks/x' is exhausted.", "quota"),
        ("INVALID_USAGE: The machine type is not there", "failed"),
        ("CONDITION_NOT_MET: Constraint constraints/compute.vmExternalIpAccess violated", "failed"),
    ],
)
def test_words_of_google_are_told_apart(text: str, kind: str) -> None:
    assert reason(text) == kind


def test_what_a_group_waits_for_in_vain_is_taken_back_and_no_machine_ends(
    fake: FakeGoogle, made: Made, cloud: Cloud
) -> None:
    cloud.groups.want(made.gpu, 2)
    fake.advance()
    fake.stock_out = True
    cloud.groups.want(made.gpu, 4)
    fake.advance()
    there = cloud.groups.members(made.gpu)
    cloud.groups.want(made.gpu, 2)
    fake.advance()
    assert [m.machine for m in cloud.groups.members(made.gpu)] == [m.machine for m in there]
    assert cloud.groups.size(made.gpu).wanted == 2
    with pytest.raises(ValueError, match="would end some"):
        cloud.groups.want(made.gpu, 1)


def test_of_more_than_a_group_may_have_what_has_not_come_is_taken_back(
    fake: FakeGoogle, made: Made, cloud: Cloud
) -> None:
    """Google takes any size from whoever may resize; we never ask for more, and undo what waits."""
    somebody = open_cloud("gcp", REGION, most={made.gpu: 9}).groups
    somebody.want(made.gpu, 6)
    fake.advance()
    fake.advance()
    here = len(cloud.groups.members(made.gpu))
    assert here == 6
    fake.stock_out = True
    somebody.want(made.gpu, 9)
    fake.advance()
    with pytest.raises(CloudError, match="may have 4"):
        cloud.groups.want(made.gpu, 10)
    cloud.groups.want(made.gpu, here)
    assert cloud.groups.size(made.gpu) == Size(here, 4)


def test_a_group_whose_size_nobody_told_gets_no_machine(fake: FakeGoogle, made: Made) -> None:
    assert fake.groups[made.gpu].target == 0
    with pytest.raises(CloudError, match="may have 0"):
        open_cloud("gcp", REGION).groups.want(made.gpu, 1)


def test_a_machine_that_was_taken_back_comes_again_under_its_name_and_another_number(
    fake: FakeGoogle, made: Made, cloud: Cloud, clock: Clock
) -> None:
    cloud.groups.want(made.gpu, 1)
    fake.advance()
    (first,) = cloud.groups.members(made.gpu)
    (name,) = [one.name for one in fake.alive(made.gpu)]
    clock.now += 60
    fake.preempt(first.machine)
    assert cloud.groups.members(made.gpu) == []
    clock.now += 60
    fake.advance()
    (second,) = cloud.groups.members(made.gpu)
    assert [one.name for one in fake.alive(made.gpu)] == [name]
    assert second.machine != first.machine
    told = [(e.kind, e.machine) for e in cloud.groups.events(made.gpu, NOON - 1)]
    assert told == [
        ("launched", first.machine),
        ("preempted", first.machine),
        ("launched", second.machine),
    ]


def test_operations_that_failed_or_go_on_or_are_of_other_things_are_no_events() -> None:
    plain: dict[str, Any] = {"operationType": "insert", "status": "DONE", "targetId": "1"}
    at = {"insertTime": "2026-11-21T07:00:00.000-08:00", "endTime": "2026-11-21T07:00:09.000-08:00"}
    (event,) = of_operations([{**plain, **at}])
    assert (event.kind, event.machine, event.at) == ("launched", "1", 1795273209.0)
    assert of_operations([{**plain, **at, "status": "RUNNING"}]) == []
    assert of_operations([{**plain, **at, "error": {"errors": []}}]) == []
    assert of_operations([{**plain, **at, "operationType": "setLabels"}]) == []


def test_machines_of_a_pool_whose_name_begins_alike_are_anothers(
    fake: FakeGoogle, made: Made, cloud: Cloud
) -> None:
    other = fake.deploy(f"{made.name}-gpu")
    open_cloud("gcp", REGION, most={other.head: 1}).groups.want(other.head, 1)
    fake.advance()
    assert cloud.groups.members(made.gpu) == []
    assert cloud.groups.events(made.gpu, NOON - 1) == []
    assert len(cloud.groups.members(other.head)) == 1


def test_an_n1_is_known_by_what_is_attached_to_it(
    fake: FakeGoogle, made: Made, cloud: Cloud
) -> None:
    cloud.groups.want(made.t4, 1)
    fake.advance()
    (member,) = cloud.groups.members(made.t4)
    assert member.type == "n1-standard-4+t4"
    assert [price.spot for price in cloud.market.prices([member.type], REGION)] == [True, False]


def test_an_armed_group_ends_by_googles_own_job_and_is_armed_no_more(
    fake: FakeGoogle, made: Made, cloud: Cloud, clock: Clock
) -> None:
    cloud.groups.arm(made.gpu, NOON + 3600.5)
    cloud.groups.want(made.gpu, 3)
    fake.advance()
    at = cloud.groups.armed(made.gpu)
    assert at is not None
    assert NOON + 3540 < at <= NOON + 3600.5
    clock.now = at - 1
    fake.advance()
    assert cloud.groups.size(made.gpu).wanted == 3
    clock.now = at
    fake.advance()
    fake.advance()
    assert cloud.groups.size(made.gpu).wanted == 0
    assert fake.alive(made.gpu) == []
    # A schedule has no year: the job waits for the next.
    assert cloud.groups.armed(made.gpu) is None


def test_a_deadline_that_google_does_not_keep_is_an_error(
    fake: FakeGoogle, made: Made, cloud: Cloud
) -> None:
    for verb in ("resume", "patch"):
        fake.refused = {f"cloudscheduler.projects.locations.jobs.{verb}"}
        with pytest.raises(PermissionsError, match="arming the deadline"):
            cloud.groups.arm(made.gpu, NOON + 3600)
    fake.jobs.clear()
    with pytest.raises(DeploymentError, match=f"{made.gpu}-deadline"):
        cloud.groups.arm(made.gpu, NOON + 3600)


def test_what_google_refuses_says_what_to_do(fake: FakeGoogle, made: Made, cloud: Cloud) -> None:
    fake.refused = {"compute.regionInstanceGroupManagers.resize"}
    with pytest.raises(PermissionsError, match="Required permission"):
        cloud.groups.want(made.gpu, 1)
    fake.off = {"cloudscheduler"}
    with pytest.raises(CloudError, match="disabled") as failed:
        cloud.groups.armed(made.gpu)
    assert "gcloud services enable cloudscheduler.googleapis.com" in failed.value.remedy


def test_a_run_comes_and_goes_as_it_does_elsewhere(
    fake: FakeGoogle, made: Made, cloud: Cloud, clock: Clock
) -> None:
    """A Scaler's hour: a stock-out, machines, one taken back, the last of them by its name."""
    order = Order(
        run="20270115T080000Z-abc123",
        input="gs://pictures",
        dataset="gs://data",
        recipe="",
        pool="gpu",
        most=3,
        budget=20.0,
        deadline=NOON + 7200,
    )
    cloud.groups.want(made.head, 1)
    for group in (made.head, made.gpu):
        cloud.groups.arm(group, order.deadline)
    scaler = Scaler(order, deployment(made), cloud, now=NOON)
    done, state, taken = 0.0, None, False
    fake.stock_out = True
    for tick in range(120):
        fake.stock_out = tick < 5
        fake.advance()
        joined = frozenset(
            m.machine
            for m in cloud.groups.members(made.gpu)
            if m.state == "running" and clock.now - m.since >= 90
        )
        done = min(20.0, done + 0.2 * len(joined))
        if done >= 8 and not taken:
            taken = True
            fake.preempt(min(joined))
        ended = 0 if done >= 20 else None
        busy = joined if ended is None else frozenset()
        work = Work(shards=20, shards_done=int(done), joined=joined, busy=busy, ended=ended)
        state = scaler.step(clock.now, work)
        if tick == 4:
            assert "no such machine to spare" in state.reason
        if state.over:
            break
        clock.now += 30
    assert state is not None
    assert (state.phase, state.code, state.preemptions) == ("done", 0, 1)
    assert fake.alive(made.gpu) == []
    lines = [line for line in scaler.ledger if line.role == "worker"]
    assert len({line.machine for line in lines}) == 4  # three, and one in the place of another
    assert all(line.end is not None and line.priced in ("live", "cache") for line in lines)
    assert 0 < spent(scaler.ledger, clock.now) < 5


# -- secrets ---------------------------------------------------------------------------------------


def test_a_secret_keeps_one_version_that_costs(fake: FakeGoogle, made: Made, cloud: Cloud) -> None:
    with pytest.raises(DeploymentError):
        cloud.secrets.get(made.token)
    for value in ("first-secret-value", "second-secret-value", "third-secret-value"):
        cloud.secrets.put(made.token, value)
    assert cloud.secrets.get(made.token) == "third-secret-value"
    states = [version["state"] for version in fake.secrets[made.token]]
    assert states == ["DESTROYED", "DESTROYED", "ENABLED"]


# -- prices and quotas -----------------------------------------------------------------------------


def test_prices_are_added_up_from_googles_list_and_kept_for_a_day(
    fake: FakeGoogle, cloud: Cloud, tmp_path: Path
) -> None:
    spot, plain = cloud.market.prices(["g2-standard-4"], REGION)
    assert (spot.source, spot.zone, spot.spot) == ("live", "", True)
    assert plain.dollars == pytest.approx(4 * 0.025 + 16 * 0.025 * 0.12 + 0.56, abs=1e-4)
    assert spot.dollars == pytest.approx(4 * 0.01 + 16 * 0.0012 + 0.28, abs=1e-4)
    asked = len(fake.asked)
    again = cloud.market.prices(["g2-standard-4"], "us-east1")
    assert {price.source for price in again} == {"cache"}
    assert len(fake.asked) == asked
    assert (tmp_path / "prices" / "gcp.json").exists()


def test_what_the_list_lacks_and_silence_are_of_the_table_which_says_so(
    fake: FakeGoogle, cloud: Cloud
) -> None:
    (spot, _plain) = cloud.market.prices(["c3-standard-4"], REGION)
    assert (spot.source, spot.day) == ("table", table.table().days.spot)
    fake.refused = {"cloudbilling.services.skus.list"}
    market = open_cloud("gcp", REGION).market
    market._clock = lambda: 4e9  # what was kept is old by then
    assert {price.source for price in market.prices(["g2-standard-4"], REGION)} == {"table"}
    asked = len(fake.asked)
    market.prices(["g2-standard-4"], REGION)
    assert len(fake.asked) == asked  # nobody asks a silent list again at once


def test_where_the_table_has_no_price_a_silent_list_is_asked_again_after_a_minute(
    fake: FakeGoogle, cloud: Cloud
) -> None:
    fake.refused = {"cloudbilling.services.skus.list"}
    now, market = [1e9], cloud.market
    market._clock = lambda: now[0]  # type: ignore[attr-defined] # of GcpMarket
    assert market.prices(["g2-standard-4"], "southamerica-east1") == []
    fake.refused = set()
    now[0] += 59
    assert market.prices(["g2-standard-4"], "southamerica-east1") == []
    asked = len(fake.asked)
    now[0] += 1
    assert {price.source for price in market.prices(["g2-standard-4"], REGION)} == {"table"}
    assert len(fake.asked) == asked
    market.prices(["g2-standard-4"], "southamerica-east1")
    assert len(fake.asked) > asked


def test_the_price_and_the_quota_of_an_a100_are_told(fake: FakeGoogle, cloud: Cloud) -> None:
    """The list here has no line of it: the table counts. A quota of 0 is told as one."""
    spot, plain = cloud.market.prices(["a2-highgpu-2g"], REGION)
    assert (spot.source, round(spot.dollars, 2)) == ("table", 3.86)
    assert (plain.source, plain.dollars) == ("table", 7.34726)
    (machine,) = [m for m in cloud.market.machines(["a100"]) if m.type == "a2-highgpu-2g"]
    assert (machine.gpus, machine.gpu_memory_gib) == (2, 80)
    fake.quotas |= {"NVIDIA_A100_GPUS": 0.0, "PREEMPTIBLE_NVIDIA_A100_GPUS": 3.0}
    quotas = cloud.market.quotas(REGION)
    told = {spot: verdict(machine, quotas, spot=spot, most=2) for spot in (True, False)}
    assert (told[True].state, told[True].allowed) == ("less", 1)
    assert told[False].state == "none"
    assert "NVIDIA_A100_GPUS" in told[False].said


def test_the_list_has_the_parts_of_an_a2(fake: FakeGoogle, cloud: Cloud) -> None:
    for said, dollars in (
        ("A2 Instance Core running in Americas", 0.03),
        ("A2 Instance Ram running in Americas", 0.004),
        ("Nvidia Tesla A100 GPU running in Americas", 3.0),
    ):
        fake.skus.append(_sku(said, "OnDemand", dollars))
    (plain,) = [p for p in cloud.market.prices(["a2-highgpu-2g"], REGION) if not p.spot]
    assert plain.source == "live"
    assert plain.dollars == pytest.approx(24 * 0.03 + 170 * 0.004 + 2 * 3.0)


def test_the_table_has_a_price_of_each_machine_in_each_of_its_regions() -> None:
    shipped = Shipped()
    for machine in shipped.machines():
        spot, plain = shipped.prices([machine.type], "us-central1")
        assert 0 < spot.dollars < plain.dollars < 30
    assert shipped.prices(["g2-standard-4"], "mars-north1") == []
    assert {m.type for m in shipped.machines(["t4"])} >= {"n1-standard-4+t4"}
    with pytest.raises(CredentialsError):
        shipped.quotas(REGION)


def test_a_machine_costs_its_disk_and_its_address_besides(cloud: Cloud) -> None:
    assert cloud.market.besides(100, "us-central1") == pytest.approx(10 / 730 + 0.005)
    assert cloud.market.besides(100, "mars-north1") == pytest.approx(12 / 730 + 0.005)
    assert Shipped().besides(0, "us-central1") == 0.005


def test_of_several_quotas_the_tightest_is_told(fake: FakeGoogle, cloud: Cloud) -> None:
    def told() -> dict[tuple[str, bool], tuple[str, float]]:
        found = cloud.market.quotas(REGION)
        return {(quota.gpu, quota.spot): (quota.name, quota.limit) for quota in found}

    assert told()["l4", True] == ("PREEMPTIBLE_NVIDIA_L4_GPUS", 8.0)
    assert told()["l4", False] == ("NVIDIA_L4_GPUS", 1.0)
    # Spot cores count with all others unless the project was given some of their own.
    assert told()["", True] == ("CPUS", 72.0)
    # And so do spot GPUs.
    fake.quotas["PREEMPTIBLE_NVIDIA_L4_GPUS"] = 0.0
    assert told()["l4", True] == ("NVIDIA_L4_GPUS", 1.0)
    fake.quotas["PREEMPTIBLE_NVIDIA_L4_GPUS"] = 8.0
    fake.everywhere["GPUS_ALL_REGIONS"] = 0.0
    assert told()["l4", True] == ("GPUS_ALL_REGIONS", 0.0)
    fake.refused = {"compute.projects.get"}
    assert told()["l4", True] == ("PREEMPTIBLE_NVIDIA_L4_GPUS", 8.0)


# -- a project -------------------------------------------------------------------------------------


def checks(cloud: Cloud, region: str = REGION) -> dict[str, Check]:
    return {check.name: check for check in cloud.account.checks(region)}


def test_a_project_in_which_all_is_well(fake: FakeGoogle, cloud: Cloud) -> None:
    told = checks(cloud)
    assert told["credentials"].said == f"project {PROJECT} (Lab)"
    ours = [check for name, check in told.items() if name not in ("gcloud", "docker")]
    assert [check for check in ours if check.state != "ok"] == []
    assert not fake.refused


def test_each_thing_that_is_wrong_says_what_to_do(fake: FakeGoogle, cloud: Cloud) -> None:
    fake.billing = False
    fake.refused = {"compute.instanceGroupManagers.update"}
    fake.quotas["CPUS"] = 0.0
    told = checks(cloud)
    assert told["billing"].state == "failed"
    assert "gcloud billing projects link" in told["billing"].fix
    assert told["may, to run: compute"].said == "not granted: compute.instanceGroupManagers.update"
    assert told["quota on-demand CPU"].state == "failed"
    assert checks(cloud, "mars-north1")["region"].state == "failed"
    # Without it there is no deadline.
    assert checks(cloud, "mars-north1")["Cloud Scheduler"].state == "failed"
    fake.off = {"secretmanager"}
    told = checks(cloud)
    assert told["APIs"].fix == (
        f"gcloud services enable secretmanager.googleapis.com --project {PROJECT}"
    )


def test_disks_and_addresses_that_a_new_project_may_not_have_are_told_before_a_run(
    fake: FakeGoogle, cloud: Cloud
) -> None:
    fake.quotas |= {"SSD_TOTAL_GB": 500.0, "IN_USE_ADDRESSES": 4.0}
    told = checks(cloud)
    assert told["quota SSD_TOTAL_GB"].said == (
        f"500 GB of balanced disks, 500 free in {REGION}: a head and 4 workers"
    )
    assert told["quota IN_USE_ADDRESSES"].said.endswith("a head and 3 workers")
    fake.quotas["SSD_TOTAL_GB"] = 100.0
    short = checks(cloud)["quota SSD_TOTAL_GB"]
    assert (short.state, "SSD_TOTAL_GB" in short.fix) == ("failed", True)


def test_what_is_left_is_told_of_all_services_and_of_one_deployment_alone(
    fake: FakeGoogle, made: Made, cloud: Cloud
) -> None:
    fake.deploy(f"{made.name}-2")
    cloud.groups.want(made.gpu, 1)
    fake.advance()
    label = {"labels": {LABEL: made.name}}
    words = {"description": f"For heads, {LABEL}={made.name}"}
    person = f"ib-{made.name}-head@{PROJECT}.iam.gserviceaccount.com"
    fake.listed |= {
        "disks": [{"name": "disk-1", "zone": f"zones/{REGION}-a", **label}, {"name": "theirs"}],
        "networks": [{"name": f"imgbatch-{made.name}", **words}],
        "accounts": [{"email": person, **words}],
        "buckets": [{"name": f"imgbatch-{made.name}", "location": "US-CENTRAL1", **label}],
        "repositories": [{"name": "projects/p/locations/l/repositories/imgbatch-x", **label}],
    }
    found_left = list(cloud.account.left(made.name))
    assert {one.deployment for one in found_left} == {made.name}
    kinds = sorted(one.kind for one in found_left)
    assert kinds == sorted(
        ["machine", "disk", "network", "service account", "bucket", "image", "secret"]
        + 3 * ["group", "job", "template"]
    )
    costs = {one.name: one.costs for one in found_left if one.kind == "group"}
    assert costs == {made.head: False, made.gpu: True, made.t4: False}
    assert all(one.remove.startswith("gcloud ") for one in found_left)
    assert {one.deployment for one in cloud.account.left()} == {made.name, f"{made.name}-2"}


def test_a_service_that_cannot_be_asked_is_no_proof_of_nothing(
    fake: FakeGoogle, made: Made, cloud: Cloud
) -> None:
    fake.refused = {"compute.disks.aggregatedList"}
    told = cloud.account.left(made.name)
    assert next(told).kind == "template"
    with pytest.raises(PermissionsError, match="disks"):
        list(told)


def test_what_is_there_already_is_found_by_its_name(fake: FakeGoogle, made: Made) -> None:
    group = "google_compute_region_instance_group_manager"
    wanted = {
        "module.head.x.head": (group, {"name": made.head}),
        "module.pool.x.new": (group, {"name": "imgbatch-nobody-gpu"}),
        "module.storage.token": ("google_secret_manager_secret", {"name": None}),
        "module.other": ("google_unheard_of", {}),
    }
    place = f"projects/{PROJECT}/regions/{REGION}"
    assert found.ids(REGION, made.name, wanted) == {
        "module.head.x.head": f"{place}/instanceGroupManagers/{made.head}"
    }
    assert fake.asked.count("compute.regionInstanceGroupManagers.get") == 2


def test_an_image_that_was_not_pushed_says_how(fake: FakeGoogle) -> None:
    image = f"{REGION}-docker.pkg.dev/{PROJECT}/imgbatch-lab/imgbatch:1"
    check = images.pushed(image, REGION, deployment="lab")
    assert (check.state, check.fix[:19]) == ("failed", "`scripts/image lab`")
    fake.listed["tags"] = [(PROJECT, REGION, "imgbatch-lab", "imgbatch", "1")]
    assert images.pushed(image, REGION, deployment="lab").state == "ok"


# -- who asks --------------------------------------------------------------------------------------


def test_who_we_are_is_a_project(fake: FakeGoogle) -> None:
    assert who(REGION) == (PROJECT, REGION)
    assert "cloudresourcemanager.projects.get" in fake.asked


def test_a_deployment_of_another_project_is_asked_for_there(fake: FakeGoogle, made: Made) -> None:
    other = open_cloud("gcp", REGION, "somebody-else")
    with pytest.raises(DeploymentError, match="somebody-else"):
        other.groups.members(made.gpu)
    assert fake.asked


def test_without_credentials_or_a_region_nothing_is_opened(
    tmp_path: Path, fake: FakeGoogle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLOUDSDK_COMPUTE_REGION", raising=False)
    monkeypatch.delenv("GOOGLE_CLOUD_REGION", raising=False)
    with pytest.raises(SettingsError, match="no region"):
        open_cloud("gcp", "")
    monkeypatch.setenv("CLOUDSDK_COMPUTE_REGION", "europe-west4")
    assert who("")[1] == "europe-west4"
    (tmp_path / "key.json").write_text("{}")
    with pytest.raises(CredentialsError) as failed:
        open_cloud("gcp", REGION)
    assert "gcloud auth application-default login" in failed.value.remedy
    assert fake.tokens


def test_a_state_lies_in_a_bucket_of_its_cloud_whose_name_fits() -> None:
    place = Backend("gcp", "lab-project-1", "us-central1", "lab")
    assert place.folder == "gs://imgbatch-state-lab-project-1-us-central1/lab"
    assert place.told == {"bucket": place.bucket, "prefix": "lab"}
    assert place.variables["project"] == "lab-project-1"
    long = [
        Backend("gcp", f"a-project-of-thirty-letters-{n:02}", "northamerica-northeast1", "x").bucket
        for n in range(2)
    ]
    assert [len(name) for name in long] == [63, 63]
    assert long[0] != long[1]


# -- machines --------------------------------------------------------------------------------------


def test_the_way_in_is_gclouds_by_name_and_zone(fake: FakeGoogle, made: Made, cloud: Cloud) -> None:
    cloud.groups.want(made.head, 1)
    fake.advance()
    (head,) = cloud.groups.members(made.head)
    (one,) = fake.alive(made.head)
    lab = deployment(made)
    ssh = ["gcloud", "compute", "ssh", one.name, "--zone", one.zone, "--project", PROJECT]
    assert doors.shell(lab, head.machine) == [*ssh, "--tunnel-through-iap"]
    assert doors.shell(lab, one.name) == doors.shell(lab, head.machine)
    forward = doors.forward(lab, head.machine, remote=8265, local=8000)
    assert forward[-1] == "127.0.0.1:8000:127.0.0.1:8265"
    assert doors.send(lab, head.machine, "true")[-2:] == ["--command", "true"]
    with pytest.raises(DeploymentError, match="no machine 1 in"):
        doors.shell(lab, "1")


class Metadata(BaseHTTPRequestHandler):
    """The metadata service of a machine, as far as a notice goes."""

    said = "FALSE"

    def do_GET(self) -> None:
        right = self.headers.get("Metadata-Flavor") == "Google"
        known = self.path == "/computeMetadata/v1/instance/preempted"
        self.send_response(200 if right and known else 403 if known else 404)
        self.end_headers()
        self.wfile.write(self.said.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_machine_hears_that_it_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    server = HTTPServer(("127.0.0.1", 0), Metadata)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.server_port}")
        assert taken_in("gcp") is None
        monkeypatch.setattr(Metadata, "said", "TRUE")
        assert taken_in("gcp") == 30
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    with pytest.raises(CloudError, match="metadata service"):
        taken_in("gcp")


# -- buckets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "options", "state"),
    [
        ("US-CENTRAL1", "", "ok"),
        ("US", "", "unknown"),
        ("NAM4", "", "unknown"),
        ("EUROPE-WEST4", "", "failed"),
        ("EUROPE-WEST4", "?region=europe-west4", "unknown"),
        ("EU", "", "failed"),
    ],
)
def test_a_bucket_elsewhere_is_said_before_a_run(
    gs_server: str,
    monkeypatch: pytest.MonkeyPatch,
    location: str,
    options: str,
    state: str,
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gs_server)
    bucket = f"there-{uuid.uuid4().hex[:8]}"
    ask(f"{gs_server}/storage/v1/b", {"name": bucket, "location": location})
    check = _near("INPUT", f"gs://{bucket}{options}", deployment(Made("lab")))
    assert check.state == state, check.said
    assert check.fix == (
        f"Give `gs://{bucket}?region={location.lower()}` if you mean it."
        if state == "failed"
        else ""
    )
