"""`models pull` and `push` hold a file to the digest of the command line, whatever it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import WeightsError
from imgbatch.models import registry
from imgbatch.models.mirror import push
from imgbatch.models.weights import get
from tests.models.test_runs import imgbatch, recipe
from tests.models.test_weights import DATA, damage, kept, sha256

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from imgbatch.models.registry import Model
    from imgbatch.settings import Limits
    from tests.servers.files import Files

    Told = Callable[..., Limits]

OTHER = "0" * 64


def published(hub: Files) -> Model:
    """A model of the registry whose file is on the hub; its digest is published in part."""
    hub.files["net-01234567.pth"] = DATA
    told = {"url": f"{hub.url}/net-01234567.pth", "sha256": sha256(DATA)[:8]}
    return registry.find("resnet18").model_copy(update=told)


def like(digest: str) -> str:
    """Return another digest with the same first digits."""
    return digest[:8] + digest[:7:-1]


def command(cache: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    # A port where nobody listens: what asks the network is told so at once.
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    return imgbatch("models", *words, IMGBATCH_MODEL_CACHE=str(cache), **nowhere)


def test_another_digest_than_the_published_one_is_refused_before_anything_is_asked_for(
    tmp_path: Path,
) -> None:
    (tmp_path / "r.toml").write_text("[analyzers.image]\n[analyzers.classify]\nmodel='resnet18'\n")
    for words in (
        ("pull", "resnet18"),
        ("push", "resnet18", tmp_path / "mirror"),
        # What the recipe needs besides takes nothing off what was asked of the model by name.
        ("pull", "resnet18", "--recipe", tmp_path / "r.toml"),
    ):
        ended = command(tmp_path / "cache", *words, "--sha256", OTHER)
        assert ended.returncode == 23, ended.stderr
        assert f"resnet18 has sha256 f37072fd, not {OTHER}: it is not used" in ended.stderr
        assert not any(path.is_file() for path in tmp_path.rglob("*.pth*"))
    assert not (tmp_path / "mirror").exists()


@pytest.mark.usefixtures("told")
def test_a_file_with_the_published_digits_and_another_digest_is_not_kept(
    hub: Files, tmp_path: Path
) -> None:
    model = published(hub)
    wrong = like(sha256(DATA))
    for ask in (
        lambda: get(model, sha256=wrong),
        lambda: push(model, str(tmp_path / "mirror"), sha256=wrong),
    ):
        with pytest.raises(WeightsError, match=f"has sha256 {sha256(DATA)}, not {wrong}"):
            ask()
        assert kept() == []
    assert not (tmp_path / "mirror").exists()


@pytest.mark.usefixtures("told")
def test_the_right_digest_in_full_passes_and_the_file_lies_where_runs_look(hub: Files) -> None:
    model = published(hub)
    had = get(model, sha256=sha256(DATA))
    assert (had.how, had.path.read_bytes()) == ("url", DATA)
    assert get(model).how == "there"
    assert get(model, sha256=sha256(DATA)).path == had.path
    assert len(hub.asked) == 1


@pytest.mark.usefixtures("told")
def test_what_is_here_already_is_held_to_the_digest_and_stays(hub: Files) -> None:
    model = published(hub)
    path = get(model).path
    with pytest.raises(WeightsError, match=f"{path.name} has sha256 {sha256(DATA)}, not "):
        get(model, sha256=like(sha256(DATA)))
    assert path.read_bytes() == DATA
    damage(path)
    assert get(model, sha256=sha256(DATA)).damaged


@pytest.mark.usefixtures("told")
def test_what_only_begins_like_the_file_is_replaced_in_a_mirror(hub: Files, tmp_path: Path) -> None:
    # One digit of a digest, so that another file fits to it as a forged one would to eight.
    model, mirror = published(hub).model_copy(update={"sha256": sha256(DATA)[:1]}), tmp_path / "m"
    push(model, str(mirror))
    numbers = (b"%d" % i for i in range(1000))
    other = next(text for text in numbers if sha256(text).startswith(model.sha256))
    place = mirror / model.sha256 / "net-01234567.pth"
    place.write_bytes(other)
    assert not push(model, str(mirror)).sent
    assert push(model, str(mirror), sha256=sha256(DATA)).sent
    assert place.read_bytes() == DATA


def test_a_file_of_the_registry_at_a_path_is_held_to_the_digest_too(
    shared: Path, tmp_path: Path
) -> None:
    path = shared / "models" / "ultraface-rfb-320.onnx"
    if not path.exists():
        pytest.skip("the shared folder has no UltraFace")
    right = sha256(path.read_bytes())
    for name, words in (
        (path, ("pull", path)),
        (path, ("push", path, tmp_path / "mirror")),
        ("ultraface-rfb-320", ("pull", "ultraface-rfb-320")),
    ):
        wrong = command(tmp_path / "cache", *words, "--sha256", OTHER)
        assert wrong.returncode == 23, wrong.stderr
        assert f"{name} has sha256 {right}, not {OTHER}" in wrong.stderr
    assert not any(file.is_file() for file in tmp_path.rglob("*"))
    pulled = command(tmp_path / "cache", "pull", path, "--sha256", right, "--json")
    assert json.loads(pulled.stdout)["how"] == "url", pulled.stderr
    again = command(tmp_path / "cache", "pull", "ultraface-rfb-320", "--sha256", right.upper())
    assert "was there already" in again.stdout, again.stderr


def test_a_recipes_digest_does_not_take_the_place_of_the_one_that_is_given(
    hub: Files, tmp_path: Path
) -> None:
    hub.files["one.txt"] = b"1"
    url = f"{hub.url}/one.txt"
    (tmp_path / "r.toml").write_text(recipe(url, b"1"))
    words = ("pull", url, "--recipe", tmp_path / "r.toml", "--sha256")
    wrong = command(tmp_path / "cache", *words, OTHER)
    assert wrong.returncode == 23, wrong.stderr
    right = command(tmp_path / "cache", *words, sha256(b"1"))
    assert right.returncode == 0, right.stderr
    assert right.stdout.count("one.txt came from its URL") == 1
    assert "already" not in right.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("resnet18", "resnet50", "--sha256", OTHER), "digest of one file, and 2 are named"),
        (("--recipe", "quick", "--sha256", OTHER), "digest of one file, and none is named"),
        (("resnet18", "--sha256", "f37072fd"), "'f37072fd' is no digest"),
        # As a shell has it whose variable was never set: nothing would be verified by it.
        (("resnet18", "--sha256", ""), "'' is no digest"),
    ],
)
def test_a_digest_that_cannot_be_meant_is_refused(
    words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    for asked in (("pull", *words), ("push", *words, str(tmp_path / "mirror"))):
        ended = command(tmp_path / "cache", *asked)
        assert ended.returncode == 10, ended.stderr
        assert said in ended.stderr
    assert not (tmp_path / "mirror").exists()
