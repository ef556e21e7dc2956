"""The record of labels enters; the command that makes them again leaves, for people to type."""

from __future__ import annotations

import json
import shlex
import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def command(name: str, made: Mapping[str, Any]) -> str:
    """Return the command line that makes labels with the settings that they were made with.

    Args:
        name: of the labels, as below `groups/`.
        made: their record.
    """
    grouper = made["grouper"]
    # Who made them before that was recorded is told all settings, those by default too.
    asked = made.get("asked", made["settings"])
    label = name.removeprefix(grouper).removeprefix("-")
    named = f" --name {label}" if label else ""
    if grouper == "learned":
        return f"imgbatch apply DATASET {shlex.quote(made['settings']['model'])}{named}"
    if grouper == "zero_shot":
        table = f" --on {shlex.quote(asked['table'])}" if "table" in asked else ""
        return f"imgbatch classify DATASET --prompts FILE{table}{named}"
    sets = [f" --set {_set(key, value)}" for key, value in asked.items() if value is not None]
    return f"imgbatch group DATASET {grouper}{named}{''.join(sets)}"


def _set(key: str, value: Any) -> str:
    """Return KEY=VALUE as a shell takes it: a word stays plain where no TOML is made of it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        try:
            tomllib.loads(f"value = {value}")
        except tomllib.TOMLDecodeError:
            pass
        else:
            text = json.dumps(value, ensure_ascii=False)
    return shlex.quote(f"{key}={text}")
