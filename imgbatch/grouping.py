"""A dataset and a grouper enter; committed labels leave, or an error and nothing changed.

    lock -> tables as they are -> the grouper -> a look at its labels -> number -> commit

The lock is held all the while: what was read is still so when the labels are committed. The number
is taken last, so that a grouping that fails, or is killed at its work, leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from imgbatch import __version__, groupers
from imgbatch.dataset import MANIFEST, Dataset, groups
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.lock import RunLock
from imgbatch.dataset.ordered import Ordered, ascends, here, in_order
from imgbatch.dataset.scratch import scratch_folder
from imgbatch.errors import FencedError, GroupError, ImgbatchError, SettingsError
from imgbatch.models import weights
from imgbatch.report.words import shown
from imgbatch.settings import check
from imgbatch.summary import new_run, now
from imgbatch.tables import KEY_COLUMNS, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from imgbatch.analyzers import Column
    from imgbatch.dataset.ordered import Spread
    from imgbatch.settings import Limits

LABEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")
FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a grouping is asked for.

    Attributes:
        grouper: its name.
        settings: of it, as `--set` gives them.
        label: of this grouping, where there are several by one grouper; "" for the plain one.
        anew: take no former labels over.
        engine: where it works, for the record.
    """

    dataset: str
    grouper: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    anew: bool = False
    engine: str = "inline"

    @property
    def name(self) -> str:
        """The name of its table below `groups/`."""
        return f"{self.grouper}-{self.label}" if self.label else self.grouper


def settings_of(texts: Sequence[str]) -> dict[str, Any]:
    """Read settings as `--set` gives them: each KEY=VALUE, the value as TOML or as a plain word.

    Raises:
        SettingsError: one has no `=`, or comes twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key in found:
            said = "comes twice" if equals else "is not KEY=VALUE"
            raise SettingsError(f"--set {text!r} {said}", "See `imgbatch groupers`.")
        try:
            found[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[key] = value
    return found


def columns_of(labels: pa.Table, module: groupers.Module) -> tuple[Column, ...]:
    """Return the columns of a grouper's table: the keys that its labels have, then its own."""
    keys = [column for column in KEY_COLUMNS if column.name in labels.column_names]
    return (*keys, *module.COLUMNS)


def group(
    wish: Wish, limits: Limits, *, spread: Spread = here, say: Callable[[str], None]
) -> dict[str, Any]:
    """Label the rows of a dataset's tables and commit the labels; return the grouping's record.

    Args:
        wish: what is asked for.
        limits: how long a lock lasts.
        spread: where a grouper's heavy work goes.
        say: is told what is going on.

    Raises:
        SettingsError: no such grouper or setting.
        GroupError: the tables do not hold what is to be grouped.
        BusyError, FencedError: another run is at work on the dataset, or took it over.
    """
    module = groupers.load(wish.grouper)
    settings = check(
        module.Settings,
        dict(wish.settings),
        where=f"--set of {wish.grouper}",
        remedy="See `imgbatch groupers`.",
    )
    if wish.label and not LABEL.fullmatch(wish.label):
        raise SettingsError(
            f"--name {wish.label!r} is no name for labels",
            "Small letters, digits, - and _, at most 40, beginning with a letter or digit.",
        )
    weights.adopt(limits)
    dataset = Dataset.open(wish.dataset)
    run = new_run()
    lock = RunLock.take(dataset.store, run, expires=limits.lock_seconds)
    try:
        with _told(dataset, wish, run), scratch_folder() as folder:
            work = _Work(dataset, module, settings, wish, run, Path(folder))
            labels, made = work.done(spread, say)
            lock.check()
            return work.committed(labels, made)
    finally:
        lock.release()


@contextlib.contextmanager
def _told(dataset: Dataset, wish: Wish, run: str) -> Iterator[None]:
    """Say that a grouping is at work, and no more of it when it fails."""
    name = groups.record_name(run)
    told = {"run": run, "name": wish.name, "grouper": wish.grouper, "status": "running"}
    started = datetime.now(UTC).isoformat(timespec="seconds")
    dataset.store.put(name, json.dumps({**told, "started": started}, indent=1).encode())
    try:
        yield
    except BaseException:
        # What cannot be deleted says that it is running, and its lock says that it is not.
        with contextlib.suppress(ImgbatchError, OSError):
            dataset.store.delete(name)
        raise


