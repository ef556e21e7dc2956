"""Recipes and the environment: what is read, and what a mistake in them is told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from pydantic import Field, ValidationError

from imgbatch.errors import SettingsError
from imgbatch.settings import (
    Limits,
    MediaSettings,
    Settings,
    nearest,
    read_limits,
    read_recipe,
    recipe_names,
    recipe_text,
)

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.settings import Recipe


class Blur(Settings):
    radius: int = Field(default=2, ge=1)


def settings_of(name: str) -> type[Settings]:
    if name != "blur":
        raise SettingsError(f"no analyzer {name!r}{nearest(name, ['blur'])}")
    return Blur


def read(text: str) -> Recipe:
    return read_recipe(text, settings_of=settings_of)


def refusal(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read(text)
    return str(caught.value)


def test_a_recipe_gives_media_settings_and_each_analyzers_own() -> None:
    recipe = read("[media]\nmin_side = 512\n[media.video]\nfps = 2.5\n[analyzers.blur]\nradius = 3")
    assert recipe.media.min_side == 512
    assert recipe.media.video.fps == 2.5
    assert recipe.analyzers == {"blur": Blur(radius=3)}


def test_what_a_recipe_leaves_out_has_its_default() -> None:
    recipe = read("[analyzers.blur]")
    assert recipe.media == MediaSettings()
    assert recipe.analyzers["blur"].radius == 2


@pytest.mark.parametrize(
    ("text", "typo", "meant"),
    [
        ("[media]\nmin_sde = 3\n[analyzers.blur]", "media.min_sde", "min_side"),
        ("[media.video]\nmax_frame = 3\n[analyzers.blur]", "media.video.max_frame", "max_frames"),
        ("[analyzers.blur]\nradus = 3", "radus", "radius"),
        ("[analyzers.blurr]", "blurr", "blur"),
        ("[analyzer.blur]", "analyzer", "analyzers"),
        ("[meda]\n[analyzers.blur]", "meda", "media"),
    ],
)
def test_a_typo_is_refused_and_its_neighbour_named(text: str, typo: str, meant: str) -> None:
    message = refusal(text)
    assert repr(typo) in message
    assert f"did you mean {meant!r}" in message


def test_a_key_far_from_all_others_is_told_what_there_is() -> None:
    assert "known: radius" in refusal("[analyzers.blur]\nqqqq = 1")


def test_every_problem_is_told_at_once() -> None:
    message = refusal(
        "[media]\nmin_side = 3\nexakt = true\n[analyzers.blur]\nradus = 3\n[analyzers.blurr]"
    )
    assert "media.min_side = 3" in message
    assert "'exact'" in message
    assert "[analyzers.blur]: unknown key 'radus'" in message
    assert "no analyzer 'blurr'" in message


def test_a_key_of_a_table_without_settings_is_told_so() -> None:
    with pytest.raises(SettingsError, match="unknown key 'radius'; there are none"):
        read_recipe("[analyzers.plain]\nradius = 3", settings_of=lambda _: Settings)


def test_a_wrong_variable_or_flag_is_not_answered_with_recipes_alone() -> None:
    with pytest.raises(SettingsError) as caught:
        read_limits({"IMGBATCH_THREDS": "3"})
    assert "REFERENCE.md" in caught.value.remedy
    assert "--help" in caught.value.remedy


@pytest.mark.parametrize(
    "line",
    [
        "min_side = 15",
        "max_pixels = 0",
        'alpha = "pink"',
        'exact = "maybe"',
        "video.every_n = 0",
        "video.fps = 0",
        "video.fps = inf",
        "video.scene_threshold = 1",
        "video.max_frames = 0",
        'video.sample = "all"',
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(line: str) -> None:
    key = line.partition(" ")[0]
    assert f"media.{key} = " in refusal(f"media.{line}\n[analyzers.blur]")


@pytest.mark.parametrize("line", ["min_side = 16", "video.scene_threshold = 0.99"])
def test_a_value_at_the_edge_of_its_range_is_taken(line: str) -> None:
    read(f"media.{line}\n[analyzers.blur]")


def test_a_recipe_without_analyzers_is_refused() -> None:
    assert "analyzers" in refusal("[media]")
    assert "analyzers" in refusal("[analyzers]")


def test_text_that_is_no_toml_is_refused_with_its_line() -> None:
    message = refusal("[media]\nmin_side = = 3")
    assert "not valid TOML" in message
    assert "line 2" in message


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        MediaSettings().min_side = 3


def test_limits_come_from_the_environment() -> None:
    limits = read_limits({"IMGBATCH_THREADS": "3", "IMGBATCH_COMMIT_SECONDS": "0.5", "HOME": "/"})
    assert limits == Limits(threads=3, commit_seconds=0.5)


def test_without_variables_limits_fit_this_machine() -> None:
    assert read_limits({}) == Limits()
    assert read_limits({}).threads == len(os.sched_getaffinity(0))


def test_limits_are_read_from_this_process_when_nothing_else_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMGBATCH_FETCH_THREADS", "7")
    assert read_limits().fetch_threads == 7


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("IMGBATCH_THREDS", "3", "did you mean 'IMGBATCH_THREADS'"),
        ("IMGBATCH_THREADS", "0", "IMGBATCH_THREADS = '0'"),
        ("IMGBATCH_THREADS", "many", "IMGBATCH_THREADS = 'many'"),
        ("IMGBATCH_DECODED_BYTES", "1", "IMGBATCH_DECODED_BYTES = '1'"),
    ],
)
def test_a_wrong_variable_is_named_as_it_was_set(name: str, value: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_limits({name: value})
    assert told in str(caught.value)


def test_every_recipe_that_comes_along_is_read_by_its_name() -> None:
    assert "quick" in recipe_names()
    for name in recipe_names():
        assert "[analyzers." in recipe_text(name)


def test_a_recipe_file_is_read_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[analyzers.blur]\n", "utf-8")
    assert recipe_text(str(file)) == "[analyzers.blur]\n"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("quik", "did you mean 'quick'"),
        ("nowhere.toml", "cannot be read"),
        ("folder.toml", "cannot be read"),
        ("latin.toml", "cannot be read"),
    ],
)
def test_a_recipe_that_is_not_there_or_not_text_is_refused(
    name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as caught:
        recipe_text(name)
    assert told in str(caught.value)
