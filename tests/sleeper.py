"""An analyzer that takes its time, so that a small run lasts long enough to be disturbed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

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


class Settings(BaseSettings):
    """How long each picture takes; no row says it."""

    seconds: float = 0.0


class Analyzer:
    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.seconds

    def prepare(self, picture: Picture) -> int:
        time.sleep(self._seconds)
        return picture.facts.width

    def infer(self, batch: Sequence[int]) -> list[Row]:
        return [{"width": width} for width in batch]
