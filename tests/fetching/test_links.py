"""The URLs of a dump, in a database of their own: each is there once, and none is left out."""

from __future__ import annotations

import contextlib
import tracemalloc

from imgbatch.fetching.links import AT_ONCE, Links
from imgbatch.fetching.task import UNWANTED

COUNT = 40 * AT_ONCE + 7


def test_what_no_post_wants_is_told_once_each_while_it_gets_its_outcome_and_in_little_memory() -> (
    None
):
    with contextlib.closing(Links()) as links:
        for number in range(COUNT):
            links.link(f"https://cdn.example.net/{number}.jpg", wanted=number % 3 == 0)
        tracemalloc.start()
        count = 0
        for url in links.unwanted():
            links.done({"url": url, "error_class": UNWANTED})
            count += 1
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == COUNT - (COUNT + 2) // 3
        assert list(links.unwanted()) == []
        assert peak < 100_000
