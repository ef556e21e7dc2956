"""Object names to the readable part of an address, and back without loss; which lie in which."""

from __future__ import annotations

import os
import re

# `!/` parts an archive from its member, so a plain name must not hold it.
_UNSAFE = re.compile(r"%|!(?=/|$)")
_QUOTED = re.compile(rb"%([0-9A-Fa-f]{2})")


def quote(name: str) -> str:
    """Return a name with `%`, `!` before `/`, what cannot be printed and what is no UTF-8 as %XX.

    All else stays as people read it: blanks, accents, other scripts.
    """
    if name.isprintable() and not _UNSAFE.search(name):
        return name
    name = _UNSAFE.sub(lambda found: _bytes(found[0]), name)
    return "".join(c if c.isprintable() else _bytes(c) for c in name)


def _bytes(character: str) -> str:
    try:
        data = os.fsencode(character)
    except UnicodeEncodeError:
        # Half a surrogate pair, as JSON can say it: no file is called so.
        data = character.encode("utf-8", "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in data)


def unquote(text: str) -> str:
    """Return the name that `quote` was given."""
    if "%" not in text:
        return text
    return os.fsdecode(_QUOTED.sub(lambda found: bytes([int(found[1], 16)]), text.encode("utf-8")))


def followed(address: str) -> str:
    """Return the address that links of this machine lead to in the end, and others as they are."""
    scheme, _, rest = address.partition("://")
    if scheme != "file":
        return address
    return "file://" + quote(os.path.realpath(unquote(rest) or "/")).rstrip("/")


def lies_in(address: str, outer: str) -> bool:
    """Return whether a place is another one, or lies below it, by its name or by way of links.

    Args:
        address: of an object or a folder, canonical; it need not be there.
        outer: of a folder, canonical.
    """
    pairs = (address, outer), (followed(address), followed(outer))
    return any(f"{one}/".startswith(f"{other}/") for one, other in pairs)
