"""What an order is made of, and what is refused by its words alone."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest

from imgbatch.cloud.control import Order
from imgbatch.cloud.deployment import Deployment, Schedule
from imgbatch.cloud.ordering import Wish, order_of
from imgbatch.cloud.reach import _killed, _outlived, _permitted, _quota, refusal
from imgbatch.cloud.spans import seconds_of
from imgbatch.cloud.versions import encoded
from imgbatch.errors import DeploymentError, ImgbatchError, QuotaError, SettingsError
from imgbatch.settings import check
from tests.cloud.fake import NOON, deployment
from tests.cloud.watched import HOUR, Scene

if TYPE_CHECKING:
    from pathlib import Path

HERE = "s3://imgbatch-lab"


def wish(**more: object) -> Wish:
    words: dict[str, object] = {"input": f"{HERE}/p", "dataset": f"{HERE}/d", "recipe": "quick"}
    return Wish(**(words | {"budget": 5.0} | more))  # type: ignore[arg-type]


def ordered(made: Deployment | None = None, **more: object) -> Order:
    environment = more.pop("environment", {})
    return order_of(
        wish(**more),
        made or deployment(),
        environment=environment,  # type: ignore[arg-type]
        deadline=NOON + HOUR,
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6h", 21600),
        ("90m", 5400),
        ("1h30m", 5400),
        ("2d", 172800),
        ("1.5H", 5400),
        ("45s", 45),
        ("366d", 366 * 86400),
    ],
)
def test_a_span_is_numbers_with_units(text: str, seconds: float) -> None:
    assert seconds_of(text, "--deadline") == seconds


@pytest.mark.parametrize("text", ["6", "h", "", "6 hours", "-2h", "30m1h", "5m5m", "0h", "6h!"])
def test_what_is_no_span_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingsError, match=r"--deadline .* is no span of time") as caught:
        seconds_of(text, "--deadline")
    assert "1h30m" in caught.value.remedy


@pytest.mark.parametrize("text", ["367d", "99999999d", f"{'9' * 400}h"])
def test_a_span_that_no_clock_knows_the_end_of_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is more than a year") as caught:
        seconds_of(text, "--deadline")
    assert "366d" in caught.value.remedy


def test_an_order_says_who_ordered_it_and_holds_the_recipe_itself() -> None:
    order = ordered(words=("--limit", "5"))
    assert "@" in order.by
    assert "[analyzers." in order.recipe
    assert (order.words, order.budget, order.deadline) == (["--limit", "5"], 5.0, NOON + HOUR)


def test_a_recipe_without_networks_takes_the_pool_without_gpus_and_others_the_one_with() -> None:
    assert ordered().pool == "cpu"
    order = ordered(recipe="standard")
    assert order.pool == "gpu"
    # Before a machine with a GPU is there, nothing else tells the run that it may count on one.
    assert order.environment["IMGBATCH_DEVICE"] == "cuda"
    assert "IMGBATCH_DEVICE" not in ordered().environment
    assert ordered(recipe="standard", gpus=("a10g", "l4")).pool == "gpu"
    assert ordered(gpus=("gpu",)).pool == "gpu"


def test_variables_of_imgbatch_go_along_and_those_of_the_laptop_stay() -> None:
    told = {
        "IMGBATCH_MODEL_CACHE": "cache",
        "IMGBATCH_SHARD_SOURCES": "500",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "HOME": "me",
    }
    order = ordered(environment=told)
    assert order.environment == {
        "IMGBATCH_SHARD_SOURCES": "500",
        "IMGBATCH_MODEL_MIRROR": f"{HERE}/models",
    }


def test_options_that_mean_something_on_this_laptop_alone_do_not_go_along() -> None:
    order = ordered(input=f"{HERE}/p/?profile=lab&region=eu-west-1")
    assert order.input == f"{HERE}/p?region=eu-west-1"
    order = ordered(input="gs://public/p?anonymous=true")
    assert order.input == "gs://public/p?anonymous=true"


@pytest.mark.parametrize(
    ("more", "kind", "said"),
    [
        ({"budget": 0.0}, SettingsError, "buys nothing"),
        ({"budget": float("nan")}, SettingsError, "buys nothing"),
        ({"budget": float("inf")}, SettingsError, "bounds nothing"),
        ({"input": "photos"}, SettingsError, "INPUT photos is on this laptop"),
        ({"input": "file:///photos"}, SettingsError, "is on this laptop"),
        ({"dataset": "/data/d"}, SettingsError, "DATASET /data/d is on this laptop"),
        ({"input": "gs://photos/p"}, SettingsError, "no credentials for gs://"),
        ({"input": "s3://b/p?endpoint=https://lab.example"}, SettingsError, "have no keys for"),
        ({"dataset": f"{HERE}/p/d"}, SettingsError, "lies inside INPUT"),
        ({"recipe": "quik"}, SettingsError, "did you mean 'quick'"),
        ({"gpus": ("l44",)}, DeploymentError, "exactly l44; did you mean 'l4'"),
        ({"gpus": ("l4",)}, DeploymentError, "no pool of lab has exactly l4"),
        ({"most": 21}, SettingsError, "pool cpu can have 20"),
        ({"environment": {"IMGBATCH_MODEL_MIRROR": "/m"}}, SettingsError, "is on this laptop"),
        ({"environment": {"IMGBATCH_DEVICE": "cuda"}}, SettingsError, "pool cpu have no GPU"),
        ({"environment": {"IMGBATCH_THREDS": "4"}}, SettingsError, "IMGBATCH_THREADS"),
    ],
)
def test_what_machines_cannot_use_is_refused(
    more: dict[str, object], kind: type[ImgbatchError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        ordered(**more)


@pytest.mark.parametrize("field", ["budget", "deadline", "hours"])
@pytest.mark.parametrize("number", [math.inf, math.nan])
def test_no_order_in_a_queue_is_without_bounds(field: str, number: float) -> None:
    raw = json.loads(encoded(ordered())) | {field: number}
    with pytest.raises(SettingsError, match=field):
        check(Order, json.loads(json.dumps(raw)), where="order")


def test_an_unknown_gpu_is_told_with_the_lines_that_add_a_pool() -> None:
    with pytest.raises(DeploymentError) as caught:
        ordered(gpus=("t4",))
    assert "lab.tfvars.json" in caught.value.remedy
    assert '"t4": {"gpus": ["t4"]' in caught.value.remedy


def test_machines_get_into_the_buckets_that_their_role_names() -> None:
    made = deployment().model_copy(
        update={"readable": ["s3://photos/2026"], "writable": ["s3://results"]}
    )
    own = [made.bucket, *made.writable]
    for url, places, state in [
        (f"{HERE}/p", own, "ok"),
        ("s3://results/d", own, "ok"),
        ("s3://results-2/d", own, "failed"),
        ("s3://photos/2026/may", [*own, *made.readable], "ok"),
        ("s3://photos/2027", [*own, *made.readable], "failed"),
        ("s3://public/p?anonymous=true", own, "ok"),
    ]:
        assert _permitted("INPUT", url, places, made).state == state, url


def test_a_quota_of_less_than_one_machine_refuses_and_one_of_fewer_is_told(
    tmp_path: Path,
) -> None:
    # Of cores; the smaller of the pool's types has four.
    for cores, state in ((0, "failed"), (3, "failed"), (4, "unknown"), (80, "ok")):
        scene = Scene(tmp_path, quota=cores)
        found = _quota(scene.order(most=4), scene.cloud.deployment, scene.cloud)
        assert found.state == state, cores
        if state == "failed":
            refused = refusal([found])
            assert isinstance(refused, QuotaError)
            assert "service-quotas" in f"{refused} {refused.remedy}"


def test_a_schedule_that_would_end_the_run_is_told(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    # NOON is 2027-01-15 08:00 UTC, a Friday.
    nightly = Schedule(cron="0 3 * * *", kill="0 9 * * *", timezone="UTC", hours=6)
    made = scene.cloud.deployment.model_copy(update={"schedules": {"nightly": nightly}})
    (found,) = _killed(scene.order(hours=6), made, NOON)
    assert (found.name, found.state) == ("schedule nightly", "unknown")
    assert "2027-01-15 09:00 UTC" in found.said
    assert list(_killed(scene.order(hours=0.9), made, NOON)) == []
    ticking = scene.order(hours=6).model_copy(update={"hours": 6.0})
    assert list(_killed(ticking, made, NOON)) == [], "of a schedule, all ticks are looked at"


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_a_deadline_beyond_what_machines_may_live_is_refused(tmp_path: Path, cloud: str) -> None:
    made = deployment().model_copy(update={"max_hours": 24, "cloud": cloud})
    scene = Scene(tmp_path)
    (found,) = _outlived(scene.order(hours=25), made, NOON)
    assert isinstance(refusal([found]), DeploymentError)
    assert "no machine of" in found.said
    assert "max_hours" in found.fix
    assert "--deadline" in found.fix
    (found,) = _outlived(scene.order(hours=25).model_copy(update={"hours": 25.0}), made, NOON)
    assert "--hours" in found.fix
    assert list(_outlived(scene.order(hours=24), made, NOON)) == []
    assert list(_outlived(scene.order(hours=200), deployment(), NOON)) == []
