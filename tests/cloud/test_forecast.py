"""What a run on rented machines would cost, from real pictures and what was measured of them."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from imgbatch import crew
from imgbatch.analyzers import settings_of
from imgbatch.calibration import ERROR, priors
from imgbatch.cli.cloud.plan_lines import lines, span
from imgbatch.cloud import Quota
from imgbatch.cloud.bids import Job, best, bids, shelves
from imgbatch.cloud.control import Control
from imgbatch.cloud.estimate import Quantiles
from imgbatch.cloud.former import measured, runs
from imgbatch.cloud.ledger import write
from imgbatch.cloud.offers import verdict
from imgbatch.cloud.speeds import Sample, slots, speed
from imgbatch.cloud.transfer import transfer, writing
from imgbatch.errors import CloudError, SettingsError
from imgbatch.forecast import Forecast, Place, Wanted, expected, forecast, round_up
from imgbatch.run import run
from imgbatch.settings import Limits, read_recipe
from imgbatch.summary import Request
from tests.cloud.fake import MACHINES, REGION, FakeCloud, FakeMarket, deployment
from tests.cloud.hidden import Corpus, Night, calm
from tests.corpus import PHOTOS, Silent, many

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = "[analyzers.image]\n[analyzers.quality]\n"
NETWORK = "[analyzers.image]\n[analyzers.classify]\n"
BELIEVED = Wanted(measure=False)
LIMITS = Limits(shard_sources=10, commit_seconds=0.001)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return many(tmp_path / "in", 40)


def request(pictures: Path, recipe: str = RECIPE) -> Request:
    return Request(str(pictures), str(pictures.parent / "own"), recipe, "ray")


def more(pictures: Path, count: int) -> None:
    """Add pictures; those that are there stay as they are."""
    for file in many(pictures.parent / "more", count).iterdir():
        file.rename(pictures / f"more-{file.name}")


def compute(asked: Request) -> None:
    run(asked, LIMITS, crew.inline, Silent())


def at_home(cloud: FakeCloud, control: Control | None = None, pool: str = "cpu") -> Place:
    here = cloud.deployment
    return Place(here.cloud, (here.region,), cloud.market, here, control, (pool,))


def nowhere(cloud: FakeCloud) -> Place:
    return Place("aws", (REGION,), cloud.market)


def told(asked: Request, place: Place, wanted: Wanted | None = None) -> Forecast:
    return forecast(asked, LIMITS, Silent(), place, wanted or Wanted(trial=24))


# -- where the speed is from -----------------------------------------------------------------------


def test_without_any_run_a_few_sources_are_tried_here_and_the_dataset_is_not_touched(
    pictures: Path,
) -> None:
    asked = request(pictures)
    found = told(asked, nowhere(FakeCloud(deployment())))
    assert found.sample.how == "sample"
    assert 0 < found.sample.cpu < 5
    assert found.sample.model == 0
    assert 0 < found.sample.error < 1
    assert not (pictures.parent / "own").exists()
    assert found.plan.sources == 40
    assert found.best is not None
    assert found.best.offers[0].machine.gpu == ""
    believed = told(asked, nowhere(FakeCloud(deployment())), BELIEVED)
    assert believed.sample.how == "priors"
    assert believed.sample.error == ERROR
    sure, unsure = (speed(MACHINES["c.small"], f.sample).seconds.sigma for f in (found, believed))
    assert unsure > 1.5 * sure


def test_a_trial_takes_about_as_many_sources_as_it_is_told_drawn_by_their_ids(
    pictures: Path,
) -> None:
    seen: list[int] = []

    class Counting(Silent):
        def planned(self, *, shards: int, sources: int, note: str) -> None:  # noqa: ARG002 - the protocol's
            seen.append(sources)

    place = nowhere(FakeCloud(deployment()))
    forecast(request(pictures), LIMITS, Counting(), place, Wanted(trial=20))
    assert 8 <= seen[0] <= 20


def test_runs_of_the_dataset_are_believed_before_a_trial(pictures: Path) -> None:
    compute(request(pictures))
    more(pictures, 20)
    found = told(request(pictures), nowhere(FakeCloud(deployment())))
    assert found.sample.how == "dataset"
    assert found.plan.sources == 20  # what is done is not paid for again
    assert found.sample.cpu > 0


def test_runs_of_another_recipe_tell_nothing_of_this_one(pictures: Path) -> None:
    compute(request(pictures, "[analyzers.hashes]\n"))
    found = told(request(pictures), nowhere(FakeCloud(deployment())))
    assert found.sample.how == "sample"


def test_former_runs_on_these_machines_are_believed_before_all_else(
    pictures: Path, tmp_path: Path
) -> None:
    control = Control(str(tmp_path / "control"))
    night = _lived(control, recipe=RECIPE, seconds=0.04)
    compute(request(pictures))
    more(pictures, 20)
    found = told(request(pictures), at_home(FakeCloud(deployment()), control))
    assert found.sample.how == "cloud"
    assert found.sample.machines is not None
    # What the machines really took, though nobody told: within the tail of a run and its ticks.
    assert found.sample.machines["c.small"] == pytest.approx(0.04, rel=0.15)
    assert [each.name for each in runs(control)] == [night.order.run]


def test_former_runs_of_another_recipe_tell_of_boots_and_not_of_speed(
    pictures: Path, tmp_path: Path
) -> None:
    control = Control(str(tmp_path / "control"))
    _lived(control, recipe="[analyzers.hashes]\n", seconds=0.04)
    found = told(request(pictures), at_home(FakeCloud(deployment()), control))
    assert found.sample.how == "sample"


def test_runs_on_several_types_tell_them_apart_by_the_tables(tmp_path: Path) -> None:
    control = Control(str(tmp_path / "control"))
    recipe = read_recipe(RECIPE, settings_of=settings_of)
    # By the tables g.large is twice as fast as g.small without networks: twice the cores.
    _lived(control, recipe=RECIPE, seconds=0.04, pool="gpu", large=0.02)
    found = measured(runs(control), recipe, MACHINES, priors(recipe))
    assert found is not None
    assert found.machines is not None
    assert found.machines["g.small"] == pytest.approx(0.04, rel=0.2)
    assert found.machines["g.large"] == pytest.approx(0.02, rel=0.2)


def test_weights_that_are_not_here_make_a_plan_less_sure_and_do_not_end_it(
    pictures: Path, tmp_path: Path
) -> None:
    nothing = str(tmp_path / "none")
    bare = LIMITS.model_copy(update={"model_cache": nothing, "model_mirror": nothing})
    here = FakeCloud(deployment())
    place = at_home(here, pool="gpu")
    found = forecast(request(pictures, NETWORK), bare, Silent(), place, Wanted())
    assert found.sample.how == "priors"
    assert found.sample.model > 0
    assert any("resnet50" in note for note in found.notes)
    assert found.taken is not None
    assert found.taken.estimate is not None


# -- what is offered -------------------------------------------------------------------------------


def test_a_pool_is_told_as_a_whole_and_by_its_types(pictures: Path) -> None:
    found = told(request(pictures), at_home(FakeCloud(deployment()), pool="gpu"), BELIEVED)
    assert [(bid.name, bid.whole) for bid in found.bids] == [
        ("gpu", True),
        ("g.small", False),
        ("g.large", False),
    ]
    assert found.taken is found.bids[0]
    sums = {"seconds_p50", "seconds_p90", "dollars_p50", "dollars_p90", "traffic"}
    assert set(expected(found)) == sums
    low, high = (found.bids[n].estimate for n in (1, 2))
    assert low is not None
    assert high is not None
    assert low.dollars.p50 < high.dollars.p50
    text = "\n".join(lines(found))
    assert "pool gpu: any of 2" in text
    assert "* recommended: gpu" in text
    assert "asked just now" in text


def test_without_a_deployment_each_type_is_offered_and_the_cheapest_recommended(
    pictures: Path,
) -> None:
    place = nowhere(FakeCloud(deployment()))
    found = told(request(pictures), place, Wanted(gpus=("l4", "a10g"), measure=False))
    assert [bid.name for bid in found.bids] == ["g.small", "g.large"]
    assert found.best is not None
    assert found.best.name == "g.small"
    assert found.taken is found.best
    assert found.record()["expected"] == expected(found)
    assert "* recommended: g.small in xx-north-1: the whole run costs least there" in "\n".join(
        lines(found)
    )


def test_what_is_nearly_as_cheap_and_sooner_is_not_called_the_cheapest(pictures: Path) -> None:
    place = nowhere(FakeCloud(deployment()))
    found = told(request(pictures), place, Wanted(gpus=("l4", "a10g"), measure=False))
    cheap, quick = found.bids
    assert cheap.estimate is not None
    one = Quantiles(cheap.estimate.dollars.p50 * 1.04, cheap.estimate.dollars.p90)
    close = replace(quick, estimate=replace(cheap.estimate, dollars=one))
    text = "\n".join(lines(replace(found, bids=[cheap, close], best=close)))
    assert f"* recommended: {quick.name} in" in text
    assert "the whole run costs nearly the least and is done sooner there" in text


def test_a_quota_of_nothing_is_told_with_the_command_that_asks_for_more(pictures: Path) -> None:
    found = told(request(pictures), at_home(FakeCloud(deployment(), quota=0)), BELIEVED)
    assert found.best is None
    assert found.taken is not None
    assert found.taken.estimate is None
    assert expected(found) == {}
    assert found.budget is None
    text = "\n".join(lines(found))
    assert "refused" in text
    assert "aws service-quotas request-service-quota-increase" in text


def test_a_small_quota_makes_a_run_longer(tmp_path: Path) -> None:
    corpus = many(tmp_path / "in", 200)
    free = told(request(corpus), at_home(FakeCloud(deployment())), BELIEVED)
    bound = told(request(corpus), at_home(FakeCloud(deployment(), quota=8)), BELIEVED)
    assert free.taken is not None
    assert bound.taken is not None
    assert free.taken.estimate is not None
    assert bound.taken.estimate is not None
    assert bound.taken.estimate.machines == 2 < free.taken.estimate.machines
    assert "(quota 2)" in "\n".join(lines(bound))


def test_a_quota_that_cannot_be_asked_for_is_unknown_and_said(pictures: Path) -> None:
    cloud = FakeCloud(deployment())

    class Silenced(FakeMarket):
        def quotas(self, region: str) -> list[Quota]:
            raise CloudError(f"AccessDenied in {region}")

    here = cloud.deployment
    place = Place("aws", (REGION,), Silenced(cloud), here, None, ("cpu",))
    found = told(request(pictures), place, BELIEVED)
    assert found.taken is not None
    assert found.taken.offers[0].quota.state == "unknown"
    assert "AccessDenied" in "\n".join(lines(found))


def test_what_is_done_already_costs_nothing(pictures: Path) -> None:
    compute(request(pictures))
    found = told(request(pictures), at_home(FakeCloud(deployment())), BELIEVED)
    assert found.plan.nothing
    assert "nothing to do" in lines(found)[-1]


@pytest.mark.parametrize(
    ("limit", "used", "unit", "allowed", "state"),
    [
        (0.0, None, "cores", 0, "none"),
        (7.0, None, "cores", 1, "less"),
        (64.0, 40.0, "cores", 6, "less"),
        (64.0, 0.0, "cores", 16, "ok"),
        (3.0, None, "gpus", 3, "less"),
    ],
)
def test_a_quota_is_counted_in_its_own_units(
    limit: float, used: float | None, unit: str, allowed: int, state: str
) -> None:
    own = Quota(
        name="G and VT",
        region=REGION,
        gpu="l4",
        spot=True,
        unit=unit,  # type: ignore[arg-type] # parametrized
        limit=limit,
        used=used,
        fix="ask",
    )
    other = replace(own, spot=False, limit=0.0)
    found = verdict(MACHINES["g.small"], [own, other], spot=True, most=8)
    assert (found.allowed, found.state) == (allowed, state)


# -- what is paid beside the machines --------------------------------------------------------------


def test_bytes_that_leave_a_region_are_paid_for_and_those_that_stay_are_not() -> None:
    size = {"size": 10**12, "sources": 10**6}
    near = transfer(scheme="s3", place="eu-west-1", cloud="aws", region="eu-west-1", **size)
    away = transfer(scheme="s3", place="us-east-1", cloud="aws", region="eu-west-1", **size)
    far = transfer(scheme="s3", place="sa-east-1", cloud="aws", region="eu-west-1", **size)
    other = transfer(scheme="gs", place=None, cloud="aws", region="eu-west-1", **size)
    assert (near.dollars, near.said) == (0, "")
    assert near.requests == pytest.approx(0.4)
    assert away.dollars == pytest.approx(20.0)
    assert "us-east-1" in away.said
    assert far.dollars > away.dollars
    assert other.dollars > away.dollars
    assert transfer(scheme="", place=None, cloud="aws", region="x", **size).requests == 0


def test_a_dataset_elsewhere_is_paid_for_from_where_the_machines_are() -> None:
    def dollars(place: str | None, *, cloud: str = "aws", region: str = "eu-west-1") -> float:
        scheme = {"aws": "s3", "gcp": "gs"}[cloud]
        size = 10.0**12
        return writing(scheme=scheme, place=place, cloud=cloud, region=region, size=size).dollars

    assert dollars("eu-west-1") == dollars(None) == 0
    assert dollars("sa-east-1") == pytest.approx(20.0)
    assert dollars("eu-west-1", region="sa-east-1") == pytest.approx(138.0)
    near, far = (
        dollars("us", cloud="gcp", region=region) for region in ("us-central1", "europe-west4")
    )
    assert (near, far) == (pytest.approx(20.0), pytest.approx(138.0))
    for place in ("US", "nam4", "NAM4"):
        assert dollars(place, cloud="gcp", region="us-east1") == pytest.approx(20.0)
    for place in ("EU", "eur4", "eur5", "eur7", "eur8"):
        assert dollars(place, cloud="gcp", region="europe-west4") == pytest.approx(20.0)
        assert dollars(place, cloud="gcp", region="us-east1") == pytest.approx(138.0)


def test_a_sample_tells_what_is_written_and_that_of_a_dataset_elsewhere_costs(
    pictures: Path,
) -> None:
    asked = request(pictures)
    found = told(asked, at_home(FakeCloud(deployment())), Wanted(trial=20))
    assert found.sample.how == "sample"
    assert found.sample.written is not None
    compute(asked)
    dataset = pictures.with_name(asked.dataset.rpartition("/")[2])
    size = sum(file.stat().st_size for file in (dataset / "tables").rglob("*.parquet"))
    assert size
    # Of a real run: its shards are larger, so their parts' footers are fewer.
    assert found.sample.written * found.plan.sources > size / 2
    job = Job(
        shards=1,
        sources=10**9,
        listed=10**9,
        bytes=0,
        cloud="aws",
        scheme="s3",
        origin=REGION,
        recipe=read_recipe(RECIPE, settings_of=settings_of),
        sample=found.sample,
        former=(),
        target="s3",
        home="us-east-1",
    )
    place = at_home(FakeCloud(deployment()))
    (shelf,) = shelves(place, job.recipe, (), 4)
    bid = next(bids(shelf, job))
    assert "DATASET is in us-east-1" in bid.writing.said
    assert bid.writing.dollars == pytest.approx(found.sample.written * 0.138, rel=0.01)
    assert bid.traffic == pytest.approx(bid.writing.dollars + 10**9 * 4e-7)


def test_of_two_regions_the_one_without_traffic_wins_though_its_machines_cost_more() -> None:
    cloud = FakeCloud(deployment())
    place = Place("aws", (REGION, "us-east-1"), cloud.market)
    recipe = read_recipe(RECIPE, settings_of=settings_of)
    job = Job(
        shards=100,
        sources=100_000,
        listed=100_000,
        bytes=10**12,
        cloud="aws",
        scheme="s3",
        origin="us-east-1",
        recipe=recipe,
        sample=priors(recipe),
        former=(),
    )
    found = [bid for shelf in shelves(place, recipe, (), 4) for bid in bids(shelf, job)]
    assert {bid.region for bid in found} == {REGION, "us-east-1"}
    chosen = best(found)
    assert chosen is not None
    assert chosen.region == "us-east-1"
    assert max(bid.dollars for bid in found) > chosen.dollars + 10


def test_a_gpu_that_no_machine_has_is_refused_with_those_that_some_have(pictures: Path) -> None:
    with pytest.raises(SettingsError, match="no machine has a GPU 'l44'; did you mean 'l4'"):
        told(request(pictures), nowhere(FakeCloud(deployment())), Wanted(gpus=("l44",)))


def test_what_lies_in_a_compressed_tar_is_not_unpacked_to_see_a_price(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with tarfile.open(folder / "all.tar.gz", "w:gz") as tar:
        tar.add(PHOTOS["flower.jpg"], "flower.jpg")
        tar.add(PHOTOS["china.jpg"], "china.jpg")
    alone = told(request(folder), nowhere(FakeCloud(deployment())))
    # The archive itself is a source too: nothing in it could be measured.
    assert alone.sample.how in ("priors", "sample")
    many(folder, 20)
    beside = told(request(folder), nowhere(FakeCloud(deployment())))
    assert beside.sample.how == "sample"


# -- the tables ------------------------------------------------------------------------------------


def test_a_gpu_takes_the_networks_and_leaves_decoding_to_the_cores() -> None:
    decoding = Sample("sample", "", cpu=0.1, model=0.0, error=0.1)
    networks = Sample("sample", "", cpu=0.1, model=4.0, error=0.1)
    small, cores = MACHINES["g.small"], MACHINES["c.small"]
    assert speed(small, decoding).seconds.median == speed(cores, decoding).seconds.median
    ratio = speed(cores, networks).seconds.median / speed(small, networks).seconds.median
    assert ratio > 10
    # What comes from a table is less sure than what was measured.
    assert speed(small, networks).seconds.sigma > speed(small, decoding).seconds.sigma
    seen = Sample("cloud", "", 0.1, 4.0, 0.1, machines={"g.small": 0.3})
    assert speed(small, seen).seconds.median == 0.3
    assert speed(small, seen).seconds.sigma == 0.1
    assert speed(MACHINES["g.large"], seen).seconds.sigma > 0.3


def test_a_machine_does_as_many_shards_as_it_has_workers() -> None:
    assert slots(MACHINES["c.small"], 3 / 8) == 2
    assert slots(MACHINES["g.small"], 3 / 8) == 2
    assert slots(MACHINES["g.small"], 1 / 8) == 4
    assert slots(MACHINES["g.small"], 0.0) == 4


@pytest.mark.parametrize(
    ("seconds", "told"), [(60, "15m"), (3600, "60m"), (3601, "75m"), (4 * 3600 + 1, "5h")]
)
def test_a_deadline_is_proposed_in_spans_that_the_flag_takes(seconds: float, told: str) -> None:
    assert span(seconds) == told


def test_a_budget_is_proposed_in_round_sums() -> None:
    assert round_up(0.31) == 0.5
    assert round_up(0.81) == pytest.approx(0.9)
    assert round_up(11.01) == 12


def _lived(
    control: Control, *, recipe: str, seconds: float, pool: str = "cpu", large: float = 0.0
) -> Night:
    """Live through a night and leave what its head would have left."""
    hidden = calm(seconds)
    hidden.seconds["g.large"] = large
    slots_of = {"c.small": 2, "g.small": 2, "g.large": 4}
    night = Night(Corpus(120_000, 1000, pool, 4), hidden, 1, slots_of)
    night.run()
    order = night.order.model_copy(update={"recipe": recipe})
    control.order(order)
    control.close(order.run)
    assert night.state is not None
    control.tell(night.state)
    control.put(order.run, "ledger.jsonl", write(night.lines))
    return night
