"""A URL enters; a partial file of this machine leaves, with all that the URL gives in it.

Where a former download was cut off, this one goes on after its last byte; the digest of the whole
is looked at by whoever asked. An answer that is no file (an error, a page) never gets that far.
"""

from __future__ import annotations

import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO

from imgbatch.errors import StorageError, WeightsError
from imgbatch.models import cache
from imgbatch.storage import locate, open_store
from imgbatch.storage.secrets import cause, scrub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from requests import Response

    from imgbatch.storage import Store

    # Told how many bytes are there now, each time that some came.
    Listener = Callable[[int], None]

CHUNK = 2**18
WEB = ("http://", "https://")
# What a server says that may be better in a moment.
PASSING = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    *(status for status in HTTPStatus if status >= HTTPStatus.INTERNAL_SERVER_ERROR),
}


def from_url(url: str, partial: Path, listener: Listener | None = None) -> None:
    """Complete a partial file from a URL: http, https, or one of our stores.

    Raises:
        StorageError: in a way that may pass, or its store refuses it.
        WeightsError: it is not there.
    """
    if url.startswith(WEB):
        _from_web(url, partial, listener)
        return
    from_store(*_located(url), partial, listener)


def from_store(store: Store, name: str, partial: Path, listener: Listener | None = None) -> None:
    """Complete a partial file from an object of a store.

    Raises:
        StorageError: in a way that may pass, or the store refuses it.
        WeightsError: it is not there.
    """
    try:
        with store.open(name) as found, partial.open("ab") as written:
            found.seek(written.tell())
            _copy(iter(lambda: found.read(CHUNK), b""), written, listener)
    except FileNotFoundError as error:
        raise WeightsError(f"{store.address(name)} is not there") from error


def look(url: str) -> None:
    """Ask once whether a URL gives something, without taking it.

    Raises:
        StorageError, WeightsError: it does not, or not now.
    """
    if url.startswith(WEB):
        with _asked(url, {"Range": "bytes=0-0"}):
            return
    look_in(*_located(url))


def look_in(store: Store, name: str) -> None:
    """Ask once whether a store has an object.

    Raises:
        StorageError, WeightsError: it has not, or does not say.
    """
    try:
        store.head(name)
    except FileNotFoundError as error:
        raise WeightsError(f"{store.address(name)} is not there") from error


def _located(url: str) -> tuple[Store, str]:
    """Return the store and the name that a URL of a user means; its query holds options."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise WeightsError(f"this machine has no {url}")
    address, _, options = rest.partition("?")
    if options:
        bucket = address.partition("/")[0]
        open_store(f"{scheme}://{bucket}?{options}")  # which remembers them for the bucket
    return locate(f"{scheme}://{address}")


def _from_web(url: str, partial: Path, listener: Listener | None) -> None:
    done = partial.stat().st_size if partial.exists() else 0
    with _asked(url, {"Range": f"bytes={done}-"} if done else {}) as answer:
        if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it is there; if it is not the right one, its digest says so
        going_on = answer.status_code == HTTPStatus.PARTIAL_CONTENT
        with partial.open("ab" if going_on else "wb") as written:
            _copy(answer.iter_content(CHUNK), written, listener)


@contextlib.contextmanager
def _asked(url: str, headers: dict[str, str]) -> Iterator[Response]:
    """Yield the answer of a server that has what it is asked for.

    Raises:
        StorageError: it may give it in a moment, or the connection broke.
        WeightsError: it does not give it.
    """
    from requests import RequestException, get  # noqa: PLC0415 - a heavy import

    limits = cache.told()
    asked = {"Accept-Encoding": "identity", **headers}
    waits = (limits.connect_seconds, limits.request_seconds)
    try:
        with get(url, headers=asked, stream=True, timeout=waits) as answer:
            _refuse(url, answer)
            yield answer
    except RequestException as error:
        said = scrub(f"{url}: {_first(error)}")
        raise StorageError(said) from cause(error)


def _first(error: Exception) -> str:
    """Return what kept us from a server, without the layers of libraries around it."""
    inner = error.args[0] if error.args else error
    said = str(getattr(inner, "reason", inner))
    return said.partition("): ")[2] or said


def _refuse(url: str, answer: Response) -> None:
    """Refuse an answer that holds no file.

    Raises:
        StorageError: the server may give it in a moment.
        WeightsError: it does not give it.
    """
    if answer.ok or answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return
    said = scrub(f"{url}: {answer.status_code} {answer.reason}")
    if answer.status_code in PASSING:
        raise StorageError(said)
    raise WeightsError(said)


def _copy(chunks: Iterable[bytes], written: BinaryIO, listener: Listener | None) -> None:
    for chunk in chunks:
        written.write(chunk)
        if listener:
            listener(written.tell())
