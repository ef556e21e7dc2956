"""The market as the table that imgbatch ships has it, for whoever has no credentials yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.cloud.gcp import table
from imgbatch.cloud.gcp.errors import NO_CREDENTIALS
from imgbatch.errors import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.cloud import Machine, Price, Quota


class Shipped:
    """Implements `imgbatch.cloud.Market`; every price says that it is the table's, and its day."""

    def machines(self, gpus: Sequence[str] = ()) -> list[Machine]:
        """Return the types that imgbatch knows: with these kinds of GPU, or all."""
        return table.machines(gpus)

    def prices(self, types: Sequence[str], region: str) -> list[Price]:
        """Return the table's prices; none for types that a region does not have there."""
        found = [table.price(kind, region, spot=spot) for kind in types for spot in (True, False)]
        return [price for price in found if price]

    def lacks(self, types: Sequence[str], region: str) -> list[str]:  # noqa: ARG002 - the protocol's
        """Return none: a table is not the cloud's word."""
        return []

    def besides(self, disk_gib: int, region: str) -> float:
        """Return dollars an hour of a disk and a public address, by the table."""
        return table.besides(disk_gib, region)

    def quotas(self, region: str) -> list[Quota]:
        """Raise: quotas are a project's.

        Raises:
            CredentialsError: always.
        """
        raise CredentialsError(f"quotas in {region} are a project's", NO_CREDENTIALS)
