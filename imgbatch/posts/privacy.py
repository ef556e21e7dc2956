"""A post enters as it was read, and leaves as it is to be kept; pure, before anything is stored.

What is left out or replaced, by the settings of the recipe's table `[posts]`:

    text = false         what posts say, and the descriptions of their media
    names = false        names of authors, also where a platform's rows have nothing else for an id,
                         and the post's address, which has them too
    pseudonyms = true    ids of authors and posts become keyed hashes, also where a post answers or
                         shares another; names and the post's address are left out

Names inside of texts stay while texts do. Addresses and file names of media stay: they are what a
medium is found by, and the table of sources has them anyway. Whoever has the dump has all of it.

Decision, 2026-11: pseudonyms are BLAKE2b with a key that never lies in the dataset, and the same
for the same id in each dataset of that key. Drawback: who loses the key can add no further export
to a dataset, and apply no list of deleted posts to it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from imgbatch.dataset.post_marks import forms
from imgbatch.errors import SettingsError
from imgbatch.platforms import unmarked
from imgbatch.settings import read_limits
from imgbatch.storage.addresses import unquote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.settings import PostSettings
    from imgbatch.sources.dumps import Media, Post

Kind = Literal["author", "post", "medium"]

LEAST_BYTES = 16
HASH_BYTES = 16
LOCAL_SCHEME = "file://"
VARIABLE = "IMGBATCH_PSEUDONYM_KEY_FILE"
MAKE = (
    f"`openssl rand -hex 32 > FILE` makes one: keep it out of the dataset, name it in {VARIABLE}."
)


def read_key(path: str | None = None, *, outside: str = "") -> bytes:
    """Return the key of pseudonyms, from a file that is no part of any dataset.

    Args:
        path: of the file; by default what IMGBATCH_PSEUDONYM_KEY_FILE names.
        outside: root of the dataset that it must not lie in; "": not looked at.

    Raises:
        SettingsError: none is named, it cannot be read, it is too short to keep a secret, or it
            lies in the dataset.
    """
    named = read_limits().pseudonym_key_file if path is None else path
    if not named:
        raise SettingsError("pseudonyms = true, and no file of a key is named", MAKE)
    try:
        # A line break at the end is an editor's, and no part of a key.
        file = Path(named).expanduser()
        found = file.read_bytes().strip()
        inside = _lies_in(file, outside)
    except OSError as error:
        raise SettingsError(f"{VARIABLE} {named}: {error.strerror}", MAKE) from error
    if inside:
        raise SettingsError(
            f"{VARIABLE} {named} lies inside of the dataset {outside}",
            "Move it elsewhere: whoever gets the dataset could tell whose posts these are.",
        )
    if len(found) < LEAST_BYTES:
        raise SettingsError(
            f"{VARIABLE} {named} holds {len(found)} bytes, and a key has {LEAST_BYTES} or more",
            MAKE,
        )
    return hashlib.blake2b(found, digest_size=32, person=b"imgbatch-key").digest()


def _lies_in(file: Path, root: str) -> bool:
    """Return whether a file lies in the folder of a root, be it by a link."""
    if not root.startswith(LOCAL_SCHEME):
        return False
    folder = Path(unquote(root.removeprefix(LOCAL_SCHEME)))
    return file.resolve().is_relative_to(folder.resolve())


def pseudonym(key: bytes, kind: Kind, platform: str, own: str) -> str:
    """Return what stands for an id: 32 hex digits, the same for the same id, kind and platform.

    Args:
        key: as `read_key` gave it.
        kind: what it is an id of; an author and a post with the same digits are told apart.
        platform: an id counts within one; a mark of its file changes nothing.
        own: the id.
    """
    said = f"{kind}\0{unmarked(platform)}\0{own}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(said, digest_size=HASH_BYTES, key=key).hexdigest()


def anywhere(key: bytes, own: str) -> str:
    """Return what stands for the id of a post in tombstones, whatever its platform is called.

    Which platforms may come into a dataset nobody knows when a list of deleted posts is applied.
    """
    return pseudonym(key, "post", "", own)


def private(
    post: Post, settings: PostSettings, key: bytes | None, platforms: Sequence[str] = ()
) -> Post:
    """Return a post without what is not to be kept.

    Args:
        post: as it was read.
        settings: what is kept.
        key: of pseudonyms; needed where the settings ask for them.
        platforms: that a post may be of whose platform nobody says.
    """
    found = post
    if not settings.text:
        media = tuple(replace(one, alt_text=None) for one in found.media)
        found = replace(found, text=None, media=media)
    if not settings.names or settings.pseudonyms:
        found = replace(found, author_name=None, url=None)
        if not settings.pseudonyms and post.author_id == post.author_name:
            found = replace(found, author_id=None, handle=post.author_id)
    if settings.pseudonyms:
        assert key is not None, "whoever asks for pseudonyms has read the key"
        found = _hidden(found, key, platforms if post.linked else ())
    return found


def _hidden(post: Post, key: bytes, others: Sequence[str]) -> Post:
    def of(kind: Kind, own: str | None) -> str | None:
        return None if own is None else pseudonym(key, kind, post.platform, own)

    def medium(one: Media) -> Media:
        return replace(one, key=of("medium", one.key))

    named = [own for own in (post.post_id, post.reply_to, post.repost_of) if own is not None]
    former = post.former
    if former:
        # As former versions made them: of the platform by its name then.
        former = tuple((was, pseudonym(key, "post", was, own)) for was, own in former)
    return replace(
        post,
        former=former,
        post_id=pseudonym(key, "post", post.platform, post.post_id),
        author_id=of("author", post.author_id),
        reply_to=of("post", post.reply_to),
        repost_of=of("post", post.repost_of),
        media=tuple(map(medium, post.media)),
        anywhere={
            pseudonym(key, "post", post.platform, own): (
                *(anywhere(key, form) for form in forms(post.platform, own)),
                *(pseudonym(key, "post", p, form) for p in others for form in forms(p, own)),
            )
            for own in named
        },
    )
