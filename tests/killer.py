"""An analyzer that kills: what it does to its process is said by the width of the picture."""

from __future__ import annotations

import ctypes
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from imgbatch.analyzers import Column, Needs
from imgbatch.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.analyzers import Row
    from imgbatch.records import Picture

GRAIN = "picture"
VERSION = 1
TOLERANCE = 0.0
COLUMNS = (Column("width", pa.int32(), "of the picture", "pixels"),)
NEEDS = Needs(batch=8)

CRASH, HANG, MEMORY, FROZEN = 301, 302, 303, 304
EATEN = 4 * 2**30


class Settings(BaseSettings):
    pass


class Analyzer:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self, picture: Picture) -> int:
        if picture.facts.width == HANG:
            time.sleep(3600)
        return picture.facts.width

    def infer(self, batch: Sequence[Any]) -> list[Row]:
        # In a batch: the picture that kills is not always the one that is being decoded.
        for width in batch:
            if width == CRASH:
                ctypes.string_at(0)
            if width == FROZEN:
                ctypes.PyDLL(None).sleep(3600)  # with Python's lock in hand: no thread runs
            if width == MEMORY:
                eat()
        return [{"width": width} for width in batch]


def eat() -> None:
    held = []
    while sum(part.nbytes for part in held) < EATEN:
        held.append(np.ones(2**24, np.uint8))
        time.sleep(0.002)
    time.sleep(3600)
