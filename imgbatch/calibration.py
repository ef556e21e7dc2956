"""What was measured of a recipe anywhere enters; the best of it leaves, with how sure it is.

    1  former runs of the same recipe on this deployment's machines
    2  the records of this dataset's own runs
    3  a trial: some sources through the pipeline, here and now
    4  nothing measured: stated priors

The first that is there counts; none that fails ends a plan.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from imgbatch.cloud.estimate import Spread
from imgbatch.cloud.former import measured
from imgbatch.cloud.speeds import CORE, Sample
from imgbatch.dataset import Dataset
from imgbatch.errors import RunError
from imgbatch.models import registry
from imgbatch.ready import PACKAGE
from imgbatch.trial import network, parts, trial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgbatch.cloud import Machine
    from imgbatch.cloud.former import Run
    from imgbatch.listed import Listed
    from imgbatch.observe.recorder import Watcher
    from imgbatch.ready import Lying
    from imgbatch.settings import Limits, Recipe
    from imgbatch.summary import Request

# Without anything measured: core-seconds per source on a rented core. Seen on one laptop-like core:
# 0.03 for `quick` on photographs of 640 pixels, 0.13 for ResNet-50 in ONNX Runtime; a rented core
# is believed to be slower (`speeds.CORE`). A camera's photographs and videos take far more, small
# pictures far less: hence the error.
CPU, NETWORK = 0.06, 0.15
ERROR = 0.8
# Of former runs here nobody knows the machine, and threads that waited count as if they worked.
RECORD_ERROR = 0.3
LAST = 3


@dataclass(frozen=True, slots=True)
class Known:
    """What there is to measure by.

    Attributes:
        former: runs of the deployment.
        machines: types that are known, by name.
        sources: of a trial; 0: none.
        weights: where those of the recipe lie.
        measure: whether anything but priors is asked for.
    """

    former: Sequence[Run]
    machines: Mapping[str, Machine]
    sources: int
    weights: Sequence[Lying] = ()
    measure: bool = True


def calibrate(
    request: Request, recipe: Recipe, limits: Limits, listed: Listed, watcher: Watcher, known: Known
) -> tuple[Sample, list[str]]:
    """Return how fast a recipe is, and in words what could not be measured.

    Args:
        request: whose input and dataset count.
        recipe: the request's.
        limits: of a trial.
        listed: the input.
        watcher: told how a trial goes.
        known: what there is to measure by.
    """
    believed = priors(recipe)
    if not known.measure:
        return believed, []
    dataset = Dataset.find(request.dataset)
    found = measured(known.former, recipe, known.machines, believed)
    found = found or recorded(dataset.runs() if dataset else [], recipe)
    if found or not known.sources or not listed.sources.num_rows:
        return found or believed, []
    if lacking := [each for each in known.weights if each.how != "there"]:
        return believed, _lacking(lacking)
    try:
        return trial(request, limits, listed, watcher, sources=known.sources), []
    except RunError as error:
        # Of a plan, no more depends on it than how sure it is.
        said = f"no sample could be run here ({error}); to do: {error.remedy}"
        return believed, [said]


def _lacking(weights: Sequence[Lying]) -> list[str]:
    """Return why no trial was made: nobody waits for a gigabyte of weights to see a price."""
    for each in weights:
        if each.name == PACKAGE:
            return [f"no sample was run here: {each.error}; to do: {each.remedy}"]
    names = [each.name for each in weights]
    said = f"no sample was run here: {', '.join(names)} not on this machine"
    return [f"{said}; {pulling(names)} first makes this plan surer"]


def pulling(names: Sequence[str]) -> str:
    """Return the command that brings weights here; the user's own need a digest, which is theirs.

    Args:
        names: of models of the registry, or where the user's own lie.
    """
    known = {model.name for model in registry.known()}
    asked = " ".join(names) if known.issuperset(names) else "--recipe RECIPE"
    return f"`imgbatch models pull {asked}`"


def priors(recipe: Recipe) -> Sample:
    """Return what is believed of a recipe without any measurement."""
    networks = sum(network(name, recipe) for name in recipe.analyzers)
    said = "stated priors, nothing was measured: a factor of three either way"
    on = Spread(1.0)
    return Sample("priors", said, CPU, NETWORK * networks, ERROR, on=on)


def recorded(records: Sequence[Mapping[str, Any]], recipe: Recipe) -> Sample | None:
    """Return what the records of a dataset's own runs tell; None: nothing of this recipe.

    Of runs that filled the same tables only: other analyzers, another pace.

    Args:
        records: oldest first.
        recipe: what is to be run.
    """
    names = set(recipe.analyzers)
    alike = [
        record
        for record in records
        if record.get("work_seconds")
        and record["sources"]
        and set(record["recipe"]["analyzers"]) == names
    ][-LAST:]
    if not alike:
        return None
    stages = Counter[str]()
    for record in alike:
        stages.update(record["stages"])
    sources = sum(record["sources"] for record in alike)
    cpu, model = parts(stages, recipe)
    if not cpu + model:
        return None
    runs = "the last run" if len(alike) == 1 else f"the last {len(alike)} runs"
    said = f"from {runs} over this dataset, on machines that nobody noted"
    on = replace(CORE, sigma=0.4)
    return Sample("dataset", said, cpu / sources, model / sources, RECORD_ERROR, on=on)
