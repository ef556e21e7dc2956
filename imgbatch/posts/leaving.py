"""Posts enter that an export lacks and that are to be forgotten; a record that says so leaves.

A run forgets in two steps, so that no kill leaves half of it unknown: before the tables of posts
are committed without them, their tombstones are written and a forget is on record as begun. When
the run is over and its lock is free, that forget is completed (`imgbatch.removed`), by the same run
or by whichever comes next.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from imgbatch.dataset import posts
from imgbatch.dataset.forget import begin
from imgbatch.dataset.post_marks import platform_of
from imgbatch.dataset.posts_forgotten import look_up_rows
from imgbatch.records import source_id_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.gathered import Gathered
    from imgbatch.dataset.posts_named import IdsInNames

REASON = "policy: a later export lacks them"


def begin_to_forget(
    dataset: Dataset, gathered: Gathered, before: Mapping[str, str], ids: IdsInNames
) -> None:
    """Put on record that the posts which an export lacks are forgotten, with what only they have.

    Args:
        dataset: still with the rows of before.
        gathered: settled by the policy `forget`, and joined.
        before: what stands before the names of each input.
        ids: as for `look_up_rows`.
    """
    stay = {(platform_of(platform), own) for platform, own in gathered.staying()}
    gone = {
        was: (platform, own)
        for was, (platform, own) in gathered.leaving().items()
        if (platform_of(platform), own) not in stay
    }
    if not gone or posts.POSTS not in posts.here(dataset):
        return
    found = look_up_rows(dataset, gone, ids=ids)
    # As it was before: whoever has one of their sources since this export keeps it.
    kept = set(found.sources)
    for batch in gathered.has() if kept else ():
        for source_id, input_, file in zip(*(c.to_pylist() for c in batch.columns), strict=True):
            kept.discard(source_id or source_id_of(before.get(input_, f"{input_}/") + file))
    begin(dataset, dataclasses.replace(found, sources=frozenset(kept)), reason=REASON)
