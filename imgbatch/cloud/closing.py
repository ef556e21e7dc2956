"""The ledger of a run that no head is at any more enters; it leaves with an end in every line.

A head closes the lines of its own run. Where it did not live to (the cloud ended all, or somebody
did), whoever comes next does: the next head that finds the order, `stop`, `down`. What the cloud
tells of its groups counts, however late it is asked; without a word of it, a machine's end is when
a head last saw it, and the ledger says that nobody knows.
"""

from __future__ import annotations

import math
import traceback
from typing import TYPE_CHECKING

from imgbatch.cloud import ledger
from imgbatch.cloud.book import Book
from imgbatch.cloud.ending import GRACE_SECONDS
from imgbatch.cloud.ledger import LEDGER
from imgbatch.errors import DeploymentError, PermissionsError, RunError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgbatch.cloud import Groups, Market
    from imgbatch.cloud.control import Control, Order, State
    from imgbatch.cloud.deployment import Deployment
    from imgbatch.cloud.ledger import Line


# By when a machine has left whose head renews nothing any more: it boots, looks each minute, and
# puts up with ten (`leaving`).
LEAVING_SECONDS = 1200.0


class Closing:
    """Closes the ledgers of a deployment's runs.

    Args:
        control: where they lie.
        deployment: whose runs they are of.
        groups: asked for what became of machines; None: nobody can be.
        market: asked what those cost that no head ever saw; None: they are not counted.
    """

    def __init__(
        self,
        control: Control,
        deployment: Deployment,
        groups: Groups | None = None,
        market: Market | None = None,
    ) -> None:
        self._control, self._deployment = control, deployment
        self._groups, self._market = groups, market

    def close(
        self, run: str, order: Order | None, state: State | None, now: float
    ) -> list[Line] | None:
        """End what goes on in the ledger of a run, and write it.

        Args:
            run: its id.
            order: of the run; None: nobody can read it.
            state: as its head told it last; None: nothing, or nothing that anybody can read.
            now: the moment; what is there yet ends with it.

        Returns:
            The lines; None: it has no ledger, as no head saw a machine of it.

        Raises:
            CloudError: the cloud does not answer.
            StorageError: the ledger cannot be read or written.
            SettingsError: it is damaged.
        """
        raw = self._control.get(run, LEDGER)
        lines = ledger.read(raw) if raw else []
        over = state is None or state.over
        if over and all(line.end is not None for line in lines):
            return lines if raw else None
        looked = last_look(lines, state)
        until = gone_by(order, state, looked, now)
        if order and order.pool in self._deployment.pools:
            lines = self._asked(lines, order, looked=looked, until=until, now=now)
        lines = [x if x.end is not None else ledger.last_seen(x, looked, until) for x in lines]
        if not raw and not lines:
            return None
        traffic = ledger.read_traffic(raw) if raw else None
        self._control.put(run, LEDGER, ledger.write(lines, traffic))
        return lines

    def settle(
        self,
        run: str,
        order: Order | None,
        state: State | None,
        now: float,
        say: Callable[[str], None],
    ) -> list[Line] | None:
        """Do the same, and say what is damaged or refused: it must not hold up the run's end.

        Raises:
            CloudError: the cloud does not answer; it may the next time.
            StorageError: the ledger cannot be read or written.
        """
        try:
            return self.close(run, order, state, now)
        except (DeploymentError, SettingsError) as error:
            say(f"what {run} cost cannot be read: {error}")
            return None
        except PermissionsError as error:
            say(f"what became of the machines of {run} may not be asked: {error}")
        except RunError:
            raise
        except Exception as error:  # noqa: BLE001 - said, and what is known without the cloud is written
            say("".join(traceback.format_exception(error)).rstrip())
        return Closing(self._control, self._deployment).close(run, order, state, now)

    def _asked(
        self, lines: list[Line], order: Order, *, looked: float, until: float, now: float
    ) -> list[Line]:
        """Return lines with all that the cloud tells; as they are where it has no such groups."""
        groups, market, own = self._groups, self._market, self._deployment
        if groups is None:
            return lines
        head, pool = own.head.group, own.pools[order.pool].group
        known = {line.machine for line in lines if line.end is None}
        since = min([looked, *(line.start for line in lines if line.end is None)])
        try:
            # Another head is another run's, here as in the events.
            heads = [member for member in groups.members(head) if member.machine in known]
            members = groups.members(pool)
            events = [event for event in groups.events(head, since) if event.machine in known]
            events += [
                event
                for event in groups.events(pool, since)
                if event.at > looked or event.machine in known
            ]
        except DeploymentError:
            return lines
        gone = [e for e in events if e.kind in ("ended", "preempted") and e.machine in known]
        lines = ledger.ended(lines, {e.machine: min(now, e.at) for e in gone})
        if market is None:
            return lines
        book = Book(market, own, order.pool, lines=lines, looked=looked, until=until)
        book.see(heads, members, events, now)
        book.close(now)
        return book.lines


def with_cost(state: State, lines: Sequence[Line], now: float) -> State:
    """Return a state that tells what its closed ledger does, and what that does not know."""
    spent = ledger.spent(lines, now) + state.traffic.dollars
    unseen = sum(line.unseen for line in lines)
    more = f"; nobody saw when its machines ended: up to ${unseen:.2f} more" if unseen else ""
    return state.model_copy(update={"spent": spent, "reason": state.reason + more})


def latest(order: Order | None, state: State | None) -> float:
    """Return by when the cloud ended the machines of a run at the latest; seconds since 1970."""
    deadline = (state.deadline if state else 0.0) or (order.deadline if order else 0.0)
    return deadline + GRACE_SECONDS if deadline else math.inf


def gone_by(
    order: Order | None, state: State | None, seen: float, now: float, beat: float = 0.0
) -> float:
    """Return by when machines were gone at the latest whose end nobody saw; seconds since 1970.

    Once nobody renews the lease, they leave by themselves; who ends a run ends them before.

    Args:
        order: of the run; None: nobody can read it.
        state: as its head told it last; None: for how long it had a head, nobody knows.
        seen: when a head last saw them.
        now: the moment.
        beat: when its lease was renewed last, where that is known.
    """
    by = min(now, latest(order, state))
    if state is None:
        return by
    return min(by, state.at if state.over else max(seen, state.at, beat) + LEAVING_SECONDS)


def last_look(lines: Sequence[Line], state: State | None) -> float:
    """Return when a head last saw the machines of a run; seconds since 1970.

    The state of a run that is over tells when somebody noted that, which may be days later.
    """
    if state and not state.over:
        return state.seen
    return max([0.0, *(line.start if line.end is None else line.end for line in lines)])
