"""What somebody asks for on a command line enters; an Order that machines can work by leaves.

Nothing is asked of a cloud here, and no bucket is opened: what is wrong with the words alone is
told at once, and the same for a run now and for a schedule.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import math
import os
import shlex
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from imgbatch import analyzers, settings
from imgbatch.cloud.backend import SCHEMES
from imgbatch.cloud.control import Order, new_run
from imgbatch.errors import DeploymentError, MissingExtraError, SettingsError
from imgbatch.listed import refuse_nested
from imgbatch.settings import ENVIRONMENT_PREFIX, nearest
from imgbatch.storage.options import KINDS, split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.cloud.deployment import Deployment
    from imgbatch.settings import Recipe

GPU, CPU = "gpu", "cpu"
DEVICE = f"{ENVIRONMENT_PREFIX}DEVICE"
MIRROR = f"{ENVIRONMENT_PREFIX}MODEL_MIRROR"
# Of this laptop: a folder that no other machine has.
_OWN = (f"{ENVIRONMENT_PREFIX}MODEL_CACHE",)
# Weights lie here unless IMGBATCH_MODEL_MIRROR says where else.
MODELS = "models"
# Options of a bucket that mean the same on another machine.
_ANYWHERE = ("region", "anonymous", "requester_pays", "endpoint", "project")


@dataclass(frozen=True, slots=True)
class Wish:
    """A run as somebody asks for it.

    Attributes:
        recipe: name or path.
        gpus: kinds of GPU; none: what the recipe asks for.
        most: machines at once; 0: as many as the pool can have.
        budget: dollars.
        words: of `jobs.analyze`, without INPUT, DATASET and recipe.
    """

    input: str
    dataset: str
    recipe: str
    budget: float
    gpus: tuple[str, ...] = ()
    most: int = 0
    words: tuple[str, ...] = field(default=())


def order_of(
    wish: Wish,
    deployment: Deployment,
    *,
    environment: Mapping[str, str],
    deadline: float = 0.0,
    hours: float = 0.0,
) -> Order:
    """Return the order that a wish comes to.

    Args:
        wish: what is asked for.
        deployment: whose machines are to work.
        environment: of whoever asks; what imgbatch knows of it is passed on.
        deadline: seconds since 1970; 0 where `hours` after the run is taken count.
        hours: of a scheduled run.

    Raises:
        SettingsError: folders, a recipe or a flag that is wrong.
        DeploymentError: no pool has such machines.
    """
    if not wish.budget > 0:
        raise SettingsError(f"--budget {wish.budget:g} buys nothing", "Give dollars: --budget 50.")
    if math.isinf(wish.budget):
        raise SettingsError("--budget inf bounds nothing", "Give dollars: --budget 50.")
    text = settings.recipe_text(wish.recipe)
    recipe = recipe_of(text)
    pool = pool_of(deployment, wish.gpus, recipe)
    needed = recipe is None or uses_gpu(recipe)
    return Order(
        run=new_run(),
        input=_bucket(wish.input, "INPUT", deployment),
        dataset=_apart(wish, _bucket(wish.dataset, "DATASET", deployment)),
        words=list(wish.words),
        recipe=text,
        environment={
            MIRROR: f"{deployment.bucket}/{MODELS}",
            **_device(environment, deployment, pool, needed=needed),
            **_environment(environment, deployment),
        },
        pool=pool,
        most=_most(wish.most, deployment, pool),
        budget=wish.budget,
        deadline=deadline,
        hours=hours,
        by=_who(),
    )


def recipe_of(text: str) -> Recipe | None:
    """Return a recipe; None where a package is missing here that machines have.

    Raises:
        SettingsError: something in it is wrong.
    """
    with contextlib.suppress(MissingExtraError):
        return settings.read_recipe(text, settings_of=analyzers.settings_of)
    return None


def pool_of(deployment: Deployment, gpus: tuple[str, ...], recipe: Recipe | None) -> str:
    """Return the name of the pool that is asked for, or that a recipe takes by default.

    Raises:
        DeploymentError: there is none; says how to make one.
    """
    pools = deployment.pools
    if gpus:
        wanted = {kind.lower() for kind in gpus}
        for name, pool in pools.items():
            if set(pool.gpus) == wanted or wanted == {name}:
                return name
        raise _no_pool(deployment, sorted(wanted))
    default = CPU if recipe and not uses_gpu(recipe) else GPU
    if default in pools:
        return default
    # One that was made by hand under another name: unless several could be meant.
    fitting = [name for name, pool in pools.items() if bool(pool.gpus) == (default == GPU)]
    if len(fitting) == 1:
        return fitting[0]
    said = f"deployment {deployment.name} has no pool {default!r}"
    remedy = f"Name one of them: --gpus {next(iter(pools), default)}."
    raise DeploymentError(f"{said}; it has {_pools(deployment)}", remedy)


def uses_gpu(recipe: Recipe) -> bool:
    """Whether an analyzer of a recipe works on a GPU where there is one."""
    needs = analyzers.needs_of_all(recipe.analyzers)
    return any(need.gpu or need.gpu_if_any for need in needs)


def _no_pool(deployment: Deployment, gpus: list[str]) -> DeploymentError:
    known = sorted({gpu for pool in deployment.pools.values() for gpu in pool.gpus})
    unknown = [gpu for gpu in gpus if gpu not in known]
    hint = nearest(unknown[0], known) if unknown else ""
    name = "-".join(gpus)
    pool = {"gpus": gpus, "machines": ["TYPE", "..."], "most": 4, "spot": True, "disk_gib": 100}
    return DeploymentError(
        f"no pool of {deployment.name} has exactly {', '.join(gpus)}{hint}; "
        f"it has {_pools(deployment)}",
        f"Take one of those; or add to `pools` of {deployment.name}.tfvars.json, then run "
        f"`scripts/cloud up {deployment.cloud}`:\n       {json.dumps({name: pool})[1:-1]}",
    )


def _pools(deployment: Deployment) -> str:
    return ", ".join(
        f"{name} ({', '.join(pool.gpus) or 'no GPU'})" for name, pool in deployment.pools.items()
    )


def _most(asked: int, deployment: Deployment, pool: str) -> int:
    most = deployment.pools[pool].most
    if asked > most:
        raise SettingsError(
            f"--max-workers {asked}: pool {pool} can have {most}",
            f"Give at most {most}, or raise `most` of that pool and run `scripts/cloud up` again.",
        )
    if not most:
        raise DeploymentError(
            f"pool {pool} can have no machine: its `most` is 0",
            "Raise it in the tfvars file and run `scripts/cloud up` again.",
        )
    return asked or most


def _bucket(url: str, what: str, deployment: Deployment) -> str:
    """Return a bucket's URL as other machines can use it.

    Raises:
        SettingsError: it is a folder, or of another cloud.
    """
    scheme = url.partition("://")[0] if "://" in url else ""
    wanted = SCHEMES[deployment.cloud]
    if scheme not in KINDS:
        raise SettingsError(
            f"{what} {url} is on this laptop, where rented machines do not see it",
            f"Copy it to a bucket and give its URL, such as {deployment.bucket}/...",
        )
    bare, given = split(url)
    if scheme != wanted and not given.get("anonymous"):
        raise SettingsError(
            f"{what} {url}: machines of {deployment.cloud} have no credentials for {scheme}://",
            f"Give a bucket of the same cloud, such as {deployment.bucket}/...",
        )
    if given.get("endpoint") and not given.get("anonymous"):
        raise SettingsError(
            f"{what} {url}: machines have no keys for {given['endpoint']}",
            f"Copy it to a bucket of the cloud, such as {deployment.bucket}/...",
        )
    # A profile or a key file is of this laptop; machines have their role.
    kept = {name: value for name, value in given.items() if name in _ANYWHERE}
    return f"{bare.rstrip('/')}?{urlencode(kept)}" if kept else bare.rstrip("/")


def _apart(wish: Wish, dataset: str) -> str:
    refuse_nested(wish.input.partition("?")[0].rstrip("/"), dataset.partition("?")[0])
    return dataset


def _environment(environment: Mapping[str, str], deployment: Deployment) -> dict[str, str]:
    """Return what imgbatch knows of an environment and other machines can use.

    Raises:
        SettingsError: a variable of ours is wrong, or names a folder of this laptop.
    """
    settings.read_limits(environment)
    found = {
        name: value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name not in _OWN
    }
    mirror = found.get(MIRROR)
    place = f"{deployment.bucket}/{MODELS}"
    if mirror and mirror.partition("://")[0] not in KINDS:
        raise SettingsError(
            f"{MIRROR}={mirror} is on this laptop, where rented machines do not see it",
            f"`imgbatch models push --recipe RECIPE {shlex.quote(place)}`, and unset it: "
            "that place is the default.",
        )
    return found


def _device(
    environment: Mapping[str, str], deployment: Deployment, pool: str, *, needed: bool
) -> dict[str, str]:
    """Return what a run is told of GPUs: when it starts, no machine that has one is up yet.

    Raises:
        SettingsError: a GPU is asked for, and the pool has none.
    """
    if deployment.pools[pool].gpus:
        return {DEVICE: "cuda"} if needed else {}
    if environment.get(DEVICE) == "cuda":
        raise SettingsError(
            f"{DEVICE}=cuda, and machines of pool {pool} have no GPU",
            "Unset it, or name GPUs with --gpus.",
        )
    return {}


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no name for this number, as in containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
