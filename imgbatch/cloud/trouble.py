"""What a cloud says of a group enters; why a run waits leaves, in words with what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgbatch.cloud import Event, Market
    from imgbatch.cloud.deployment import Pool

# The first of these that happened lately is what is said.
SAID = {
    "denied": (
        "the cloud refuses machines for lack of a permission: {message}. "
        "`scripts/cloud doctor` lists what is missing; `scripts/cloud up` mends it"
    ),
    "quota": (
        "the account may have no more such machines: {message}. "
        "Ask for a larger quota (`scripts/cloud doctor` prints how), or take another pool"
    ),
    "stock-out": (
        "the cloud has no such machine to spare now: {message}. It is tried again until the "
        "deadline; a pool of more types or zones, or on-demand, finds some sooner"
    ),
    "failed": "the cloud could not launch a machine: {message}",
}
PRICE_FIX = (
    "Take these types out of `machines` in NAME.tfvars.json, then `scripts/cloud up`; or try again "
    "where the cloud did not answer."
)


def no_price(types: Sequence[str], region: str) -> str:
    """Return that no price is known of some types, and what that means."""
    return f"no price is known of {', '.join(types)} in {region}, so no budget can be kept"


def reason(events: Sequence[Event], *, members: int, failed: Mapping[str, str]) -> str:
    """Return why there are no more machines than there are; "" where nothing hinders.

    Args:
        events: of the pool, lately, oldest first.
        members: machines that there are.
        failed: machines that did not come up since one did, and why.
    """
    came = [event.at for event in events if event.kind == "launched"]
    # What was so before the last launch is so no more.
    since = max(came, default=0.0)
    said = [
        words.format(message=event.message.rstrip("."))
        for kind, words in SAID.items()
        for event in events[::-1]
        if event.kind == kind and event.at >= since
    ][:1]
    if said and members:
        said = [f"{members} of the machines are there; {said[0]}"]
    if failed:
        machine, why = list(failed.items())[-1]
        said.append(f"{len(failed)} machines did not come up; the last, {machine}: {why}")
    return "; ".join(said)


def no_quota(pool: Pool, market: Market, region: str) -> str:
    """Return why a pool can never have a machine; "" where an account's quota lets it have one."""
    kinds = set(pool.gpus) or {""}
    ours = [q for q in market.quotas(region) if q.gpu in kinds and q.spot == pool.spot]
    if not ours or any(quota.limit > 0 for quota in ours):
        return ""
    names = ", ".join(f"{quota.name!r}" for quota in ours)
    return f"the account's quota of such machines in {region} is 0 ({names}): {ours[0].fix}"
