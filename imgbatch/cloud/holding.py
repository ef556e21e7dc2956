"""The lease as a head keeps it: taken from whoever had it, renewed, given back, or lost.

There may be two heads for a while: the group replaces one that it believes dead, and that one still
runs. Whoever is newest takes the lease; each renewal is a write that compares the version, so the
other one's next renewal fails, and it knows.

Decision, 2026-11: the loop that scales renews the lease, no thread of its own. A head that hangs
anywhere gives no more beats, and its machines end. Drawback: no call in that loop may take minutes.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

from imgbatch.cloud.control import LEASE, Lease
from imgbatch.cloud.versions import encoded
from imgbatch.errors import DeploymentError, FencedError, SettingsError
from imgbatch.storage import ChangedError

if TYPE_CHECKING:
    from imgbatch.cloud.control import Control, Order

RENEW_SECONDS = 20.0


class Holding:
    """The lease of one order, held by one head.

    Args:
        control: where it lies.
        order: that it is for; its deadline is set.
        machine: of the head.

    Attributes:
        head: HOST:PORT of Ray's control server, as soon as it is up.
        pool: whose machines it is for; "" sends all workers away while the head stays.
        until: the latest deadline of this order and of those that wait, as far as is known.
    """

    def __init__(self, control: Control, order: Order, machine: str) -> None:
        self._control = control
        self._order = order
        self._machine = machine
        self._version = ""
        self._beat = 0
        self._renewed = -math.inf
        self._told: tuple[object, ...] = ()
        self.head = ""
        self.pool = order.pool
        self.until = order.deadline

    @property
    def run(self) -> str:
        """The run that it is for."""
        return self._order.run

    def take(self, now: float) -> None:
        """Take the lease, whoever has it.

        Raises:
            FencedError: another head did at the same moment.
        """
        former = None
        with contextlib.suppress(DeploymentError, SettingsError):  # damaged: ours takes its place
            former = self._control.lease()
        self._beat = former.beat + 1 if former else 0
        self._control.hold(self._lease(now))
        self._version = self._mine()
        self._renewed, self._told = now, (self.head, self.pool, self.until)

    def keep(self, now: float) -> None:
        """Renew it where that is due, or where what it tells is new.

        Raises:
            FencedError: another head has it, or it was taken away.
        """
        told = self.head, self.pool, self.until
        # Before its last renewal: the clock was set back, and nobody would wait for it.
        if 0 <= now - self._renewed < RENEW_SECONDS and self._told == told:
            return
        self._beat += 1
        data = encoded(self._lease(now))
        try:
            self._version = self._control.store.replace(LEASE, data, self._version)
        except FileNotFoundError:
            raise FencedError("the lease was taken away") from None
        except ChangedError:
            # Ours after all, where an answer to a former renewal was lost; or damaged.
            self._version = self._again(data, self._mine())
        self._renewed, self._told = now, told

    def _again(self, data: bytes, version: str) -> str:
        try:
            return self._control.store.replace(LEASE, data, version)
        except (FileNotFoundError, ChangedError):
            return self._mine()

    def _mine(self) -> str:
        """Return the version of the lease that is ours, or that nobody can read.

        Raises:
            FencedError: another head holds it, or nobody.
        """
        try:
            # The version first: it is the one of what is read then, or of what was before it.
            version = self._control.store.head(LEASE).version
        except FileNotFoundError:
            raise FencedError("the lease was taken away") from None
        try:
            found = self._control.lease()
        except (DeploymentError, SettingsError):
            return version
        if found is None or found.head_machine != self._machine:
            other = found.head_machine if found else "nobody"
            raise FencedError(f"the lease is held by {other}")
        return version

    def _lease(self, now: float) -> Lease:
        return Lease(
            run=self._order.run,
            deadline=math.floor(self._order.deadline),
            beat=self._beat,
            left=max(0, math.floor(self._order.deadline - now)),
            head=self.head,
            head_machine=self._machine,
            pool=self.pool,
            until=math.floor(self.until),
        )
