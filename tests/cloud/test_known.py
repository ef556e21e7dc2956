"""What a laptop notes of deployments, and what it says where that is not enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch.cloud import known
from imgbatch.cloud.deployment import Deployment, Head
from imgbatch.errors import DeploymentError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's settings."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    return tmp_path / "settings"


def made(name: str, folder: Path) -> Deployment:
    """A deployment whose bucket is a folder."""
    control = folder / name / "control"
    told = Deployment(
        format=1, name=name, cloud="aws", region="eu-central-1", account="1",
        bucket=str(folder / name), control=str(control), image="i", token="t",
        head=Head(group=f"imgbatch-{name}-head", machines=["m7i.large"], disk_gib=60), pools={},
    )  # fmt: skip
    control.mkdir(parents=True)
    (control / "deployment.json").write_text(told.model_dump_json())
    return told


def test_the_only_deployment_needs_no_name(tmp_path: Path) -> None:
    lab = made("lab", tmp_path)
    note = known.remember(lab, lab.control)
    assert note.name == "lab.json"
    assert known.find(None) == known.find("lab") == lab
    assert known.only("aws") == "lab"
    assert known.only("gcp") is None
    known.forget("lab")
    assert known.names() == []


def test_by_default_it_is_reached_in_its_own_region(tmp_path: Path) -> None:
    lab = made("lab", tmp_path)
    known.remember(lab)
    assert known.place("lab")[1].control == f"{lab.control}?region=eu-central-1"


def test_without_any_the_error_says_how_to_get_one() -> None:
    with pytest.raises(DeploymentError, match="knows no deployment") as error:
        known.find(None)
    assert "cloud connect" in error.value.remedy


def test_of_several_one_has_to_be_named_and_a_typo_finds_its_neighbour(tmp_path: Path) -> None:
    for name in ("lab", "archive"):
        told = made(name, tmp_path)
        known.remember(told, told.control)
    with pytest.raises(DeploymentError, match="2 deployments: archive, lab"):
        known.find(None)
    with pytest.raises(DeploymentError, match="did you mean 'archive'"):
        known.find("archiv")
    assert known.find("archive").name == "archive"
    assert known.only("aws") is None


def test_one_that_was_destroyed_elsewhere_is_said_to_be_gone(tmp_path: Path) -> None:
    lab = made("lab", tmp_path)
    known.remember(lab, lab.control)
    (tmp_path / "lab" / "control" / "deployment.json").unlink()
    with pytest.raises(DeploymentError, match=r"is not at .* any more"):
        known.find("lab")


def test_a_damaged_note_says_which_file(settings: Path, tmp_path: Path) -> None:
    lab = made("lab", tmp_path)
    known.remember(lab, lab.control).write_text("{")
    with pytest.raises(DeploymentError, match=r"lab\.json is no JSON") as error:
        known.find("lab")
    assert str(settings) in error.value.remedy


def test_a_deployment_of_a_later_imgbatch_is_refused(tmp_path: Path) -> None:
    lab = made("lab", tmp_path)
    known.remember(lab, lab.control)
    file = tmp_path / "lab" / "control" / "deployment.json"
    file.write_text(file.read_text().replace('"format":1', '"format":2'))
    with pytest.raises(DeploymentError, match="of format 2"):
        known.find("lab")
