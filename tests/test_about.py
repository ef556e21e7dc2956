"""`imgbatch analyzers`: what exists, what each needs; for people, and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from imgbatch import analyzers
from imgbatch.models.registry import find


def shown(*words: str) -> str:
    command = [sys.executable, "-m", "imgbatch", "analyzers", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


@pytest.fixture(scope="module")
def in_words() -> str:
    return "\n" + shown()


def test_analyzers_tell_what_each_needs() -> None:
    records = map(json.loads, shown("--json").splitlines())
    told = {record["name"]: record for record in records}
    assert set(told) == set(analyzers.available())
    keys = ("min_side", "gpu", "gpu_if_any", "memory", "packages")
    needs = {name: [told[name][key] for key in keys] for name in told}
    assert needs["quality"] == [0, 0, 0, 0, []]
    assert needs["faces"] == [0, 0, 0, 2**26, ["onnxruntime"]]
    assert needs["classify"] == [232, 0, 1 / 8, 2**29, ["torch", "torchvision", "onnxruntime"]]
    for name, model in (("faces", "ultraface-rfb-320"), ("classify", "resnet50")):
        (weights,) = told[name]["weights"]
        known = find(model)
        assert weights == {
            "name": model,
            "sha256": known.sha256,
            "licence": known.licence.name,
            "size": known.size,
        }
    assert told["quality"]["weights"] == []


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("quality", ["nothing"]),
        (
            "faces",
            [
                "pictures in full size, which are decoded once more for it",
                "67.1 MB of memory beyond what decoding takes",
                "weights: ultraface-rfb-320 (1.27 MB, `imgbatch models pull ultraface-rfb-320`)",
                "packages: onnxruntime (`scripts/setup models`)",
            ],
        ),
        (
            "classify",
            [
                "pictures of at least 232 pixels",
                "537 MB of memory beyond what decoding takes",
                "0.125 of a GPU, where there is one",
                "weights: resnet50 (103 MB, `imgbatch models pull resnet50`)",
                "packages: torch, torchvision, onnxruntime (`scripts/setup models`)",
            ],
        ),
    ],
)
def test_what_an_analyzer_needs_is_said_in_words_before_its_columns(
    in_words: str, name: str, needs: list[str]
) -> None:
    lines = in_words.partition(f"\n{name}: ")[2].splitlines()[2:]
    assert [line.removeprefix("  needs ") for line in lines[: len(needs)]] == needs
    assert "needs " not in lines[len(needs)]
