"""Why a run must end before its work is done: money, time, machines and wishes enter.

Decision, 2026-11: the budget counts as reached when what is spent, and what ending takes, are all
of it. So a run ends a minute's price below its budget and not above it. Drawback: of a budget of a
few cents that minute is a share that is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from imgbatch.cloud import ledger, trouble
from imgbatch.errors import CancelledError, CloudError, QuotaError, SpentError

if TYPE_CHECKING:
    from imgbatch.cloud.book import Book
    from imgbatch.cloud.boots import Boots
    from imgbatch.cloud.control import Order
    from imgbatch.cloud.work import Work

# How long a run has to commit what is finished once its end was asked for; machines end then.
ENDING_SECONDS = 60.0
# So long a run waits for prices that lack, and adds nothing: a cloud that throttles does so for
# minutes. All the while what they may be at most counts towards its budget.
UNPRICED_SECONDS = 600.0
# The cloud ends what is left so long after the deadline: by then all should be over.
GRACE_SECONDS = 30.0
TICK_SECONDS = 10.0
Phase = Literal["stopped", "budget", "deadline", "failed"]


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a run before its work is done.

    Attributes:
        phase: it ends in, with that exit code.
        reason: in words, with what to do.
        since: when it was begun.
    """

    phase: Phase
    code: int
    reason: str
    since: float


def must_end(
    order: Order, work: Work, *, spent: float, per_hour: float, now: float
) -> Ending | None:
    """Return why a run must end now; None: it may go on.

    Args:
        order: its budget and deadline.
        work: whether somebody stops it, and who is at work.
        spent: dollars so far.
        per_hour: dollars an hour as it stands.
        now: the moment.
    """
    if work.stop:
        said = f"stopped {work.stop}; what was finished is committed"
        return Ending("stopped", CancelledError.exit_code, said, now)
    if now + ENDING_SECONDS + TICK_SECONDS >= order.deadline:
        said = f"the deadline is reached. {SpentError.remedy}"
        return Ending("deadline", SpentError.exit_code, said, now)
    reserve = per_hour * (ENDING_SECONDS + 2 * TICK_SECONDS) / ledger.HOUR
    if spent + reserve >= order.budget:
        said = f"the budget of {order.budget:.2f} $ is spent. {SpentError.remedy}"
        return Ending("budget", SpentError.exit_code, said, now)
    return None


def no_machines(boots: Boots, work: Work, *, pending: int, now: float) -> Ending | None:
    """Return the end of a run whose machines do not come up; None: some may.

    Args:
        boots: machines that did not come up.
        work: who did.
        pending: machines that may yet come up.
        now: the moment.
    """
    if not boots.stuck or work.joined or pending >= len(boots.failed):
        return None
    machine, reason = list(boots.failed.items())[-1]
    said = (
        f"{len(boots.failed)} machines did not come up, and none did since. The last, {machine}: "
        f"{reason}. Mend that and run again: what is finished stays."
    )
    return Ending("failed", CloudError.exit_code, said, now)


def no_price(book: Book, ending: Ending | None, now: float) -> Ending | None:
    """Return the end of a run of whose machines nobody knows what they cost.

    Args:
        book: which prices lack, and since when.
        ending: why it must end all the same; None: it may go on. A budget that such a price alone
            reaches is not spent, and nobody is told that it was.
        now: the moment.
    """
    long = book.unpriced_since is not None and now - book.unpriced_since >= UNPRICED_SECONDS
    if (ending is None and long) or (ending and ending.phase == "budget" and book.guesses):
        said = f"{trouble.no_price(book.unpriced, book.region)}. {trouble.PRICE_FIX}"
        return Ending("failed", CloudError.exit_code, said, now)
    return ending


def no_quota(reason: str, now: float) -> Ending:
    """Return the end of a run that the account may have no machines for."""
    return Ending("failed", QuotaError.exit_code, reason, now)
