"""Hashes of pictures enter; pairs of them that are near leave, quarter turns included.

A picture is 192 bits: its three hashes (`imgbatch.analyzers.hashes`), each 8 x 8. What the hashes
of the turned picture would be follows from them: brightness steps change places and direction,
frequencies change places and sign. (Ties do not: of 54 photographs 5 bits of 192 on average come
out otherwise than those of pixels that were turned by a quarter, and 7 by two.)

Pairs are found by locality-sensitive hashing (Indyk and Motwani 1998, bit sampling): in each of
TABLES tables those are compared that agree in BITS bits drawn once and for all: for a million
pictures about two comparisons each. All pairs would be the square.

    bits that differ    up to 19    20-27    28-31    32-35    36-39
    pairs found            99.8%      98%      93%      85%      73%

(of 54 photographs and 17 changed copies of each, half of them turned, against a look at every pair;
in groups of that size every copy was found, since one near pair is enough).

Decision, 2026-11: 96 tables of 20 bits, from the bits that cropping and recompressing change least.
Measured on 1,000,000 hashes and a busy machine: 56 s; faiss 1.15's IndexBinaryIVF (1,024 lists, 16
probed) took 160 s to fill and 80 s to search four quarters, and found 76% at 28 to 31 bits. A
multi-index that misses nothing would look up billions of keys. Drawback: what is found beyond 27
bits is a matter of luck, if always of the same; most copies have more than one pair to be found by.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HASHES = 3
SIDE = 8
BITS_OF_ALL = HASHES * SIDE * SIDE
TABLES, BITS = 96, 20
SEED = 20261121
# Turned pictures take part in all tables but every third: they are three quarters of its work.
UPRIGHT = 3
# Where so many agree in all bits of a key (a filmed wall), each is compared with so many of them.
WINDOW = 256
# A picture that found so many copies, in one table and in all, looks for no more there: its group
# is found through them.
ENOUGH_HERE, ENOUGH = 8, 32
THREADS = 4
CHUNK = 100_000
# Of the lowest frequencies, the first is the picture's mean: always above the median.
LOWEST, MEAN = 5, 0

Codes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Places of pictures, two by two, each pair once: first is less than second."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)


def codes(*hashes: NDArray[np.uint8]) -> Codes:
    """Return the codes of pictures.

    Args:
        hashes: dHash, downward dHash and pHash, each (n, 8) bytes, the first bit highest.

    Returns:
        (n, 3): 192 bits each.
    """
    return np.ascontiguousarray(np.hstack(hashes)).view(np.uint64)


def turned(these: Codes) -> Codes:
    """Return the codes of the pictures turned by a quarter, against the clock."""
    whole = np.empty_like(these)
    for start in range(0, len(these), CHUNK):
        some = these[start : start + CHUNK]
        bits = np.unpackbits(some.view(np.uint8), axis=1).reshape(-1, HASHES, SIDE, SIDE)
        across, down, low = bits[:, 0], bits[:, 1], bits[:, 2]
        turn = np.stack(
            [
                np.rot90(down, axes=(1, 2)),
                1 - np.rot90(across, axes=(1, 2)),
                # Turned is transposed and flipped, and flipped every second frequency has the
                # other sign; the median is about zero.
                low.transpose(0, 2, 1) ^ (np.arange(SIDE, dtype=np.uint8)[:, None] & 1),
            ],
            axis=1,
        )
        whole[start : start + CHUNK] = np.packbits(turn.reshape(len(some), -1), axis=1).view(
            np.uint64
        )
    return whole


def distances(left: Codes, right: Codes) -> NDArray[np.uint8]:
    """Return in how many bits codes differ, pair by pair."""
    found: NDArray[np.uint8] = np.bitwise_count(left[:, 0] ^ right[:, 0])
    for word in range(1, HASHES):
        found += np.bitwise_count(left[:, word] ^ right[:, word])
    return found


def near(these: Codes, distance: int) -> Pairs:
    """Return the pairs that differ in at most so many bits, one of them turned or not.

    Args:
        these: distinct codes, in an order that depends on nothing but them.
        distance: bits.
    """
    # One turned by three quarters is the other one's that is turned by one.
    once = turned(these)
    whole = np.concatenate([these, once, turned(once)])
    planes = np.ascontiguousarray(whole.view(np.uint8).T)
    count = len(these)
    packed = np.empty(0, np.int64)
    degree = np.zeros(count, np.int32)
    keys = _drawn()

    def look(table: int) -> NDArray[np.int64]:
        end = len(whole) if table % UPRIGHT else count
        return _agreeing(whole[:end], planes[:, :end], keys[table], distance, degree < ENOUGH)

    with ThreadPoolExecutor(THREADS, "near") as pool:
        for start in range(0, TABLES, THREADS):
            # By rounds: who looks on is decided between them, so the threads' pace has no part.
            found = list(pool.map(look, range(start, start + THREADS)))
            if not any(map(len, found)):
                continue
            packed = distinct(np.concatenate([packed, *found]))
            first, second = np.divmod(packed, count)
            degree = np.bincount(first, minlength=count) + np.bincount(second, minlength=count)
    first, second = np.divmod(packed, max(count, 1))
    return Pairs(first, second)


def _drawn() -> NDArray[np.int64]:
    """Return the places of the bits of each table's key."""
    rim = np.ones((SIDE, SIDE), bool)
    rim[1:-1, 1:-1] = False
    rows, columns = np.indices((SIDE, SIDE))
    high = (rows + columns >= LOWEST) | (rows + columns == MEAN)
    steady = np.flatnonzero(~np.stack([rim, rim, high]))
    random = np.random.default_rng(SEED)
    return np.stack([random.choice(steady, BITS, replace=False) for _ in range(TABLES)])


