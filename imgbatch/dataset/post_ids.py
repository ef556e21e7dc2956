"""A text enters; whether it names a forgotten post leaves.

Of a forgotten post only keyed hashes are kept, so each word that the id of a post can look like is
hashed too: as a post of each platform that a forget has named, and of none. Such words are

    a whole string       of at most 200 characters, whatever is in it: what a table's cell is
    1500000000000000001  a run of letters, digits, - and _, of 5 characters or more, with a digit
    CxYzAbCdEfG          one without, of 9 or more in capitals and small letters
    1500000000000000001_2, 3_B_x-9    and what lies between such marks: the id and B_x-9
    1234567890/17        a message of a chat

A number of fewer than 8 digits is a count, a year or a size as often as a post, and what is all
small letters a word of some language, or of our own records (`tables`): nobody could tell, and they
are no such words. Nor is what the name of a file holds (an address that is no web page, or a
path that ends in an extension): a source that is forgotten is found by its address, one that is
called after a forgotten post by `posts_named`, and the file of one that stays, since another post
has it too, may be called after any post.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from imgbatch.dataset.post_marks import has_stone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgbatch.dataset.tombstones import Tombstones

# What cannot be in a name: addresses are quoted.
BETWEEN = re.compile(r'[\s"<>]+')
WEB = ("http://", "https://")
EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}(:\d+)?['.,:;!?)\]}]*$")
RUN = re.compile(r"[A-Za-z0-9_-]{5,}")
PIECE = re.compile(r"[A-Za-z0-9]+")
MESSAGE = re.compile(r"-?\d+/\d+")
DIGIT = re.compile(r"\d")
SHORTEST, DIGITS, MIXED = 5, 8, 9
LONGEST_RUN, LONGEST = 64, 200
# Of a run with more pieces than that only the pieces are taken, not all that stand together.
PIECES = 6
# Most short strings come again and again: names of fields, states, classes of errors.
REMEMBERED = 2**16


@dataclass(frozen=True)
class PostIds:
    """Finds ids of forgotten posts.

    Attributes:
        stones: that know them.
        platforms: of forgotten posts; "" where nobody said which.
    """

    stones: Tombstones
    platforms: frozenset[str]
    _known: Callable[[str], bool] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_known", lru_cache(REMEMBERED)(self._looked))

    def __bool__(self) -> bool:
        """Tell whether there is anything to look for."""
        return bool(self.platforms)

    def within(self, text: str) -> bool:
        """Tell whether a string names one."""
        return bool(self) and (self._known if len(text) <= LONGEST_RUN else self._looked)(text)

    def is_one(self, word: str) -> bool:
        """Tell whether a word is the id of a forgotten post."""
        return any(has_stone(self.stones, platform, word) for platform in self.platforms)

    def _looked(self, text: str) -> bool:
        return any(map(self.is_one, words(text)))


def may_be(word: str) -> bool:
    """Tell whether a word can be taken for the id of a post where no post says so."""
    digits = word.replace("/", "")
    if digits.isdecimal():
        return len(digits) >= DIGITS
    if DIGIT.search(word):
        return len(word) >= SHORTEST
    return len(word) >= MIXED and not (word.islower() or word.isupper() or word.istitle())


def words(text: str) -> Iterator[str]:
    """Yield what may be the id of a post in a string; some of it more than once."""
    if len(text) <= LONGEST and may_be(text):
        yield text
    for token in BETWEEN.split(text):
        if len(token) < SHORTEST or _is_name(token):
            continue
        for run in RUN.findall(token):
            yield from filter(may_be, _spans(run))
        if "/" in token:
            yield from filter(may_be, MESSAGE.findall(token))


def _is_name(token: str) -> bool:
    return ("://" in token and not token.startswith(WEB)) or EXTENSION.search(token) is not None


def _spans(run: str) -> Iterator[str]:
    if len(run) <= LONGEST_RUN:
        yield run
    if run.isalnum():
        return
    pieces = list(PIECE.finditer(run))
    together = PIECES if len(pieces) <= PIECES else 1
    for place, first in enumerate(pieces):
        for last in pieces[place : place + together]:
            if first.start() or last.end() < len(run):
                yield run[first.start() : last.end()]
