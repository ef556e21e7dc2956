"""A recipe enters; whether the weights that it needs can be had leaves, before a shard is begun.

Decision, 2026-11: who drives a run fetches them itself, into its own cache, before anything is
written: a download that breaks, or another file than the digest says, is found there once and not
by a thousand workers. Drawback: the driver of a cluster holds weights that only its workers use.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from imgbatch import analyzers
from imgbatch.errors import MissingExtraError, WeightsError
from imgbatch.models import registry, weights
from imgbatch.models.remedies import name_of
from imgbatch.models.sessions import onnx_device
from imgbatch.models.terms import terms
from imgbatch.models.weights import How, Own, Wanted
from imgbatch.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from imgbatch.settings import Limits, Recipe

    # Told a name, how many bytes of it are here, and of how many; 0 where nobody knows.
    Fetching = Callable[[str, int, int], None]

# What runs the weights of each loader, and is of the extra `models`.
PACKAGES = {
    "torchvision": ("torch", "torchvision", "onnxruntime"),
    "open_clip": ("torch", "open_clip", "onnxruntime"),
    "onnx": ("onnxruntime",),
    "insightface-pack": ("insightface", "onnxruntime"),
}


# What lacks where it is no weights.
PACKAGE = "a package"


@dataclass(frozen=True, slots=True)
class Need:
    """Weights that an analyzer of a recipe loads.

    Attributes:
        name: of a model of the registry, or where the user's own lie.
        sha256: their digest, as the fingerprint has it.
    """

    analyzer: str
    name: str
    sha256: str
    wanted: Wanted

    @property
    def licence(self) -> str:
        """The name of their licence, as far as anybody can tell."""
        return terms(self.wanted).name

    @property
    def limits(self) -> str:
        """What their licence does not allow; "" where nothing, or nobody can tell."""
        return terms(self.wanted).limits

    @property
    def size(self) -> int:
        """Their bytes; 0 where nobody knows."""
        return 0 if isinstance(self.wanted, Own) else self.wanted.size

    @property
    def packages(self) -> tuple[str, ...]:
        """What runs them; of the user's own, their analyzer says it when it looks at them."""
        return () if isinstance(self.wanted, Own) else PACKAGES[self.wanted.loader]


@dataclass(frozen=True, slots=True)
class Lying:
    """Where weights lie.

    Attributes:
        analyzers: that load them.
        how: there (on this machine), mirror, url; lacking where they cannot be had.
        error: why not.
        remedy: what to do about it.
    """

    analyzers: tuple[str, ...]
    name: str
    how: How | Literal["lacking"]
    error: str = ""
    remedy: str = ""


def needs(recipe: Recipe) -> list[Need]:
    """Return the weights that the analyzers of a recipe load, and that can be fetched.

    Raises:
        WeightsError: weights of the user's own have no digest.
    """
    return [need for name, own in recipe.analyzers.items() for need in loads(name, own)]


def loads(name: str, settings: Settings) -> list[Need]:
    """Return the weights that one analyzer loads, and that can be fetched.

    Raises:
        WeightsError: weights of the user's own have no digest.
    """
    return [
        Need(name, name_of(wanted), digest, wanted)
        for key, digest in analyzers.weights(name, settings).items()
        if (wanted := _wanted(key, digest, settings)) is not None
    ]


def _lacking(recipe: Recipe) -> dict[str, str]:
    """Return by analyzer the package that it lacks to run its weights; none where all is there."""
    found: dict[str, str] = {}
    for need in needs(recipe):
        for package in need.packages:
            if need.analyzer not in found and find_spec(package) is None:
                found[need.analyzer] = package
    return found


def _missing(lacking: Mapping[str, str]) -> MissingExtraError:
    """Return one error for all packages that lack: what is to be done for each is the same."""
    said = []
    for package in dict.fromkeys(lacking.values()):
        names = [name for name, own in lacking.items() if own == package]
        who = f"analyzers {', '.join(names)} need" if names[1:] else f"analyzer {names[0]} needs"
        said.append(f"{who} the package {package}, which is not installed")
    return MissingExtraError("; ".join(said))


