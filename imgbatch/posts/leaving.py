"""Posts enter that leave, and are to be forgotten; a record that says so leaves.

That are those which an export lacks, by the policy `forget`; and by any policy those which were
forgotten by their ids of today when the dataset had them by others, and files of posts that were
forgotten when the dump had these files in another place.

A run forgets in two steps, so that no kill leaves half of it unknown: before the tables of posts
are committed without them, their tombstones are written and a forget is on record as begun. When
the run is over and its lock is free, that forget is completed (`imgbatch.removed`), by the same run
or by whichever comes next.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from imgbatch.dataset import posts
from imgbatch.dataset.commit import check_ours
from imgbatch.dataset.forget import begin
from imgbatch.dataset.post_marks import mark, name_mark, platform_of
from imgbatch.dataset.posts_forgotten import look_up_rows
from imgbatch.dataset.posts_theirs import KnownPosts
from imgbatch.records import source_id_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.gathered import Gathered
    from imgbatch.dataset.posts_named import IdsInNames

REASON = "policy: a later export lacks them"
# Of posts that were forgotten by the ids of today, and that the dataset had by those of before.
FORMER = "forgotten before, by other ids"
AGAIN = "forgotten before, and the dump has the files in another place"


def begin_to_forget(
    dataset: Dataset,
    gathered: Gathered,
    before: Mapping[str, str],
    ids: IdsInNames,
    *,
    number: int,
    reason: str = REASON,
) -> None:
    """Put on record that posts which leave are forgotten, with what only they have.

    Args:
        dataset: still with the rows of before.
        gathered: settled, and joined.
        before: what stands before the names of each input.
        ids: as for `look_up_rows`.
        number: of the run.
        reason: REASON where the policy is `forget`, else FORMER.

    Raises:
        FencedError: another run took the dataset over; nothing is on record.
    """
    leaving = gathered.leaving()
    again = gathered.again()
    stay = {(platform_of(platform), own) for platform, own in gathered.staying()}
    gone = {
        was: (platform, own)
        for was, (platform, own) in leaving.items()
        if (platform_of(platform), own) not in stay
    }
    there = gone and posts.POSTS in posts.here(dataset)
    found = look_up_rows(dataset, gone, ids=ids) if there else KnownPosts()
    before_now = [was for was in gathered.gone_before() if was in gone]
    # By these, too: killed before its commit, the next run may read them no more.
    marks = {mark(*was) for was in before_now if was[0] == gone[was][0]}
    # But not by numbers that several chats have: of such posts the metadata files are read again.
    numbers = [own for platform, own in before_now if platform != gone[platform, own][0]]
    read_again = set(map(source_id_of, found.files)) if numbers else set()
    found = dataclasses.replace(
        found,
        marks=found.marks | marks,
        names=found.names - {name_mark(gathered.input, own) for own in numbers},
    )
    # As it was before: whoever has one of their sources since this export keeps it.
    kept = (set(found.sources) - read_again) | again
    for batch in gathered.has() if kept else ():
        for source_id, input_, file in zip(*(c.to_pylist() for c in batch.columns), strict=True):
            kept.discard(source_id or source_id_of(before.get(input_, f"{input_}/") + file))
    if there or kept:
        found = dataclasses.replace(found, sources=frozenset(kept))
        # What is on record is done, whoever commits the posts: the other run may know better.
        check_ours(dataset, number)
        begin(dataset, found, reason=reason if there else AGAIN)
