"""A model's name or a user's own file enters; a verified file of this machine leaves.

From the cache of this machine; else from the mirror, where one is set (and then from nowhere else:
a thousand workers must not ask a hub); else from the URL.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SerializationInfo, SerializerFunctionWrapHandler, model_serializer

from imgbatch.attempts import Patience, attempt
from imgbatch.errors import ImgbatchError, StorageError, WeightsError
from imgbatch.models import cache, download
from imgbatch.models.registry import Model
from imgbatch.models.remedies import lacking, local, name_of, other
from imgbatch.settings import Settings
from imgbatch.storage import open_store
from imgbatch.storage.secrets import scrub

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgbatch.models.download import Listener
    from imgbatch.settings import Limits

# The context of a dump that goes into a fingerprint: where weights lie decides over no row.
FINGERPRINT = "fingerprint"
PUBLISHED = "Give the digest of the file that you mean; without one, the published digest decides."


class Own(Settings):
    """Weights of the user's own, as a recipe names them.

    Attributes:
        url: a path, from where imgbatch is started; or a URL that begins with file, s3, gs, http
            or https.
        sha256: digest of the file; where it is missing, the error says what it is.
    """

    url: str = Field(min_length=1)
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @model_serializer(mode="wrap")
    def _dump(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        said: dict[str, Any] = handler(self)
        return {"sha256": self.sha256} if info.context == FINGERPRINT else said


Wanted = Model | Own
How = Literal["there", "mirror", "url"]


@dataclass(frozen=True, slots=True)
class Had:
    """A verified file, and how it was had.

    Attributes:
        how: it lay there, came from the mirror, or from its URL.
        damaged: what lay in the cache was not what it should be, and was replaced.
    """

    path: Path
    how: How
    damaged: bool = False


def adopt(limits: Limits) -> None:
    """Take cache and mirror from a run's limits, as its driver was told; for this process."""
    cache.adopt(limits)


def digest_of(wanted: Wanted) -> str:
    """Return the digest that stands for these weights in a fingerprint; reads no file.

    Raises:
        WeightsError: the user's own have none; says which it is, where the file is on this machine.
    """
    if wanted.sha256:
        return wanted.sha256
    path = local(wanted)
    if path is None or not path.is_file():
        raise WeightsError(
            f"weights {name_of(wanted)} have no sha256",
            "Write the digest of the file beside its url: `sha256sum FILE` shows it.",
        )
    raise WeightsError(
        f"weights {name_of(wanted)} have no sha256",
        f'Of the file that lies there now it is: sha256 = "{cache.digest(path)}"',
    )


def fetch(wanted: Wanted, listener: Listener | None = None) -> Path:
    """Return a verified file of weights.

    Args:
        wanted: which.
        listener: told how much of it is there, while it comes.

    Warns:
        UserWarning: what lay in the cache was damaged, and was replaced.

    Raises:
        WeightsError: it cannot be had, or is not what it should be; says what to do.
    """
    had = get(wanted, listener=listener)
    if had.damaged:
        warnings.warn(f"{had.path} was damaged, and was fetched anew", stacklevel=2)
    return had.path


def where(wanted: Wanted) -> How:
    """Return from where weights would be had; brings none of them here.

    Raises:
        WeightsError: they cannot be had now, or are not what they should be; says what to do.
    """
    file = file_of(wanted)
    if _here(wanted, file):
        return "there"
    mirror = cache.told().model_mirror
    try:
        if mirror:
            download.look_in(open_store(mirror), file.key)
            return "mirror"
        download.look(wanted.url)
    except (StorageError, PermissionError, WeightsError) as error:
        raise lacking(wanted, mirror, error) from (
            error if isinstance(error, ImgbatchError) else None
        )
    return "url"


