"""Where an item was read, and how what it lacks is noted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from imgbatch.sources.dumps.names import ref

if TYPE_CHECKING:
    from imgbatch.sources.dumps.posts import Counted


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """One item's place.

    Attributes:
        name: of the metadata file.
        line: from 1.
        platform: as `platform_of` names it.
        counted: where gaps are added up.
    """

    name: str
    line: int
    platform: str
    counted: Counted

    @property
    def ref(self) -> str:
        """The place in words."""
        return ref(self.name, self.line)

    def wanted(self, field: str, value: T | None, raw: Any = None) -> T | None:
        """Note a field that is not there (or, where `raw` is, not as it should be); return it."""
        if value is None:
            if raw is None:
                self.counted.missing(field, self.name, self.line)
            else:
                self.counted.bad(field, self.name, self.line)
        return value
