"""Names inside a dump: what a metadata file means by a path, and how a place in it is written.

Names are those of addresses: relative to the dump's root, quoted as `storage.addresses` does, and
members of an archive as `ARCHIVE!/NAME`.
"""

from __future__ import annotations

import re

from imgbatch.sources.dumps.values import clean
from imgbatch.sources.names import SQUEEZED
from imgbatch.storage.addresses import quote

MEMBER = "!/"
EXACT = "//"
DRIVE = re.compile(r"^[A-Za-z]:/")
# The size that X's older picture URLs end in, and the format that newer ones ask for.
SIZE = re.compile(r":(orig|large|medium|small|thumb)$")
FORM = re.compile(r"(?:^|&)format=([a-z0-9]{2,4})(?:&|$)")
URL = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def ref(name: str, line: int) -> str:
    """Return a post's place: metadata file and line or item, from 1."""
    return f"{name}:{line}"


def ending(name: str) -> str:
    """Return the last extension in lower case, without dot; compression is passed over."""
    parts = name.rpartition("/")[2].lower().split(".")[1:]
    while len(parts) > 1 and parts[-1] in SQUEEZED:
        parts.pop()
    return parts[-1] if parts else ""


def base(name: str) -> str:
    """Return the last part of a name, a path or a URL's path: no folders, query or fragment.

    Of X's picture URLs (`ABC?format=jpg&name=orig`, `ABC.jpg:orig`) what downloaders make of them:
    `ABC.jpg`.
    """
    query = ""
    if URL.match(name):
        name, _, query = name.partition("#")[0].partition("?")
        name = SIZE.sub("", name)
    found = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    form = FORM.search(query)
    return f"{found}.{form[1]}" if form and "." not in found else found


def stem(name: str) -> str:
    """Return the base without its last extension."""
    found = base(name)
    head, dot, _ = found.rpartition(".")
    return head if dot and head else found


def folder(name: str) -> str:
    """Return the folder of a name, with its `/`; "" at the root, `ARCHIVE!/` in an archive's."""
    head, slash, _ = name.rpartition("/")
    return head + slash


def archive(name: str) -> str:
    """Return `ARCHIVE!/` of a member, "" of a plain file."""
    head, mark, _ = name.partition(MEMBER)
    return head + mark if mark else ""


def exact(name: str) -> str:
    """Return the path that means this name of the dump, wherever it is said."""
    return EXACT + name


def resolve(path: str, beside: str) -> str | None:
    """Return the name that a metadata file means by a path; None where it can be none here.

    Args:
        path: as the metadata file says it, unquoted; either slash; from the root of the dump (of
            its archive, for a member) where it begins with `/`. Behind `//` (see `exact`) it is a
            name already.
        beside: the name of the metadata file.
    """
    if path.startswith(EXACT):
        return clean(path[len(EXACT) :])
    path = path.replace("\\", "/")
    if not path or "\0" in path or URL.match(path) or DRIVE.match(path):
        return None
    inside = archive(beside)
    if beside.startswith("./", len(inside)):
        inside += "./"  # as `tar` names the members of `.`
    around = folder(beside)[len(inside) :]
    parts = [] if path.startswith("/") else [part for part in around.split("/") if part]
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return None  # it climbs out
            parts.pop()
        elif part not in ("", "."):
            parts.append(quote(part))
    return inside + "/".join(parts) if parts else None
