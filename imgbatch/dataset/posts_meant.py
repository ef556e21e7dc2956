"""Posts that go enter; what tells whether an id in the name of a source means one of them leaves.

It means what it would mean to the join (`joining`): a post of any input where the id is one thing
anywhere, and else a post of the source's own input; and no post of a table or archive of pairs but
in its own, where ids count within a file or a dump. So post 2 of a table does not take `2.jpg` of
another input with it.

An id that is given by hand, and that no post of the dataset has, is looked for only where it is one
thing anywhere: nobody knows which input it is of. Where its post was forgotten before, that one's
tombstone knows.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgbatch.dataset import posts, tombstones
from imgbatch.dataset.joining import ANYWHERE
from imgbatch.dataset.post_marks import is_forgotten, name_mark
from imgbatch.platforms import counts_within

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.tombstones import Tombstones

    # A post's platform, id, input, and the format of its dump.
    Gone = Iterable[tuple[str, str, str, str]]


@dataclass(frozen=True, slots=True)
class Meant:
    """Tells which ids in names of sources mean some posts.

    Attributes:
        far: tells of an id whether it is theirs in every input.
        near: tells the same of an input, the format whose posts alone are meant (None: of any),
            and an id.
        called: ids of posts by what names have for them, where the dataset has pseudonyms.
    """

    far: Callable[[str], bool]
    near: Callable[[str, str | None, str], bool]
    called: Mapping[str, Collection[str]] = field(default_factory=dict)

    def by(self, word: str, reach: int, form: str | None, input_: str) -> bool:
        """Tell whether an id means one of them.

        Args:
            word: the id, as the name has it.
            reach: how far it is trusted.
            form: of which format's posts alone it is; None: of any.
            input_: that the source is of.
        """
        everywhere = reach == ANYWHERE and form is None
        return any(
            (everywhere and self.far(own)) or self.near(input_, form, own)
            for own in self.called.get(word, (word,))
        )


def of_posts(
    dataset: Dataset,
    gone: Gone,
    given: Collection[tuple[str, str]] = (),
    plain: Mapping[str, str] | None = None,
) -> Meant:
    """Return what tells whether posts are meant that are to go.

    Args:
        dataset: whose posts.
        gone: those that it has.
        given: all that are given by hand, by platform ("": any) and id.
        plain: what names have for the ids that are given, by these.
    """
    far = {own for platform, own in given if not counts_within(platform)}
    near: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for platform, own, input_, form in gone:
        near[input_][form].add(own)
        if not counts_within(platform):
            far.add(own)
    again = _again(dataset, {own for _, own in given})

    def is_near(input_: str, form: str | None, own: str) -> bool:
        theirs = near.get(input_, {})
        forms = theirs.values() if form is None else [theirs.get(form, set())]
        return (input_, own) in again or any(own in ids for ids in forms)

    return Meant(far.__contains__, is_near, _called(plain or {}))


def of_forgotten(
    stones: Tombstones, platforms: Iterable[str], plain: Mapping[str, str] | None = None
) -> Meant:
    """Return what tells whether posts are meant that have a tombstone.

    Which format such a post was of is not known: of two in one input either may be meant.

    Args:
        stones: of the dataset.
        platforms: of forgotten posts; "" where nobody said which.
        plain: as for `of_posts`.
    """
    everywhere = [platform for platform in platforms if not counts_within(platform)]
    return Meant(
        lambda own: any(is_forgotten(stones, platform, own) for platform in everywhere),
        lambda input_, _, own: name_mark(input_, own) in stones,
        _called(plain or {}),
    )


def names_of(gone: Gone) -> frozenset[str]:
    """Return what the tombstones are made of that `of_forgotten` knows inputs by."""
    return frozenset(name_mark(input_, own) for _, own, input_, _ in gone)


def _again(dataset: Dataset, ids: Collection[str]) -> set[tuple[str, str]]:
    """Return input and id of posts that are given and were forgotten before."""
    made = posts.record(dataset) if ids and posts.POSTS in posts.here(dataset) else None
    if not made:
        return set()
    stones = tombstones.read(dataset.store)
    return {(name, own) for name in made["inputs"] for own in ids if name_mark(name, own) in stones}


def _called(plain: Mapping[str, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for own, word in plain.items():
        found[word].add(own)
    return dict(found)
