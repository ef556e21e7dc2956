"""A fitted model and its record in, one file out, and back: skops' zip archive, and one name more.

Decision, 2026-11: skops, not pickle: to load a file must not run what somebody put into it. It
loads what it knows and refuses the rest; trees it leaves to us, because their nodes point to each
other without bounds, so they are looked through here. Drawback: a model of another version of
scikit-learn may not load.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imgbatch.errors import LabelsError

RECORD = "imgbatch.json"
TREE = "sklearn.tree._tree.Tree"
# Light compression: a forest's nodes shrink to a sixth in a second.
LEVEL = 1
LEAF = -1
# What a model of `learners.kinds` is made of. Others may hold trees where nobody looks.
PARTS = {
    "DecisionTreeClassifier",
    "GaussianNB",
    "LinearSVC",
    "LogisticRegression",
    "OneVsRestClassifier",
    "Pipeline",
    "RandomForestClassifier",
    "StandardScaler",
}


class _Needed(BaseModel):
    """What of a record a model cannot be used without; `imgbatch.fitting` writes more.

    Attributes:
        table: that it learned from, below `tables/`.
        column: of that table, with the vectors.
        fingerprint: of the rows that it learned from.
        dimensions: numbers of a vector.
    """

    model_config = ConfigDict(strict=True)

    table: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    column: Annotated[str, Field(min_length=1)]
    fingerprint: Annotated[str, Field(min_length=1)]
    dimensions: Annotated[int, Field(ge=1)]


@dataclass(frozen=True, slots=True)
class Learned:
    """A fitted model.

    Attributes:
        estimator: of scikit-learn.
        record: how it was fitted; see `imgbatch.fitting`.
        sha256: of its file.
    """

    estimator: Any
    record: dict[str, Any]
    sha256: str


def dump(estimator: Any, record: dict[str, Any]) -> bytes:
    """Return the file of a fitted model."""
    import skops.io  # noqa: PLC0415 - slow to import

    file = io.BytesIO()
    skops.io.dump(estimator, file, compression=zipfile.ZIP_DEFLATED, compresslevel=LEVEL)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(RECORD), json.dumps(record, indent=1))
    return file.getvalue()


def load(path: str, sha256: str = "") -> Learned:
    """Load a model.

    Args:
        path: of its file on this machine.
        sha256: what its digest must be; "": anything.

    Raises:
        LabelsError: there is none, it is another, it is damaged, or holds what no model holds.
    """
    import skops.io  # noqa: PLC0415 - slow to import
    from skops.io.exceptions import UntrustedTypesFoundException  # noqa: PLC0415 - a second to load, for few commands

    data = _read(path)
    found = hashlib.sha256(data).hexdigest()
    if sha256 and found != sha256:
        raise LabelsError(f"{path} has sha256 {found}, not {sha256}", "Fit the model anew.")
    try:
        record = _record(data)
        estimator = skops.io.loads(data, trusted=[TREE])
        _look_through(estimator, record["dimensions"])
    except UntrustedTypesFoundException as error:
        raise LabelsError(
            f"{path} holds more than a model of imgbatch: {str(error).splitlines()[0]}",
            "Use files of `imgbatch fit` only.",
        ) from error
    except Exception as error:
        raise LabelsError(
            f"{path} is no model that can be loaded: {type(error).__name__}: {error}",
            "Fit it anew with `imgbatch fit`, by this version of imgbatch and scikit-learn.",
        ) from error
    return Learned(estimator, record, found)


def digest_of(path: str) -> str:
    """Return the digest of a model's file.

    Raises:
        LabelsError: there is no such file.
    """
    return hashlib.sha256(_read(path)).hexdigest()


def read_record(path: str) -> dict[str, Any]:
    """Return how a model was fitted, without loading it.

    Raises:
        LabelsError: there is no such file, or it is no model.
    """
    data = _read(path)
    try:
        return _record(data)
    except Exception as error:  # a file of anybody's: zipfile alone raises a dozen kinds
        raise LabelsError(f"{path} is no model: {error}", "`imgbatch fit` makes one.") from error


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise LabelsError(
            f"the model {path} cannot be read: {error}", "`imgbatch fit` makes one."
        ) from error


def _record(data: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found: dict[str, Any] = json.loads(archive.read(RECORD))
    try:
        _Needed.model_validate(found)
    except ValidationError as error:
        [first, *_] = error.errors()
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"its {RECORD}{where and f', {where}'}: {first['msg']}") from error
    return found


def _look_through(estimator: Any, dimensions: int) -> None:
    """Refuse trees whose nodes point beyond the tree or the vector, and what is no part of ours."""
    for part in parts_of(estimator):
        if type(part).__name__ not in PARTS:
            raise ValueError(f"no model has a {type(part).__name__}")
        tree = getattr(part, "tree_", None)
        if tree is None:
            continue
        if not 0 < tree.node_count <= tree.capacity:
            raise ValueError("a tree points beyond itself")
        children = np.concatenate([tree.children_left, tree.children_right])
        inner = tree.children_left != LEAF
        # Nodes lie before their children, so that no way through a tree comes back.
        later = np.tile(np.arange(tree.node_count), 2)
        features = tree.feature[inner]
        if (
            ((children != LEAF) & (children <= later)).any()
            or (children >= tree.node_count).any()
            or (features < 0).any()
            or (features >= dimensions).any()
        ):
            raise ValueError("a tree points beyond itself")


def parts_of(estimator: Any) -> list[Any]:
    """Return an estimator and all that it holds."""
    held = [*getattr(estimator, "estimators_", [])]
    held += [part for _, part in getattr(estimator, "steps", [])]
    return [estimator, *(part for one in held for part in parts_of(one))]
