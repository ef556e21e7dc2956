"""How many workers each machine is to have, by what they need: no Ray in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgbatch.analyzers import classify, clip, embed, faces
from imgbatch.cloud.bids import gpu_share
from imgbatch.cloud.ordering import uses_gpu
from imgbatch.cores import MEMORY, workers_on
from imgbatch.models.nets import SHARE
from imgbatch.settings import Recipe
from jobs.places import Machine, Need, need_of, placed, told

GIB = 2**30


def test_each_machine_is_cut_by_its_own_cores() -> None:
    machines = [Machine("a", 4), Machine("b", 1), Machine("c", 7), Machine("head", 0)]
    one_each = {"a": [1] * 4, "b": [1], "c": [1] * 7}
    assert placed(machines, Need(), 100) == one_each
    networks = Need(memory=1)
    roomy = [Machine(m.node, m.cores, memory=64 * GIB) for m in machines]
    assert placed(roomy, networks, 100) == {"a": [2, 2], "b": [1], "c": [3, 2, 2]}


def test_machines_of_little_memory_have_fewer_workers_of_more_cores() -> None:
    machines = [
        Machine("a", 4, memory=3.5 * MEMORY),
        Machine("b", 4, memory=MEMORY / 2),
        Machine("c", 4),
    ]
    assert placed(machines, Need(), 100) == {"a": [2, 1, 1], "b": [4], "c": [1] * 4}
    assert workers_on(16, 15.5 * MEMORY, networks=False) == 15
    assert workers_on(16, 0, networks=False) == 16
    assert workers_on(16, 0, networks=True) == 8


def test_few_workers_are_spread_and_share_all_cores_of_their_machines() -> None:
    machines = [Machine("a", 4), Machine("b", 8), Machine("c", 4)]
    assert placed(machines, Need(), 1) == {"b": [8]}
    assert placed(machines, Need(), 3) == {"b": [8], "a": [4], "c": [4]}
    assert placed(machines, Need(), 4) == {"b": [4, 4], "a": [4], "c": [4]}
    assert placed(machines, Need(), 7) == {"b": [3, 3, 2], "a": [2, 2], "c": [2, 2]}


@pytest.mark.parametrize(
    ("need", "expected"),
    [
        (Need(gpu=1.0), {"a": [4, 4]}),
        (Need(gpu=0.5), {"a": [2, 2, 2, 2]}),
        (Need(gpu=1 / 3), {"a": [2, 2, 1, 1, 1, 1]}),
        (Need(gpu=0.5, memory=20 * GIB), {"a": [3, 3, 2]}),
        (Need(memory=20 * GIB), {"a": [3, 3, 2], "b": [8]}),
        (Need(memory=100 * GIB), {}),
    ],
)
def test_gpus_and_memory_bound_the_workers_of_a_machine(
    need: Need, expected: dict[str, list[int]]
) -> None:
    machines = [Machine("a", 8, gpus=2, memory=64 * GIB), Machine("b", 8, memory=32 * GIB)]
    assert placed(machines, need, 100) == expected


@given(
    st.lists(
        st.builds(Machine, st.uuids().map(str), st.integers(0, 96), st.integers(0, 8)), max_size=9
    ),
    st.sampled_from([Need(), Need(gpu=0.25), Need(gpu=1.0)]),
    st.integers(0, 200),
)
def test_no_machine_is_given_more_than_it_has(
    machines: list[Machine], need: Need, most: int
) -> None:
    places = placed(machines, need, most)
    assert sum(map(len, places.values())) == min(most, sum(m.room(need) for m in machines))
    for machine in machines:
        cores = places.get(machine.node, [])
        assert all(core >= 1 for core in cores)
        assert sum(cores) in (0, machine.cores)
        assert len(cores) * need.gpu <= machine.gpus
        assert len(cores) <= max(1, machine.cores)


def test_what_a_worker_needs_is_what_all_its_analyzers_do() -> None:
    assert need_of(Recipe(analyzers={"image": {}, "hashes": {}})) == Need()
    both = need_of(Recipe(analyzers={"image": {}, "tests.graphic": {}}))
    assert both == Need(gpu=0.5, memory=100 * 2**20)
    networks = Recipe(analyzers={"classify": classify.Settings(), "clip": clip.Settings()})
    assert need_of(networks).gpu == 0
    assert need_of(networks, gpus=True).gpu == 2 * SHARE
    assert str(both) == "a core, 0.5 GPU, 0.1 GiB of memory"
    assert told([Machine("h", 0), Machine("a", 4, 1, 2 * GIB)]) == "1 x (4 cores 1 GPU 2.0 GiB)"


def test_a_network_of_two_analyzers_is_one_copy_and_counts_once() -> None:
    one = Recipe(analyzers={"embed": embed.Settings()})
    both = Recipe(analyzers={"classify": classify.Settings(), "embed": embed.Settings()})
    assert need_of(both, gpus=True) == need_of(one, gpus=True) == Need(SHARE, 2**29)
    assert gpu_share(both) == gpu_share(one) == SHARE
    half = embed.Settings(precision="float16")
    for other in (embed.Settings(model="resnet18"), half):
        two = Recipe(analyzers={"classify": classify.Settings(), "embed": other})
        assert need_of(two, gpus=True) == Need(2 * SHARE, 2**30)
        assert gpu_share(two) == 2 * SHARE


OWN = {"url": "head.onnx", "sha256": "0" * 64}
HEAD = {"mood": {"weights": OWN, "classes": ("calm", "sad")}}
PACK = {"detector": "buffalo_l"}


@pytest.mark.parametrize(
    ("keys", "memory"),
    [
        (PACK, faces.DETECTOR),
        ({**PACK, "recognition": True}, faces.DETECTOR + faces.SEEING),
        ({**PACK, "recognition": True, "pose": "model"}, faces.DETECTOR + 2 * faces.SEEING),
        ({**PACK, "perceived": ("age",)}, faces.DETECTOR + faces.ULTRAFACE),
        ({"detector": "lbp", "heads": HEAD}, faces.SEEING),
        ({"detector": "ultraface", "heads": HEAD}, faces.ULTRAFACE + faces.SEEING),
    ],
)
def test_face_models_take_their_share_of_a_gpu_and_their_memory(
    keys: dict[str, Any], memory: int
) -> None:
    recipe = Recipe(analyzers={"faces": faces.Settings.model_validate(keys)})
    assert need_of(recipe, gpus=True) == Need(SHARE, memory)
    assert need_of(recipe) == Need(0, memory)
    assert gpu_share(recipe) == SHARE
    assert uses_gpu(recipe)


def test_ultraface_alone_is_too_small_for_a_gpu() -> None:
    recipe = Recipe(analyzers={"faces": faces.Settings(detector="ultraface")})
    assert need_of(recipe, gpus=True) == Need(0, faces.ULTRAFACE)
    assert not uses_gpu(recipe)


@pytest.mark.parametrize("keys", [{"detector": "lbp"}, {**PACK, "output": "none"}])
def test_faces_without_a_network_take_neither(keys: dict[str, Any]) -> None:
    recipe = Recipe(analyzers={"faces": faces.Settings.model_validate(keys)})
    assert need_of(recipe, gpus=True) == Need()
    assert not uses_gpu(recipe)
