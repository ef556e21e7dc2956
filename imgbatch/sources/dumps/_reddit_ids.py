"""Reddit's ids, as formats write them: `t3_` before a submission's, `t1_` before a comment's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from imgbatch.platforms import COMMENT, SUBMISSION

if TYPE_CHECKING:
    from collections.abc import Mapping

WHOLE = re.compile(r"^t\d_")


def is_comment(item: Mapping[str, Any]) -> bool:
    """Tell whether Reddit's fields are those of a comment."""
    return "link_id" in item or "body" in item


def whole(post_id: str, *, comment: bool = False) -> str:
    """Return an id with what says which kind of thing it is of; one that has it as it is."""
    if WHOLE.match(post_id):
        return post_id
    return (COMMENT if comment else SUBMISSION) + post_id


def before(told: str | None, post_id: str) -> tuple[tuple[str, str], ...]:
    """Return what former versions called a post, as `Post.former` has it: by the id as it is told.

    Args:
        told: as the dump has it.
        post_id: as `whole` made it.
    """
    return () if told is None or told == post_id else (("reddit", told),)


def bare(post_id: str) -> str:
    """Return an id without what says which kind of thing it is of."""
    return WHOLE.sub("", post_id, count=1)