class _Work:
    """One grouping at work."""

    def __init__(
        self,
        dataset: Dataset,
        module: groupers.Module,
        settings: Any,
        wish: Wish,
        run: str,
        folder: Path,
    ) -> None:
        self._dataset = dataset
        self._module = module
        self._settings = settings
        self._wish = wish
        self._run = run
        self._folder = folder
        self._files: list[str] = []
        self._start = time.monotonic()
        self._manifest = dataset.refreshed(MANIFEST)
        self._looked = self._manifest.version

    def done(self, spread: Spread, say: Callable[[str], None]) -> tuple[pa.Table, dict[str, Any]]:
        """Return the labels, in order, and what they are made of."""
        module, dataset, wish = self._module, self._dataset, self._wish
        sorting, scratch, files = (self._folder / n for n in ("sorted", "scratch", "files"))
        for folder in (sorting, scratch, files):
            folder.mkdir()
        tables = Ordered(dataset, module.READS(self._settings), sorting, spread=spread)
        others = self._settings.model_dump(exclude_defaults=True)
        made: dict[str, Any] = {
            "run": self._run,
            "grouper": wish.grouper,
            "version": module.VERSION,
            "settings": self._settings.model_dump(mode="json"),
            "asked": {key: value for key, value in wish.settings.items() if key in others},
            "tables": tables.read(),
            "engine": wish.engine,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "imgbatch": __version__,
        }
        there = self._there()
        last = None if wish.anew or there is None else self._former(there, made)
        if there is not None and (others := self._others(there, made)):
            say(
                f"labels in {groups.path_of(wish.name)} will be replaced by those of other "
                f"settings: {'; '.join(others)}"
            )
        context = groupers.Context(
            former=groups.read(dataset, wish.name) if last else None,
            folder=scratch,
            say=say,
            write=self._keep,
            read=lambda file: groups.read_file(dataset, wish.name, last, file) if last else None,
        )
        labels = _checked(module.group(tables, self._settings, context), module)
        return labels, made | groups.counted(labels, module.COLUMNS[0].name)

    def _there(self) -> dict[str, Any] | None:
        """Return the record of the labels that will be replaced; None where there are none."""
        return groups.record(self._dataset.refreshed(groups.path_of(self._wish.name)))

    def _former(self, last: dict[str, Any], made: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the record of labels that are to stay as they are, if they are to.

        Raises:
            GroupError: they would move.
        """
        fitted_by = getattr(self._module, "FITTED_BY", None)
        if fitted_by is None:
            return None if groups.differences(last, made) else last
        read = self._module.Settings.model_validate
        if differs := groups.differences(last, made, lambda told: fitted_by(read(told))):
            raise GroupError(
                f"{groups.path_of(self._wish.name)} holds labels that were fitted with "
                f"{'; '.join(differs)}: fitted again, they would move",
                "Nothing was written. Give --anew to let them move, or --name NAME to keep the new "
                "ones beside them.",
            )
        return last

    def _others(self, last: Mapping[str, Any], made: Mapping[str, Any]) -> list[str]:
        """Return in words which settings are not those that labels were made with."""
        # Of a setting that came since, they had what is the default now.
        plain = self._module.Settings().model_dump(mode="json")
        before, now = plain | last["settings"], made["settings"]
        return [
            f"{name} {shown(before[name])} -> {shown(value)}"
            for name, value in now.items()
            if before[name] != value
        ]

    def _keep(self, name: str, data: bytes) -> None:
        assert FILE.fullmatch(name), f"{name!r} is no name for a file beside labels"
        (self._folder / "files" / name).write_bytes(data)
        self._files = sorted({*self._files, name})

    def committed(self, labels: pa.Table, made: dict[str, Any]) -> dict[str, Any]:
        """Commit; return the whole record."""
        dataset = self._dataset
        number = take_number(dataset, self._run)
        # Not ours alone since we looked: what was read may not be so any more.
        if self._manifest.version != self._looked + 1:
            raise FencedError("another run committed to this dataset while it was grouped")
        made |= {"number": number, "files": self._files, "finished": now()}
        made["seconds"] = round(time.monotonic() - self._start, 3)
        groups.commit(dataset, self._wish.name, labels, made, self._folder / "files")
        told = {**made, "name": self._wish.name, "status": "finished"}
        dataset.store.put(groups.record_name(self._run), json.dumps(told, indent=1).encode())
        return told


def _checked(labels: pa.Table, module: groupers.Module) -> pa.Table:
    """Return labels in the order of their keys, once they are as a grouper promises them."""
    columns = columns_of(labels, module)
    wanted = schema(columns)
    assert labels.schema.names == wanted.names, f"{labels.schema.names} are not {wanted.names}"
    labels = in_order(labels).cast(wanted)
    keys = [c.name for c in columns[: -len(module.COLUMNS)] if c.name != "version"]
    key = labels[keys[-1]]
    assert ascends(key) or pc.count_distinct(key).as_py() == labels.num_rows, f"{keys[-1]} repeats"
    return labels
