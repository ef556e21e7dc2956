"""Marks of media that datasets of before have enter; which media they mean leaves.

Such a mark is the place that a medium had in the copy of its post which the tables show.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from imgbatch.dataset import posts
from imgbatch.dataset.medium_marks import LINE, read_from, rows_of
from imgbatch.dataset.post_marks import FORGOTTEN
from imgbatch.dataset.posts import MEDIA
from imgbatch.platforms import unmarked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.medium_words import Words


@dataclass(slots=True)
class _Then:
    """Of posts by one platform and id: where they were read, and what their living media tell."""

    read: set[tuple[str, str]] = field(default_factory=set)
    living: set[str] = field(default_factory=set)


class PlacesThen:
    """Tells which media the marks of datasets of before mean; looks only when it is asked.

    In the copy that the tables show they hold. In one of another file they say nothing, as long as
    the former file is there. Where that cannot be told, as a file was written anew, say, or has
    another name, they hold but for a medium that the tables show joined to a source.

    Args:
        dataset: as it is before the run.
        input_: that is read.
    """

    def __init__(self, dataset: Dataset, input_: str) -> None:
        self._dataset = dataset
        self._input = input_

    @cached_property
    def _posts(self) -> Mapping[tuple[str, str], _Then]:
        if MEDIA not in posts.here(self._dataset):
            return {}
        there: set[tuple[str, str]] = set()
        gone = pc.field("status") == FORGOTTEN
        for batch in self._dataset.table(MEDIA).batches(["platform", "post_id"], gone):
            there.update(zip(*(column.to_pylist() for column in batch.columns), strict=True))
        found: dict[tuple[str, str], _Then] = defaultdict(_Then)
        for (platform, own), read in read_from(self._dataset, there).items():
            found[unmarked(platform), own].read.add(read)
        for row in rows_of(self._dataset, there):
            if row.source_id is not None:
                found[unmarked(row.platform), row.post_id].living |= row.words.all
        return dict(found)

    def mean(
        self,
        platform: str,
        post_id: str,
        raw_ref: str,
        words: Words,
        listed: Callable[[str], bool],
    ) -> bool:
        """Tell whether a medium is meant whose place has a mark.

        Args:
            platform: of its post, as it is read.
            post_id: of that.
            raw_ref: where that stands.
            words: what it is told by.
            listed: tells whether a file of the dump is there.
        """
        then = self._posts.get((unmarked(platform), post_id), _Then())
        if (self._input, raw_ref) in then.read:
            return True
        file = LINE.sub("", raw_ref)
        for input_, ref in then.read:
            former = LINE.sub("", ref)
            if input_ == self._input and former != file and listed(former):
                return False
        return not words.all & then.living
