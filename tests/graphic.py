"""An analyzer that asks for half a GPU, and says which one it was given."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

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
COLUMNS = (Column("gpu", pa.string(), "the GPU that its process sees", range="0, 1, ..."),)
NEEDS = Needs(batch=8, gpu=0.5, memory=100 * 2**20)


class Settings(BaseSettings):
    pass


class Analyzer:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self, picture: Picture) -> int:
        return picture.facts.width

    def infer(self, batch: Sequence[Any]) -> list[Row]:
        return [{"gpu": os.environ.get("CUDA_VISIBLE_DEVICES", "")} for _ in batch]
