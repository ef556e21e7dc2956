"""What the commands of the model store found enters; the lines that people read leave."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imgbatch.models import cache
from imgbatch.models.registry import Model
from imgbatch.models.terms import OWN, terms
from imgbatch.models.weights import file_of
from imgbatch.report.words import data_size
from imgbatch.storage.secrets import scrub

if TYPE_CHECKING:
    from imgbatch.models.audit import Kept
    from imgbatch.models.mirror import Pushed
    from imgbatch.models.registry import Licence
    from imgbatch.models.weights import Had, Wanted

HOW = {"there": "was there already", "mirror": "came from the mirror", "url": "came from its URL"}
WHOLE_DIGEST = 64


def record(model: Model) -> dict[str, Any]:
    """Return what is known of a model, and whether its weights are here."""
    return {**model.model_dump(mode="json"), "here": cache.path_of(file_of(model)).is_file()}


def cells(model: Model) -> tuple[str, ...]:
    """Return a model's row in the table of all."""
    here = "yes" if record(model)["here"] else ""
    licence = f"{model.licence.name}{' *' if model.licence.limits else ''}"
    return (model.name, model.task, str(model.input), _size(model), here, licence)


def shown(model: Model) -> list[str]:
    """Return all that is known of a model."""
    whole = len(model.sha256) == WHOLE_DIGEST
    path = cache.path_of(file_of(model))
    lies = "on this machine" if path.is_file() else "not on this machine; it would lie"
    return [
        f"{model.name}: {model.task}, {model.loader} {model.builder} {model.variant}".rstrip(),
        f"  from      {model.url}",
        f"  size      {_size(model)}",
        f"  sha256    {model.sha256}{'' if whole else '... (published so)'}",
        f"  input     {_input(model)}",
        *_licence(model.licence),
        f"  here      {lies} at {path}",
    ]


def pulled(name: str, wanted: Wanted, had: Had) -> list[str]:
    """Return how weights came here."""
    damaged = ["  what lay in the cache was damaged, and was replaced"] if had.damaged else []
    return [f"{name} {HOW[had.how]}: {had.path}", *damaged, *_terms(wanted)]


def pushed(name: str, wanted: Wanted, there: Pushed) -> list[str]:
    """Return where weights lie in a store, and how a recipe names those of the user's own."""
    said = "is in the store now" if there.sent else "was in the store already"
    return [f"{name} {said}: {there.address}", *_terms(wanted), *_own(wanted)]


def allowed(wanted: Wanted) -> dict[str, str]:
    """Return what a user must know of a licence for a record, as a run's says it."""
    licence = terms(wanted)
    return {"licence": licence.name, "limits": licence.limits}


def verified(found: list[Kept]) -> list[str]:
    """Return the files of the cache, and how many are whole."""
    if not found:
        return [f"no weights in {cache.folder()}"]
    lines = [f"  {k.state:<10}  {data_size(k.size):>9}  {k.path}" for k in found]
    whole = [k for k in found if k.state == "whole"]
    total = data_size(sum(k.size for k in whole))
    return [*lines, f"{len(whole)} of {len(found)} are whole ({total})"]


def _size(model: Model) -> str:
    return data_size(model.size) if model.size else "not told"


def _input(model: Model) -> str:
    if not model.resize:
        return f"{model.input} pixels"
    return (
        f"{model.input} x {model.input} pixels, the centre of a shorter side of {model.resize}, "
        f"{model.interpolation}"
    )


def _licence(licence: Licence) -> list[str]:
    lines = [f"  licence   {licence.name}: {licence.url}"]
    return [*lines, f"  limits    {licence.limits}"] if licence.limits else lines


def _terms(wanted: Wanted) -> list[str]:
    """Return what a user must know of a licence, whenever weights are moved."""
    licence = terms(wanted)
    return [] if licence == OWN else _licence(licence)


def _own(wanted: Wanted) -> list[str]:
    """Return how a recipe names weights of the user's own."""
    if isinstance(wanted, Model):
        return []
    # JSON's strings are TOML's: a quote or backslash of a path stays what it is.
    url = json.dumps(scrub(wanted.url), ensure_ascii=False)
    return [f'  in a recipe: {{ url = {url}, sha256 = "{wanted.sha256}" }}']