def get(
    wanted: Wanted, *, sha256: str = "", mirrored: bool = True, listener: Listener | None = None
) -> Had:
    """Return a verified file of weights, and how it was had.

    Args:
        wanted: which.
        sha256: the digest in full that it must have besides: what is published of one may be its
            first digits. "": none.
        mirrored: to take it from the mirror, where one is set; else from its URL in any case.
        listener: told how much of it is there, while it comes.

    Raises:
        WeightsError: it cannot be had, or is not what it should be; says what to do.
    """
    file = file_of(wanted)
    asked = sha256 or file.sha256
    if not asked.startswith(file.sha256):
        raise other(name_of(wanted), file.sha256, asked, PUBLISHED)
    if here := _here(wanted, file):
        return Had(_held(here, asked), "there")
    path = cache.path_of(file)
    with cache.writing(path) as begun:
        # Another process may have got it while this one waited.
        damaged = path.is_file() and not cache.is_whole(path, file.sha256)
        if path.is_file() and not damaged:
            return Had(_held(path, asked), "there")
        if damaged:
            path.unlink()
        mirror = cache.told().model_mirror if mirrored else ""
        if mirror:
            write = partial(download.from_store, open_store(mirror), file.key, begun, listener)
        else:
            write = partial(download.from_url, wanted.url, begun, listener)
        _complete(wanted, asked, begun, mirror, write)
        cache.finish(begun, path)
    return Had(path, "mirror" if mirror else "url", damaged=damaged)


def _held(path: Path, asked: str) -> Path:
    """Return a file of the cache that has a digest.

    Raises:
        WeightsError: it has what is published of its digest, and another one in full; it stays.
    """
    if not cache.is_whole(path, asked):
        raise other(str(path), cache.digest(path), asked, PUBLISHED)
    return path


def file_of(wanted: Wanted) -> cache.File:
    """Return what weights are called in cache and mirror.

    Raises:
        WeightsError: the user's own have no digest.
    """
    name = wanted.file if isinstance(wanted, Model) else ""
    name = name or wanted.url.partition("?")[0].rstrip("/").rpartition("/")[2]
    # A name of dots alone is another folder's.
    return cache.File(name if name.strip(".") else "weights", digest_of(wanted))


def path_of(wanted: Wanted) -> Path:
    """Return where weights lie on this machine, or would; nothing is verified.

    Raises:
        WeightsError: the user's own have no digest.
    """
    return local(wanted) or cache.path_of(file_of(wanted))


def _complete(
    wanted: Wanted, asked: str, begun: Path, mirror: str, write: Callable[[], None]
) -> None:
    """Write the partial file whole; one that was continued and is wrong is begun anew, once."""
    for continued in (begun.exists(), False):
        if not continued:
            begun.unlink(missing_ok=True)
        _patiently(write, wanted, begun, mirror)
        if cache.is_whole(begun, asked):
            return
        if not continued:
            break
    found = cache.digest(begun)
    begun.unlink()
    came = f"the mirror {mirror}" if mirror else scrub(wanted.url)
    replaced = (
        "Whoever keeps it replaced it, or it is damaged there. Ask them, or push it anew: "
        "`imgbatch models push NAME STORE-URL`."
    )
    published = found.startswith(digest_of(wanted))
    raise other(
        f"{name_of(wanted)} from {came}", found, asked, PUBLISHED if published else replaced
    )


def _patiently(write: Callable[[], None], wanted: Wanted, begun: Path, mirror: str) -> None:
    """Go on until all of it is there; as long as each round brings some, however long it takes."""
    limits = cache.told()
    while True:
        before = _size(begun)
        try:
            attempt(write, Patience(limits.fetch_attempts, limits.fetch_seconds))
        except (StorageError, PermissionError, WeightsError) as error:
            if isinstance(error, StorageError) and error.retryable and _size(begun) > before:
                continue
            raise lacking(wanted, mirror, error) from (
                error if isinstance(error, ImgbatchError) else None
            )
        return


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _here(wanted: Wanted, file: cache.File) -> Path | None:
    """Return the verified file, where it is on this machine.

    Raises:
        WeightsError: the user's own file is another one than the digest says, or may not be read.
    """
    own, path = local(wanted), cache.path_of(file)
    try:
        if own is None or not own.is_file():
            return path if path.is_file() and cache.is_whole(path, file.sha256) else None
        if cache.is_whole(own, file.sha256):
            return own
        found = cache.digest(own)
    except OSError as error:
        raise WeightsError(
            f"{own or path} cannot be read: {error.strerror or error}",
            "Permit it, or give another folder with IMGBATCH_MODEL_CACHE.",
        ) from error
    raise other(
        str(own),
        found,
        file.sha256,
        "Give the digest of the file that you mean, or put that file there.",
    )
