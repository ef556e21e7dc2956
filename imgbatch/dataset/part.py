"""One immutable Parquet file of a table, and what its name says."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Of posts the second: a run of ours commits parts under no other names.
OURS = re.compile(r"[^/@]+@\d+-[^/]+\.parquet|[0-9a-fx]{2,}-[0-9a-f]{8}\.parquet")


@dataclass(frozen=True, slots=True)
class Part:
    """One immutable Parquet file of a table.

    Decision, 2026-11: a name ends with the first digits of the file's own SHA-256. Whoever wakes
    late and writes something else for the same shard, a worker that was believed lost or a run that
    another one overtook, writes another file; no committed one is ever written to again. Drawback:
    what such a one leaves is a file that no commit names.

    Attributes:
        table: name of the table below the dataset's root.
        path: file name, `<shard>@<g>[-<fingerprint8>]-<sha256, 8>.parquet`.
        sha256: of the file; "" where the commit that tells it is not at hand.
    """

    table: str
    path: str
    size: int
    rows: int
    sha256: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether the name is one that our runs give: other programs commit to tables as well."""
        return OURS.fullmatch(self.path) is not None

    @property
    def shard(self) -> str:
        """The shard's name."""
        return self.path.partition("@")[0]

    @property
    def label(self) -> str:
        """The shard's name and generation: `<shard>@<g>`."""
        return self.path.partition("-")[0]

    @property
    def stem(self) -> str:
        """What the part is of: `<shard>@<g>[-<fingerprint8>]`."""
        return self.path.rpartition("-")[0]

    @property
    def generation(self) -> int:
        """The shard's generation that the part was written for."""
        return int(self.label.partition("@")[2])

    @property
    def fingerprint(self) -> str:
        """The first 8 digits of the fingerprint; "" for a part of the manifest."""
        return self.stem.partition("-")[2]
