"""What a run is asked for and what it came to: the two halves of its record."""

from __future__ import annotations

import contextlib
import platform
import uuid
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

from imgbatch import __version__
from imgbatch.ready import needs
from imgbatch.storage import open_store
from imgbatch.storage.secrets import scrub

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.dataset import TableSpec
    from imgbatch.messages import Finished
    from imgbatch.ready import Need
    from imgbatch.settings import Recipe

# Their versions can change pixels or files, so each run says which it had.
PACKAGES = ("av", "deltalake", "numpy", "opencv-python-headless", "pillow", "pillow-heif")
# Of the extra `models`: they compute what weights say.
NETWORKS = ("insightface", "onnxruntime", "open-clip-torch", "torch", "torchvision")


@dataclass(frozen=True, slots=True)
class Request:
    """What a run is asked for.

    Attributes:
        recipe: its text.
        limit: take only the first so many sources, by address.
        share: take only this share of the sources, drawn by their ids.
        repair: first take out what is damaged, so that it is done again.
        add_input: the dataset holds sources of another input, and this one is to come beside it.
        max_failed: more failed sources than this end the run with an error; below 1 it is a share
            of the dataset's sources.
        elsewhere: workers are on other machines than whoever drives the run.
        dump, media_column, id_column: in place of the same of the recipe's `[posts]`.
    """

    input: str
    dataset: str
    recipe: str
    engine: str
    limit: int | None = None
    share: float | None = None
    max_failed: float | None = None
    repair: bool = False
    add_input: bool = False
    dump: str | None = None
    media_column: str | None = None
    id_column: str | None = None
    elsewhere: bool = False

    @property
    def whole(self) -> bool:
        """Whether all of the input is asked for, and not a sample of it."""
        return self.limit is None and self.share is None

    def told(self, recipe: Recipe) -> Recipe:
        """Return a recipe with what the flags say of posts in place of its own words."""
        flags = {
            "dump": self.dump,
            "media_column": self.media_column,
            "id_column": self.id_column,
        }
        said = {name: value for name, value in flags.items() if value is not None}
        if not said:
            return recipe
        return recipe.model_copy(update={"posts": recipe.posts.model_copy(update=said)})


@dataclass(slots=True)
class Summary:
    """What a run came to.

    Attributes:
        repaired: damaged parts that were taken out, to be done again.
        dropped: damaged parts that were taken out of tables that the recipe does not fill.
        aside: files that were put aside by a repair: of others, and records that nobody can read.
        by_hand: what a repair found and no run mends; each line says what does.
        lessened: tables of which the recipe keeps less than a former one, those of posts among
            them; what that one kept stays in files behind earlier states.
        forgotten: sources that the input holds and the dataset was told to forget; not `listed`.
        adopted: parts that lay in the store already, written by a run that did not commit them or
            by a former one with the same recipe.
        ready_seconds: from the start until workers were up.
        work_seconds: from then until the last shard's parts were written.
        stages: seconds by stage, summed over all threads of all workers.
        cost: hours times price; None when no price is known.
        forgot: rows that left each table, with posts that the export lacks, by the policy `forget`,
            or that were forgotten before and have files here still; None where nothing was to be
            done.
        posts: what bringing the posts of a dump came to; None where nothing was brought.
        unread: how many files may hold posts, by ending, where no format of a dump is recognised.
        retention: for how many days posts are kept now, and were before; None where that stays.
    """

    run: str
    dataset: str
    listed: int = 0
    forgotten: int = 0
    new: int = 0
    changed: int = 0
    removed: int = 0
    repaired: int = 0
    dropped: int = 0
    aside: int = 0
    by_hand: list[str] = field(default_factory=list)
    adopted: int = 0
    lessened: list[str] = field(default_factory=list)
    shards: int = 0
    sources: int = 0
    pictures: int = 0
    bytes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    ready_seconds: float = 0.0
    work_seconds: float = 0.0
    seconds: float = 0.0
    cost: float | None = None
    forgot: dict[str, int] | None = None
    posts: dict[str, Any] | None = None
    unread: dict[str, int] = field(default_factory=dict)
    retention: dict[str, int | None] | None = None

    def add(self, finished: Finished) -> None:
        """Count a finished shard."""
        self.shards += 1
        self.sources += sum(finished.outcomes.values())
        self.pictures += finished.pictures
        self.bytes += finished.bytes
        self.outcomes.update(finished.outcomes)
        self.stages.update(finished.stages)

    def record(self) -> dict[str, Any]:
        """Return all of it, as `runs/<run>.json` and `--json` say it."""
        told = {
            **asdict(self),
            "outcomes": dict(self.outcomes),
            "stages": {name: round(seconds, 3) for name, seconds in self.stages.items()},
        }
        for name in ("posts", "forgot", "by_hand", "lessened", "unread", "retention"):
            if told[name] in (None, [], {}):
                del told[name]
        return told


def asked(
    request: Request,
    recipe: Recipe,
    specs: Sequence[TableSpec],
    *,
    started: datetime,
    number: int,
) -> dict[str, Any]:
    """Return what a run was asked for and what it works with, for its record."""
    return {
        "number": number,
        "started": started.isoformat(timespec="seconds"),
        "input": open_store(request.input).root,
        "engine": request.engine,
        "limit": request.limit,
        "share": request.share,
        "recipe": {
            "media": recipe.media.model_dump(mode="json"),
            "analyzers": {
                name: _told(s.model_dump(mode="json")) for name, s in recipe.analyzers.items()
            },
            # Only where something is said of them: most inputs are no dumps.
            **({"posts": posts} if (posts := _unlike_defaults(recipe)) else {}),
        },
        "tables": {spec.name: spec.fingerprint for spec in specs},
        "weights": [_used(need) for need in needs(recipe)],
        "versions": {
            "imgbatch": __version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in PACKAGES},
            **(_installed(NETWORKS) if needs(recipe) else {}),
        },
    }


def _unlike_defaults(recipe: Recipe) -> dict[str, Any]:
    return recipe.posts.model_dump(mode="json", exclude_defaults=True)


def _told(value: Any) -> Any:
    """Return settings without secrets, such as the address of weights may hold."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {key: _told(below) for key, below in value.items()}
    return [_told(below) for below in value] if isinstance(value, list) else value


def _installed(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _used(need: Need) -> dict[str, str]:
    """Return what a record says of weights: enough to know years later what they allow."""
    said = {"analyzer": need.analyzer, "name": need.name, "sha256": need.sha256}
    return {**said, "licence": need.licence, "limits": need.limits}


def new_run() -> str:
    """Return the id of a run that begins now."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"


def now() -> str:
    """Return the time, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