def _agreeing(
    whole: Codes,
    planes: NDArray[np.uint8],
    key: NDArray[np.int64],
    distance: int,
    looking: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Return the near pairs among those that agree in the bits of a key, each as one number.

    Args:
        whole: codes as they are, then turned by one quarter, then by two.
        planes: the same, (24, n): the first byte of all, the second of all, ...
        key: places of bits.
        distance: bits.
        looking: which pictures look for others.
    """
    count = len(looking)
    # Sorted by key; of equal ones first those that are not turned.
    order = _keys(planes, key)
    order <<= np.uint64(32)
    order |= np.arange(len(whole), dtype=np.uint64)
    order.sort()
    starts = np.flatnonzero(np.append(True, np.diff(order >> np.uint64(32)) != 0))
    ends = np.append(starts[1:], len(order)).astype(np.int32)
    end = np.repeat(ends, ends - starts)
    order &= np.uint64(2**32 - 1)
    place = order.view(np.int64)
    ordered = whole[place]
    at = np.flatnonzero(place < count)
    at = at[looking[place[at]]]
    hits = np.zeros(len(order), np.uint8)
    found = [np.empty(0, np.int64)]
    for step in range(1, WINDOW):
        at = at[at + step < end[at]]
        if not len(at):
            break
        near_ = at[distances(ordered[at], ordered[at + step]) <= distance]
        one, other = place[near_], place[near_ + step] % count
        pair = np.minimum(one, other) * count + np.maximum(one, other)
        found.append(pair[one != other])
        hits[near_] += 1
        if len(near_):
            at = at[hits[at] < ENOUGH_HERE]
    return distinct(np.concatenate(found))


def distinct(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each number once, in order; sorts what it is given.

    Not np.unique: of whole numbers that hashes them, which took 30 times as long (NumPy 2.4).
    """
    numbers.sort()
    first: NDArray[np.int64] = numbers[np.append(True, numbers[1:] != numbers[:-1])[: len(numbers)]]
    return first


def _keys(planes: NDArray[np.uint8], key: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return some bits of each code as one number."""
    found = np.zeros(planes.shape[1], np.uint64)
    for start in range(0, len(key), 8):
        bits = key[start : start + 8].tolist()
        byte = np.zeros(planes.shape[1], np.uint8)
        for bit in bits:
            byte <<= np.uint8(1)
            byte |= (planes[bit // 8] >> np.uint8(7 - bit % 8)) & np.uint8(1)
        found <<= np.uint64(len(bits))
        found |= byte
    return found
