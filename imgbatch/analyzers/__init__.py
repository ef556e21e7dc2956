"""One file, one analyzer: pictures in, rows out. The folder is the registry.

A module in this folder is an analyzer of that name when it exports:

    GRAIN      "picture": one row per picture. "sequence": one row per source, from all its frames.
    VERSION    grows when the same pixels and settings would give other rows.
    TOLERANCE  how far a float may differ between two runs over the same pixels (0.0: not at all).
    COLUMNS    the columns of its table, in order, without the keys that every table has.
    NEEDS      what it needs of the decoder and the machine.
    Settings   its `[analyzers.NAME]` table. Each key has a default.
    Analyzer   the class below, made with one argument, its Settings.

One that loads weights exports besides:

    weights    a function of its Settings: the digest of every file that its rows depend on, by the
               model's name in the registry, or by the key of the settings that holds an `Own`. It
               reads no file, and loads nothing.
    check      where a look at those files can tell that they do not fit: a function of its Settings
               that raises WeightsError. Whoever drives a run calls it once they lie here, before
               anything is written.

One that finds any number of something in a picture (faces, boxes), of which each is a row of a
second table `NAME_regions` under the same fingerprint:

    REGIONS    the columns of that table, in order, without its keys. Each row that `infer` returns
               has one key more, "regions": a list of dicts with exactly these columns. The frame
               adds the keys and numbers them, and counts them in the main table (`n_regions`).

Columns that depend on settings are functions instead: `columns(settings)`, `regions(settings)`.
Settings that ask for no regions leave that table empty, so that rows of former settings leave it.
What it needs may depend on them too: `needs(settings)`, beside NEEDS for its defaults.

Nothing else is edited to add one: recipes, tables, codebook, `imgbatch analyzers` and the contract
suite find it here. Analyzers never import each other. One that is too long for a file is a folder
of that name, whose `__init__` exports the same: faces.

A module of somebody else's that exports the same is an analyzer too, under its dotted name: the
table `[analyzers."package.module"]` of a recipe takes it from wherever Python finds it. On a
cluster each machine must have it.
"""

from __future__ import annotations

import importlib
import pkgutil
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from imgbatch.errors import MissingExtraError, SettingsError
from imgbatch.models.devices import device
from imgbatch.records import REGIONS, analyzer_of
from imgbatch.settings import Settings, nearest

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from types import ModuleType

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from imgbatch.records import Picture

