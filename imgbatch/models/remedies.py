"""Weights enter; what messages call them leaves, and what a user can type to have them.

Commands are as a shell takes them: a path with a blank or a quote is one word.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from imgbatch.errors import WeightsError
from imgbatch.models.registry import Model
from imgbatch.storage.addresses import unquote
from imgbatch.storage.secrets import scrub

if TYPE_CHECKING:
    from imgbatch.models.weights import Wanted


def name_of(wanted: Wanted) -> str:
    """Return what messages call it, and what `imgbatch models pull` takes; without a secret."""
    return wanted.name if isinstance(wanted, Model) else scrub(wanted.url)


def local(wanted: Wanted) -> Path | None:
    """Return the path of a user's own file of this machine, which is used where it lies."""
    if isinstance(wanted, Model):
        return None
    if wanted.url.startswith("file://"):
        return Path(unquote(wanted.url.removeprefix("file://")))
    return None if "://" in wanted.url else Path(wanted.url).expanduser()


def pushing(wanted: Wanted, store: str = "") -> str:
    """Return the command that puts weights into a store.

    Args:
        wanted: which.
        store: its URL; "" where the user is to choose one.
    """
    return f"`imgbatch models push {_words(wanted)} {shlex.quote(store) if store else 'STORE-URL'}`"


def lacking(wanted: Wanted, mirror: str, error: Exception) -> WeightsError:
    """Return what says that weights are not here, why they cannot be had, and what to do.

    Args:
        wanted: which.
        mirror: that was asked; "" for none.
        error: why not.
    """
    return WeightsError(
        f"{name_of(wanted)} is not on this machine and cannot be had: {error}",
        _remedy(wanted, mirror),
    )


def other(file: str, found: str, asked: str, remedy: str) -> WeightsError:
    """Return what says that a file has another digest than it is asked for by."""
    return WeightsError(f"{file} has sha256 {found}, not {asked}: it is not used", remedy)


def _remedy(wanted: Wanted, mirror: str) -> str:
    url = scrub(wanted.url)
    if mirror:
        return (
            f"From a machine that reaches {url}: {pushing(wanted, mirror)}. "
            "IMGBATCH_MODEL_MIRROR is set, so nothing else is asked."
        )
    elsewhere = (
        f"Or from a machine that reaches it: {pushing(wanted)}, and here "
        "IMGBATCH_MODEL_MIRROR=STORE-URL."
    )
    if local(wanted) is not None:
        return f"Put the file there, or name the path where it is. {elsewhere}"
    pull = f"`imgbatch models pull {_words(wanted)}`"
    copy = " (with a copy of the file: `pull FILE`)" if isinstance(wanted, Model) else ""
    return f"Once {url} can be reached from here: {pull}{copy}. {elsewhere}"


def _words(wanted: Wanted) -> str:
    """Return the words by which a command line asks for weights."""
    name = shlex.quote(name_of(wanted))
    return name if isinstance(wanted, Model) else f"{name} --sha256 {wanted.sha256}"
