"""Keys of rows in; a number for each out, by which a fair sample is drawn.

Decision, 2026-11: a row is in a sample when a hash of its key and the seed is small enough. So the
draw does not depend on the order of rows, on how many workers there are, or on what was appended.
Drawback: a sample of 50,000 has a few hundred rows more or less than that.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOURCE_DIGITS = 32
WHOLE = 2**64


def draws(keys: Any, seed: int) -> NDArray[np.uint64]:
    """Return an evenly spread number below 2^64 for each key, the same one for the same key.

    Args:
        keys: string column of source, picture or region ids: 32 hex digits, and what follows.
        seed: other seeds give other numbers.
    """
    keys = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    ids = _halves(pc.utf8_slice_codeunits(keys, 0, SOURCE_DIGITS))
    tails = pc.utf8_slice_codeunits(keys, SOURCE_DIGITS).dictionary_encode()
    known = np.array([_hash(f"{seed}{tail}") for tail in tails.dictionary.to_pylist()], np.uint64)
    mixed = known[tails.indices.to_numpy()] if len(known) else np.zeros(0, np.uint64)
    # Ids are hashes already; but a corpus may have been sampled by their first digits.
    return scramble(ids[:, 0] ^ scramble(ids[:, 1] ^ mixed))


def share(rows: int, wanted: int) -> int:
    """Return the number below which about `wanted` of so many rows are drawn; all if few."""
    return WHOLE if rows <= wanted else WHOLE * wanted // rows


def below(numbers: NDArray[np.uint64], bound: int) -> NDArray[np.bool_]:
    """Return which numbers are below a bound of up to 2^64."""
    if bound >= WHOLE:
        return np.ones(len(numbers), bool)
    return numbers < np.uint64(bound)


def _halves(digits: Any) -> NDArray[np.uint64]:
    """Return (n, 2) numbers from a column of n times 32 hex digits."""
    data = digits.cast(pa.binary()).cast(pa.binary(SOURCE_DIGITS)).buffers()[1]
    letters = np.frombuffer(data, np.uint8, len(digits) * SOURCE_DIGITS).reshape(-1, SOURCE_DIGITS)
    # The low half of a digit's ASCII code is its value, and 9 less than that from "a" on.
    values = (letters & 15) + 9 * (letters >> 6)
    octets = values[:, ::2] << 4 | values[:, 1::2]
    return np.ascontiguousarray(octets).view(np.uint64)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def scramble(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
