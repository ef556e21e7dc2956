"""The only reader of recipes and of the environment; what it returns is frozen.

A recipe is TOML: `[media]` and one `[analyzers.NAME]` table per analyzer. An unknown key is an
error that names its nearest neighbours, so a typo never silently runs with a default.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imgbatch.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class Settings(BaseModel):
    """Base of every settings table: frozen, and no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


T = TypeVar("T", bound=Settings)


class VideoSettings(Settings):
    """Which frames of a video become pictures.

    Sampling: `keyframes` takes every key frame; `every_n` frames 0, n, 2n, ... in display order;
    `fps` the first frame at or after each tick of a clock of that rate; `scene` the first frame
    and every frame whose FFmpeg scene score exceeds `scene_threshold`.
    """

    sample: Literal["keyframes", "every_n", "fps", "scene"] = "keyframes"
    every_n: int = Field(default=30, ge=1)
    fps: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    scene_threshold: float = Field(default=0.3, gt=0, lt=1)
    max_frames: int = Field(default=1000, ge=1)


class MediaSettings(Settings):
    """How bytes become pixels. Part of every fingerprint: other pixels, other rows.

    Attributes:
        min_side: the shorter side is decoded to at least this many pixels, at n/8 of full size.
        exact: decode in full, then scale by area; slower, and free of the DCT scaling's error.
        alpha: what shows through transparency: a white or a black ground, or `drop` the channel.
        max_pixels: a larger picture is `decode.bomb`; above the default, Pillow's own limit holds
            for some formats.
    """

    min_side: int = Field(default=256, ge=16)
    exact: bool = False
    alpha: Literal["white", "black", "drop"] = "white"
    max_pixels: int = Field(default=178_956_970, ge=1)
    video: VideoSettings = VideoSettings()


class PostSettings(Settings):
    """How the posts of a social-media dump are brought in, and joined to their media.

    Attributes:
        dump: the format of the input's metadata (see `imgbatch dumps`); `auto` finds it by looking,
            and brings nothing where there is none; `none` does not look.
        media_column: of a table of posts, the column of paths or URLs of media.
        id_column: of a table of posts, the column of post ids.
        text: keep what posts say.
        names: keep the names of authors; their ids are kept in any case, but for names that
            stand for ids.
        pseudonyms: put keyed hashes in place of the ids of authors and posts.
        removed: what becomes of a post that a later export does not hold any more: `keep` it as it
            was, `mark` it as removed, or `forget` it, as `imgbatch forget` does: with its sources
            and all history of the dataset; no later export brings it back, but for a table of
            another name. What another input has stays.
        keep_days: posts of INPUT older than so many days are deleted by `imgbatch retain`; a run
            records what its recipe says, though nothing else is to be done. Of a post that several
            inputs have, the shortest holds.
    """

    dump: str = Field(default="auto", min_length=1)
    media_column: str | None = None
    id_column: str | None = None
    text: bool = True
    names: bool = True
    pseudonyms: bool = False
    removed: Literal["keep", "mark", "forget"] = "keep"
    keep_days: int | None = Field(default=None, ge=1)

    @property
    def form(self) -> str:
        """The format that is asked for: who names a column of media has a table."""
        return "table" if self.dump == "auto" and self.media_column else self.dump


class Recipe(Settings):
    """What a run computes.

    Attributes:
        media: how media are decoded.
        analyzers: each analyzer's settings by name.
        posts: how the posts of a dump are brought in; no part of any fingerprint.
    """

    media: MediaSettings = MediaSettings()
    analyzers: dict[str, Any] = Field(min_length=1)
    posts: PostSettings = PostSettings()