# Analyzers and settings whose weights were looked at in this process.
_fitting: set[str] = set()


def ready(
    recipe: Recipe, limits: Limits, fetching: Fetching | None = None, *, elsewhere: bool = False
) -> None:
    """Bring all weights of a recipe to this machine, verified.

    Args:
        recipe: whose analyzers need them.
        limits: where this machine keeps them, and the mirror.
        fetching: told while they come.
        elsewhere: workers are on other machines than this one, which needs no GPU then.

    Raises:
        SettingsError: the limits ask for CUDA, workers are here, and there is none.
        WeightsError: some cannot be had, are not what they should be, or do not fit to what the
            recipe says of them.
        MissingExtraError: packages of an analyzer are not installed; or the limits ask for CUDA,
            workers are here, and ONNX Runtime, which is to use it, cannot.
    """
    weights.adopt(limits)
    if packages := _lacking(recipe):
        raise _missing(packages)
    if not elsewhere:
        # As each worker asks at its start: here nothing is lost.
        for name in analyzers.on_gpu(recipe.analyzers):
            if analyzers.needs_of(analyzers.load(name), recipe.analyzers[name]).onnx:
                onnx_device()
    lacking: dict[str, WeightsError] = {}
    for need in needs(recipe):
        listener = partial(_tell, fetching, need.name, need.size) if fetching else None
        try:
            weights.fetch(need.wanted, listener)
        except WeightsError as error:
            lacking[str(error)] = error
    if lacking:
        # All at once, so that nobody pulls one, waits for a run, and learns of the next.
        remedies = dict.fromkeys(error.remedy for error in lacking.values())
        raise WeightsError("; ".join(lacking), "\n       ".join(remedies)) from next(
            iter(lacking.values())
        )
    for name, settings in recipe.analyzers.items():
        # A run gets ready before each of its steps: a look at a pack takes a second.
        key = f"{name} {settings.model_dump_json()}"
        if key not in _fitting:
            analyzers.check(name, settings)
            _fitting.add(key)


def _tell(fetching: Fetching, name: str, size: int, done: int) -> None:
    fetching(name, done, size)


def look(recipe: Recipe, limits: Limits) -> Iterator[Lying]:
    """Yield what packages it lacks, and where each of its weights lie; brings none of them here."""
    weights.adopt(limits)
    if packages := _lacking(recipe):
        missing = _missing(packages)
        yield Lying(tuple(packages), PACKAGE, "lacking", str(missing), missing.remedy)
    loading: dict[tuple[str, str], list[Need]] = {}
    for need in needs(recipe):
        loading.setdefault((need.name, need.sha256), []).append(need)
    for same in loading.values():
        need, names = same[0], tuple(dict.fromkeys(each.analyzer for each in same))
        try:
            yield Lying(names, need.name, weights.where(need.wanted))
        except WeightsError as error:
            yield Lying(names, need.name, "lacking", str(error), error.remedy)


def _wanted(key: str, digest: str, settings: Settings) -> Wanted | None:
    """Return what an analyzer means by a key and digest of its `weights`.

    None where it is neither in its settings nor in the registry: a file that came with a package.
    """
    for own in _own(settings):
        if own.sha256 == digest:
            return own
    return next((model for model in registry.known() if model.name == key), None)


def _own(value: Any) -> Iterator[Own]:
    """Yield the weights of the user's own that settings hold, however deep."""
    if isinstance(value, Own):
        yield value
    elif isinstance(value, Settings):
        for _, below in value:
            yield from _own(below)
    elif isinstance(value, dict):
        for below in value.values():
            yield from _own(below)
    elif isinstance(value, (list, tuple)):
        for below in value:
            yield from _own(below)
