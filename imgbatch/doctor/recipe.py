"""What a recipe needs beside pixels: its analyzers' packages, and their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch import analyzers, settings
from imgbatch.doctor.tries import settings_wrong
from imgbatch.errors import MissingExtraError, RunError, SettingsError, WeightsError
from imgbatch.ready import PACKAGE
from imgbatch.ready import look as look_at_weights
from imgbatch.storage.buckets import Finding
from imgbatch.tables import table_specs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.settings import Limits

HOW = {"there": "on this machine", "mirror": "in the mirror", "url": "to be downloaded first"}


def look(name_or_path: str) -> Iterator[Finding]:
    """Yield whether a recipe can be read, and a line for each file of weights that it needs."""
    try:
        limits = settings.read_limits()
    except SettingsError:
        return  # said already, of this machine
    try:
        yield from _look(name_or_path, limits)
    except MissingExtraError as error:
        yield Finding("versions", "failed", str(error), error.remedy)
    except WeightsError as error:
        yield Finding("weights", "failed", str(error), error.remedy)
    except RunError as error:
        yield settings_wrong(error)


def _look(name_or_path: str, limits: Limits) -> Iterator[Finding]:
    text = settings.recipe_text(name_or_path)
    recipe = settings.read_recipe(text, settings_of=analyzers.settings_of)
    tables = [spec.name for spec in table_specs(recipe)]
    yield Finding("recipe", "ok", f"{name_or_path} fills {', '.join(tables)}")
    for each in look_at_weights(recipe, limits):
        if each.how == "lacking":
            check = "packages" if each.name == PACKAGE else "weights"
            who = "" if each.name == PACKAGE else f"of {', '.join(each.analyzers)}: "
            yield Finding(check, "failed", f"{who}{each.error}", each.remedy)
        else:
            said = f"{each.name} of {', '.join(each.analyzers)}: {HOW[each.how]}"
            yield Finding("weights", "ok", said)