class Limits(Settings):
    """What a worker may use. Never changes a row, so it is no part of a recipe or fingerprint.

    Attributes:
        threads: decoding threads of a worker, and what a model computes with on a CPU; without
            Ray those of all its processes together.
        device: what models run on: `auto` takes CUDA where there is some; `cpu`; `cuda`, which
            is an error where there is none.
        torch_compile: have torch compile a model first, on CUDA; takes a minute at each worker's
            start.
        fetch_threads: threads of a worker that fetch ahead from buckets: as many requests are under
            way as a bucket's latency takes to keep the decoding threads fed.
        decoded_bytes: decoded pixels in flight, over all threads of a worker.
        fetched_bytes: an object up to this size is held in memory, a larger one read from its file.
        spooled_bytes: a larger object of a bucket, or member of a plain tar in one, goes to a
            temporary file up to this size; beyond, it is read from the bucket by ranges, once for
            its digest and once to decode it.
        shard_sources, shard_bytes: where the manifest cuts; fixed once a shard is frozen.
        commit_seconds: the driver commits finished shards this often.
        lock_seconds: a run that gives no sign of life for so long counts as dead, and the next one
            takes the dataset over; it gives six in that time.
        fetch_attempts: how often a source's bytes are asked for, a listing is begun or a part is
            written where the store fails in a way that may pass.
        fetch_seconds: no further attempt is made after that long.
        source_seconds: a source of up to 64 MiB that is worked on for longer hangs; a larger one
            may take longer in proportion. Not where a run is one process.
        worker_memory: bytes of its own that a worker process may hold; 0: as many as there are. Not
            where a run is one process.
        connect_seconds: a bucket's server that takes no connection for so long is asked anew.
        request_seconds: the same for one request, its body included: an object of 64 MiB comes
            whole within it, or not at all.
        request_attempts: how often one request is sent before it counts as one failed attempt;
            none is sent again after 30 seconds.
        cluster_seconds: a run that has had no worker for so long ends: the cluster has no room, or
            its machines do not come. On Ray only.
        outage_sources: a shard of at least so many sources, none of which can be fetched (denied,
            failed, timeout), ends the run and is not committed; 0: it is.
        progress_seconds: a run writes how far it is into the dataset this often, and looks whether
            it is to end.
        price_per_hour: what an hour of the whole run costs, in any currency; 0: not known.
        price_per_worker_hour: the same of each worker; both are added up.
        model_cache: the folder where a machine keeps weights.
        model_mirror: the store that has weights, as `imgbatch models push` put them there; where
            one is set, they come from nowhere else.
        pseudonym_key_file: the file whose bytes are the key of pseudonyms of authors and posts.
        schedule_folder: where the schedules of this machine lie.
    """

    threads: int = Field(default_factory=lambda: len(os.sched_getaffinity(0)), ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    torch_compile: bool = False
    fetch_threads: int = Field(default=32, ge=1)
    decoded_bytes: int = Field(default=256 * 2**20, ge=2**20)
    fetched_bytes: int = Field(default=64 * 2**20, ge=2**16)
    spooled_bytes: int = Field(default=2**30, ge=0)
    shard_sources: int = Field(default=1000, ge=1)
    shard_bytes: int = Field(default=512 * 2**20, ge=1)
    commit_seconds: float = Field(default=5.0, gt=0)
    lock_seconds: float = Field(default=60.0, gt=0)
    fetch_attempts: int = Field(default=4, ge=1)
    fetch_seconds: float = Field(default=120.0, gt=0)
    source_seconds: float = Field(default=300.0, gt=0)
    worker_memory: int = Field(default=0, ge=0)
    connect_seconds: float = Field(default=5.0, gt=0)
    request_seconds: float = Field(default=60.0, gt=0)
    request_attempts: int = Field(default=3, ge=1)
    cluster_seconds: float = Field(default=900.0, gt=0)
    outage_sources: int = Field(default=20, ge=0)
    progress_seconds: float = Field(default=3.0, gt=0)
    price_per_hour: float = Field(default=0.0, ge=0)
    price_per_worker_hour: float = Field(default=0.0, ge=0)
    model_cache: str = Field(default="~/.cache/imgbatch", min_length=1)
    model_mirror: str = ""
    pseudonym_key_file: str = ""
    schedule_folder: str = Field(default="~/.local/state/imgbatch/schedules", min_length=1)


ENVIRONMENT_PREFIX = "IMGBATCH_"


def read_limits(environment: Mapping[str, str] | None = None) -> Limits:
    """Read limits from variables such as IMGBATCH_THREADS.

    Raises:
        SettingsError: a variable with our prefix is unknown or its value does not fit.
    """
    environment = os.environ if environment is None else environment
    found = {
        key.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for key, value in environment.items()
        if key.startswith(ENVIRONMENT_PREFIX)
    }
    return check(Limits, found, where="environment", prefix=ENVIRONMENT_PREFIX)


def passed_on() -> dict[str, str]:
    """Return the variables with our prefix, for a run on other machines; `read_limits` checks."""
    return {name: v for name, v in os.environ.items() if name.startswith(ENVIRONMENT_PREFIX)}


def variables(*names: str) -> dict[str, str]:
    """Return those of some variables that are set to anything: such as AWS_REGION.

    They are a cloud's own, and mean here what they mean to its own programs.
    """
    return {name: value for name in names if (value := os.environ.get(name, ""))}


def inherited(more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a program that we start: our own, and more."""
    return {**os.environ, **more}


# Variables that hold a secret say so in their names; those that say where one lies hold none.
_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|PRIVATE|API_?KEY", re.IGNORECASE)
_PLACE = re.compile(r"_(FILE|PATH|URI|URL|DIR|MODE)$", re.IGNORECASE)


def secret_values(environment: Mapping[str, str] | None = None) -> list[str]:
    """Return the values of variables that hold secrets, for whoever must never print one."""
    environment = os.environ if environment is None else environment
    return [
        value.strip()
        for name, value in environment.items()
        if _SECRET.search(name) and not _PLACE.search(name)
    ]


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with imgbatch."""
    folder = resources.files("imgbatch") / "recipes"
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def recipe_text(name_or_path: str) -> str:
    """Return the text of a recipe that comes with imgbatch, or of a `.toml` file.

    Raises:
        SettingsError: no such recipe, with the names that are near; or the file cannot be read.
    """
    if name_or_path in recipe_names():
        return (resources.files("imgbatch") / "recipes" / f"{name_or_path}.toml").read_text("utf-8")
    if not name_or_path.endswith(".toml"):
        raise SettingsError(
            f"no recipe {name_or_path!r}{nearest(name_or_path, recipe_names())}",
            "Give the name of a recipe, or the path of a file that ends in .toml.",
        )
    return read_file(name_or_path)


def read_file(path: str) -> str:
    """Return the text of a recipe file.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"recipe {path} cannot be read: {error}") from error


def read_recipe(text: str, *, settings_of: Callable[[str], type[Settings]]) -> Recipe:
    """Read a recipe; `settings_of` gives an analyzer's settings class by name.

    Raises:
        SettingsError: not TOML, an unknown analyzer or key, or a value out of range.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"recipe is not valid TOML: {error}") from error
    return recipe_of(raw, settings_of=settings_of)


def recipe_of(raw: Mapping[str, Any], *, settings_of: Callable[[str], type[Settings]]) -> Recipe:
    """Check a recipe that is read already: from TOML, or from the record of a run.

    Raises:
        SettingsError: an unknown analyzer or key, or a value out of range.
    """
    problems: list[SettingsError] = []
    with _gathered(problems):
        recipe = check(Recipe, raw, where="recipe")
    analyzers = {}
    given = raw.get("analyzers")
    for name, table in given.items() if isinstance(given, dict) else ():
        with _gathered(problems):
            analyzers[name] = check(settings_of(name), table, where=f"[analyzers.{name}]")
    if problems:
        remedies = dict.fromkeys(problem.remedy for problem in problems)
        raise SettingsError("; ".join(map(str, problems)), "\n       ".join(remedies))
    return Recipe(media=recipe.media, analyzers=analyzers, posts=recipe.posts)


@contextlib.contextmanager
def _gathered(problems: list[SettingsError]) -> Iterator[None]:
    """Keep what is wrong with one table, so that all tables of a recipe are told at once."""
    try:
        yield
    except SettingsError as error:
        problems.append(error)


def check(kind: type[T], raw: Any, *, where: str, prefix: str = "", remedy: str | None = None) -> T:
    """Validate one settings table; every problem in it is told at once.

    Raises:
        SettingsError: with one line per problem.
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        lines = [_problem(kind, problem, prefix) for problem in error.errors()]
        raise SettingsError(f"{where}: " + "; ".join(lines), remedy) from error


def _problem(kind: type[Settings], problem: Any, prefix: str) -> str:
    if not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ")
    *path, last = problem["loc"]
    shown = ".".join(str(p) for p in (*path, last))
    if prefix:
        shown = prefix + shown.upper()
    if problem["type"] == "missing":
        return f"{shown} is missing"
    if problem["type"] != "extra_forbidden":
        return f"{shown} = {problem['input']!r}: {problem['msg']}"
    for step in path:
        kind = _within(kind, step)
    known = [prefix + (name.upper() if prefix else name) for name in kind.model_fields]
    word = shown if prefix else str(last)
    return f"unknown key {shown!r}{nearest(word, known)}"


def _within(kind: Any, step: Any) -> Any:
    """Return what a key of a settings class holds, or what any key of a mapping of them does."""
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    held = kind.model_fields[str(step)].annotation
    # A key that may be left out holds `X | None`.
    one_of = [one for one in get_args(held) if hasattr(one, "model_fields")]
    return one_of[0] if one_of and get_origin(held) is not dict else held


def nearest(word: str, known: list[str]) -> str:
    """Return `; did you mean ...?` for a word that is close to known ones, else what is known."""
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(repr(c) for c in close)}?"
    return f"; known: {', '.join(known)}" if known else "; there are none"
