"""What a user is told to type takes a path with a blank and a quote as one word."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import boto3
import pytest

from imgbatch.calibration import pulling
from imgbatch.cli import bucket, learn, models_lines
from imgbatch.cloud import known
from imgbatch.errors import DeploymentError, StorageError
from imgbatch.models.mirror import Pushed
from imgbatch.models.registry import find
from imgbatch.models.remedies import lacking, pushing
from imgbatch.models.weights import Own
from imgbatch.storage.buckets import s3_identity, s3_look

if TYPE_CHECKING:
    from pathlib import Path

ODD = "it's mine/a b.pth"
DIGEST = "0" * 64


def told(text: str) -> list[list[str]]:
    """Return the commands between backticks, as a shell takes them apart."""
    return [shlex.split(command) for command in re.findall(r"`([a-z]+ [^`]*)`", text)]


@pytest.mark.parametrize("url", [ODD, f"https://host/{ODD}", "s3://b/a?x=1&y=2"])
def test_weights_that_lack_are_asked_for_by_words_that_a_shell_takes(url: str) -> None:
    own, mirror = Own(url=url, sha256=DIGEST), "/my mirror/it's"
    digest = ["--sha256", DIGEST]
    push = ["imgbatch", "models", "push", url, *digest]
    assert told(lacking(own, mirror, OSError("no")).remedy) == [[*push, mirror]]
    assert told(pushing(own, mirror)) == [[*push, mirror]]
    commands = told(lacking(own, "", OSError("no")).remedy)
    pull = [] if url == ODD else [["imgbatch", "models", "pull", url, *digest]]
    assert commands == [*pull, [*push, "STORE-URL"]]


def test_the_line_of_a_recipe_is_toml_whatever_the_path() -> None:
    import tomllib

    path = 'a "b" \\c.pth'
    own = Own(url=path, sha256=DIGEST)
    line = models_lines.pushed(path, own, Pushed("s3://b/x", sent=True))[-1]
    read = tomllib.loads("weights =" + line.partition(":")[2])
    assert read["weights"] == {"url": path, "sha256": DIGEST}


def test_weights_of_ones_own_are_pulled_by_their_recipe() -> None:
    assert told(pulling(["resnet50", "ViT-B-32"])) == [
        ["imgbatch", "models", "pull", "resnet50", "ViT-B-32"]
    ]
    # By name they would need a digest each.
    assert told(pulling([find("resnet50").name, ODD])) == [
        ["imgbatch", "models", "pull", "--recipe", "RECIPE"]
    ]


def test_what_comes_after_fit_takes_any_dataset_and_file() -> None:
    assert learn.next_line("my data/it's", ODD) == "next: imgbatch apply " + shlex.join(
        ["my data/it's", ODD]
    )


def test_buckets_and_their_prefixes_are_told_as_one_word() -> None:
    class Gone:
        def exists(self) -> bool:
            return False

    url = "s3://bucket/it's here?region=eu-west-1&x=1"
    with pytest.raises(StorageError) as raised:
        bucket._refuse_missing(url, Gone())  # type: ignore[arg-type] # all that is asked of it
    assert told(raised.value.remedy) == [["imgbatch", "bucket", "create", url]]
    finding = s3_look._versioning("bucket", "it's mine", [], versioned=True)
    assert told(finding.remedy)[0] == ["imgbatch", "bucket", "harden", "s3://bucket/it's mine"]


def test_a_profile_and_a_note_of_any_name_are_one_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = boto3.Session()
    session._session.set_config_variable("profile", "my lab")
    assert shlex.split(s3_identity._profile(session)) == ["--profile", "my lab"]
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "it's mine"))
    note = known._note("lab")
    note.parent.mkdir(parents=True)
    note.write_text("no json")
    with pytest.raises(DeploymentError) as raised:
        known.place("lab")
    assert told(raised.value.remedy)[0] == ["rm", str(note)]