Row = dict[str, Any]
EXPORTS = ("GRAIN", "VERSION", "TOLERANCE", "COLUMNS", "NEEDS", "Settings", "Analyzer")
# What a module may export in place of a constant: a function of its settings.
INSTEAD = {"COLUMNS": "columns"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column, and all that the codebook says of it.

    Attributes:
        unit: of the values: "pixels", "seconds", "0-1", ...; "" where there is none.
        range: of possible values, in words or as an interval; "" where open.
        missing: when the value is null; "never" by default (in rows whose status is ok).
        mark: "biometric": it tells people apart; "sensitive": what a model perceives of a person;
            "personal": who somebody is, or what they wrote.
    """

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""
    range: str = ""
    missing: str = "never"
    mark: Literal["", "biometric", "sensitive", "personal"] = ""


@dataclass(frozen=True, slots=True)
class Needs:
    """What an analyzer needs.

    Attributes:
        min_side: a recipe that decodes the shorter side smaller than this is refused.
        full_size: it sees pictures in full size besides, whatever the recipe decodes: `whole` of
            this file gives them. Part of the fingerprint.
        copies: of a picture in full size, that it makes at once while it has one: counted with it
            as in flight. Never seen in the rows.
        batch: how many prepared pictures `infer` gets at most; never seen in the rows.
        gpu: share of one GPU that its worker takes, 0 to 1. All analyzers of a recipe are in the
            same worker, and on the same GPU. On Ray only.
        gpu_if_any: the same, for one that works without a GPU too: taken where the cluster has
            some, or the run's limits ask for CUDA. On Ray only.
        memory: bytes that it makes its worker hold, beyond what decoding takes; said where that is
            gigabytes, so that a machine is not given more workers than it has room for. On Ray
            only.
        network: what its share and its memory are of, where other analyzers of a recipe may run the
            same: equal ones are one copy in a worker. None: of this analyzer's own.
        onnx: whether it is ONNX Runtime that computes on its GPU: who drives a run asks before it
            whether that can.
    """

    min_side: int = 0
    full_size: bool = False
    copies: float = 0.0
    batch: int = 1
    gpu: float = 0.0
    gpu_if_any: float = 0.0
    memory: int = 0
    network: Hashable = None
    onnx: bool = False


class PictureAnalyzer(Protocol):
    """Sees pictures one by one in decoding threads, then prepared pictures in batches."""

    def prepare(self, picture: Picture) -> Any:
        """Return what `infer` needs of one picture. Called from several threads at once."""

    def infer(self, batch: Sequence[Any]) -> list[Row]:
        """Return one row per prepared picture, in order. Never called twice at once."""


class Strip(Protocol):
    """The frames of one source, as a sequence analyzer sees them."""

    def see(self, picture: Picture) -> None:
        """Take the next frame, in display order."""

    def row(self) -> Row:
        """Return the source's row, once all its frames were seen."""


class SequenceAnalyzer(Protocol):
    """Sees all sampled frames of one source, in order, one at a time (an image has one frame)."""

    def start(self) -> Strip:
        """Return a new strip for one source. Called from several threads at once."""


class Module(Protocol):
    """What a module of this folder exports; see the top of this file.

    COLUMNS may be missing: `columns_of` and `regions_of` know what stands there instead.
    """

    __name__: str
    GRAIN: Literal["picture", "sequence"]
    VERSION: int
    TOLERANCE: float
    COLUMNS: tuple[Column, ...]
    NEEDS: Needs
    Settings: type[Settings]
    Analyzer: Any


def available() -> list[str]:
    """Return the names of all analyzers; imports none of them."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def load(name: str) -> Module:
    """Import one analyzer by name.

    Raises:
        SettingsError: there is none of that name; says which are near.
        MissingExtraError: a package that it needs is not installed.
    """
    if name.endswith(REGIONS):
        raise SettingsError(
            f"no analyzer {name!r}: that is the name of a region table",
            f"Its analyzer is {analyzer_of(name)}; both tables come from it.",
        )
    if "." in name:
        return _foreign(name)
    if name not in available():
        raise SettingsError(f"no analyzer {name!r}{nearest(name, available())}")
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"analyzer {name} needs the package {error.name}, which is not installed",
        ) from error
    return cast("Module", module)


def _foreign(name: str) -> Module:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise MissingExtraError(
                f"analyzer {name} needs the package {error.name}, which is not installed",
                f"Install {error.name}.",
            ) from error
        raise SettingsError(
            f"no analyzer {name!r}: Python finds no module {error.name}",
            "Install it where imgbatch is, or put its folder on PYTHONPATH.",
        ) from error
    if lacking := [word for word in EXPORTS if not _exports(module, word)]:
        raise SettingsError(
            f"the module {name} is no analyzer: it has no {', '.join(lacking)}",
            "`imgbatch.analyzers` says what an analyzer exports.",
        )
    return cast("Module", module)


def weights(name: str, settings: Settings) -> dict[str, str]:
    """Return the digests of the weights that an analyzer's rows depend on; {} where it has none.

    Raises:
        WeightsError: weights of the user's own have no digest.
    """
    said = getattr(load(name), "weights", None)
    return dict(said(settings)) if said else {}


def check(name: str, settings: Settings) -> None:
    """Let an analyzer look whether its weights, which lie on this machine, fit to its settings.

    Raises:
        WeightsError, SettingsError: they do not.
        MissingExtraError: packages that it needs are not installed.
    """
    if look := getattr(load(name), "check", None):
        look(settings)


def _exports(module: ModuleType, word: str) -> bool:
    return hasattr(module, word) or hasattr(module, INSTEAD.get(word, word))


def columns_of(module: Module, settings: Settings) -> tuple[Column, ...]:
    """Return the columns of an analyzer's main table, without keys, as its settings ask for."""
    found: tuple[Column, ...] = _by_settings(module, "columns", settings)
    return found


def regions_of(module: Module, settings: Settings) -> tuple[Column, ...]:
    """Return the columns of its region table, without keys."""
    found: tuple[Column, ...] = _by_settings(module, "regions", settings)
    return found


def needs_of(module: Module, settings: Settings) -> Needs:
    """Return what an analyzer needs with these settings."""
    found: Needs = _by_settings(module, "needs", settings)
    return found


def whole(picture: Picture) -> AbstractContextManager[NDArray[np.uint8]]:
    """Give a picture in full size, as a block's value, for an analyzer that needs it so.

    (height, width, 3) uint8, RGB, upright. It may have to be decoded again, and its bytes count as
    in flight until the block ends: leave it soon, and keep copies only, as many as `copies` of its
    Needs says. One block at a time.

    Raises:
        DecodeError: it cannot be decoded in full size.
    """
    if picture.whole is not None:
        return picture.whole()
    facts = picture.facts
    assert picture.pixels.shape[:2] == (facts.height, facts.width), "its Needs lack `full_size`"
    return nullcontext(picture.pixels)


def needs_of_all(chosen: Mapping[str, Settings]) -> list[Needs]:
    """Return what each of a recipe's analyzers adds to a worker: a shared network counts once."""
    found: dict[Hashable, Needs] = {}
    for name, settings in chosen.items():
        need = needs_of(load(name), settings)
        found.setdefault(name if need.network is None else need.network, need)
    return list(found.values())


def on_gpu(chosen: Mapping[str, Settings]) -> frozenset[str]:
    """Return the names of the analyzers that compute on a GPU in this process.

    Raises:
        SettingsError: the limits ask for CUDA, and there is none.
    """
    needs = {name: needs_of(load(name), settings) for name, settings in chosen.items()}
    able = frozenset(name for name, need in needs.items() if need.gpu or need.gpu_if_any)
    return able if able and device() == "cuda" else frozenset()


def has_regions(module: Module) -> bool:
    """Say whether an analyzer fills a region table."""
    return hasattr(module, "REGIONS") or hasattr(module, "regions")


def _by_settings(module: Module, name: str, settings: Settings) -> Any:
    chosen = getattr(module, name, None)
    return chosen(settings) if chosen else getattr(module, name.upper(), ())


def settings_of(name: str) -> type[Settings]:
    """Return an analyzer's settings class, for reading recipes."""
    return load(name).Settings


def summary(name: str) -> str:
    """Return the first line of an analyzer's docstring."""
    return (load(name).__doc__ or "").partition("\n")[0]


def describe(name: str) -> Mapping[str, Any]:
    """Return what `imgbatch analyzers` and the reference show of one analyzer, by its defaults."""
    module = load(name)
    defaults = module.Settings()
    needs = needs_of(module, defaults)
    return {
        "name": name,
        "summary": summary(name),
        "grain": module.GRAIN,
        "version": module.VERSION,
        "min_side": needs.min_side,
        "full_size": needs.full_size,
        "gpu": needs.gpu,
        "gpu_if_any": needs.gpu_if_any,
        "memory": needs.memory,
        "settings": module.Settings.model_json_schema().get("properties", {}),
        "columns": columns_of(module, defaults),
        "regions": regions_of(module, defaults),
    }
