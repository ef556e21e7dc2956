"""The tree of errors: what is drawn, what is coded, what travels between processes."""

from __future__ import annotations

import pickle
import re

import pytest

from imgbatch import errors
from imgbatch.errors import DecodeError, ImgbatchError, RunError, SourceError

ALL = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ImgbatchError) and kind is not ImgbatchError
]
RUN_ERRORS = [kind for kind in ALL if issubclass(kind, RunError) and kind is not RunError]
# Kinds of StorageError say more and share its code: scripts have one thing to do, run again later.
OWN_CODES = [kind.exit_code for kind in RUN_ERRORS if "exit_code" in vars(kind)]
SOURCE_ERRORS = [kind for kind in ALL if issubclass(kind, SourceError) and kind is not SourceError]


def drawn_tree() -> dict[str, tuple[str, int | None]]:
    """Read `name: (parent, exit code)` from the drawing in the module's docstring."""
    drawing = re.compile(r"^    ((?:\|   |    )*)\+-- (\w+) +(\d+)?", re.MULTILINE)
    path = ["ImgbatchError"]
    tree = {}
    for indent, name, code in drawing.findall(errors.__doc__ or ""):
        depth = len(indent) // 4 + 1
        path[depth:] = [name]
        tree[name] = (path[depth - 1], int(code) if code else None)
    return tree


def test_the_drawn_tree_is_the_tree_of_classes() -> None:
    coded = {
        kind.__name__: (
            kind.__bases__[0].__name__,
            kind.exit_code if issubclass(kind, RunError) and kind is not RunError else None,
        )
        for kind in ALL
    }
    assert drawn_tree() == coded


def test_every_run_error_has_its_own_exit_code() -> None:
    assert len(set(OWN_CODES)) == len(OWN_CODES) > 0
    reserved = {0, 1, 2, 130}  # done, a bug, wrong command line, interrupted
    assert not reserved & set(OWN_CODES)
    shared = [kind for kind in RUN_ERRORS if "exit_code" not in vars(kind)]
    parents = {kind.__bases__[0] for kind in shared}
    assert parents == {errors.StorageError, errors.JobError, errors.CloudError}


def test_the_readme_lists_every_exit_code_and_no_other(readme: str) -> None:
    listed = [int(code) for code in re.findall(r"^\| (\d+) \|", readme, re.MULTILINE)]
    assert listed == [0, 1, 2, *sorted(OWN_CODES), 130]


@pytest.mark.parametrize("kind", RUN_ERRORS)
def test_a_run_error_says_what_to_do(kind: type[RunError]) -> None:
    assert kind("what happened", "do this").remedy == "do this"
    assert kind("what happened").remedy.endswith(".")
    assert str(kind("what happened", "do this")) == "what happened"


@pytest.mark.parametrize("kind", [SourceError, *SOURCE_ERRORS])
def test_a_source_error_keeps_code_and_message_between_processes(kind: type[SourceError]) -> None:
    arrived = pickle.loads(pickle.dumps(kind("decode.truncated", "12 bytes are missing")))
    assert type(arrived) is kind
    assert (arrived.code, arrived.stage, str(arrived)) == (
        "decode.truncated",
        "decode",
        "12 bytes are missing",
    )


@pytest.mark.parametrize("kind", RUN_ERRORS)
def test_a_run_error_keeps_its_remedy_between_processes(kind: type[RunError]) -> None:
    arrived = pickle.loads(pickle.dumps(kind("what happened", "do this")))
    assert type(arrived) is kind
    assert (str(arrived), arrived.remedy) == ("what happened", "do this")


@pytest.mark.parametrize("kind", SOURCE_ERRORS)
def test_every_source_error_documents_codes_of_its_own_stage(kind: type[SourceError]) -> None:
    stage = kind.__name__.removesuffix("Error").lower()
    codes = re.findall(r"\b([a-z]+)\.[a-z-]+\b", kind.__doc__ or "")
    assert codes
    assert set(codes) == {stage}


def test_scope_says_what_stops() -> None:
    assert DecodeError("decode.empty", "no bytes").scope == "source"
    assert all(kind.scope == "run" for kind in RUN_ERRORS)
