"""A task enters; one request is made and a Step leaves. What it gave lies in OUT by then."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, cast

from imgbatch.errors import ImgbatchError, LinkError, StorageError
from imgbatch.fetching.kinds import HEAD_BYTES, kind_of
from imgbatch.fetching.robots import forbids_ai
from imgbatch.fetching.task import FIELDS, KEPT, TOO_LARGE, Step, came_from, failed, now
from imgbatch.fetching.urls import canonical, joined
from imgbatch.fetching.web import REDIRECTS, check_status, unpacked
from imgbatch.storage.secrets import scrub

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx2

    from imgbatch.fetching.asked import FetchSettings
    from imgbatch.fetching.robots import Robots
    from imgbatch.fetching.task import Row, Task
    from imgbatch.fetching.web import Answer, Web
    from imgbatch.storage import Store

MEDIA = "media"
# A file up to this size is held in memory, a larger one in a temporary file without a name.
IN_MEMORY = 4 * 2**20
UNCHANGED, FIRST_ERROR = 304, 400


class Worker:
    """Makes requests, in any thread.

    Args:
        web: asks.
        robots: says what may be asked; None: everything.
        store: OUT.
        settings: limits.
    """

    def __init__(
        self, web: Web, robots: Robots | None, store: Store, settings: FetchSettings
    ) -> None:
        self._web = web
        self._robots = robots
        self._store = store
        self._settings = settings

    def step(self, task: Task) -> Step:
        """Make the next request of a task; whatever is raised comes back in the Step."""
        before = self._web.made()
        found = self._tried(task)
        return replace(found, free=self._web.made() == before)

    def _tried(self, task: Task) -> Step:
        try:
            return self._step(task)
        except LinkError as error:
            told = error
        except (ImgbatchError, MemoryError) as error:
            return Step(task, fatal=error)
        except OSError as error:
            return Step(task, fatal=StorageError(f"{task.url}: cannot be kept: {error}"))
        except Exception as error:  # noqa: BLE001 - nothing that one server says may end a fetch
            told = LinkError("link.unexpected", scrub(f"{type(error).__name__}: {error}"))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever gets the step
            return Step(task, fatal=error)
        if told.retryable:
            return Step(task, error=told)
        row = failed(task, told)
        if told.code == TOO_LARGE:
            row["max_bytes"] = self._settings.max_bytes
        return Step(task, row=row)

    def _step(self, task: Task) -> Step:
        task.attempts += 1
        url = canonical(task.at)
        delay = self._robots.check(url) if self._robots else 0.0
        if delay > self._settings.patience:
            error = LinkError("link.limited", f"its robots.txt wants {delay:g} s between requests")
            error.after = delay
            raise error
        with self._web.ask(url, _conditions(task)) as answer:
            # An error page's own tag says nothing of the file.
            file = answer.status < FIRST_ERROR
            if self._robots and file and (word := forbids_ai(answer.tags)):
                raise LinkError("link.noai", f"X-Robots-Tag: {word}")
            if answer.status in REDIRECTS and "location" in answer.headers:
                return Step(task, moved=self._redirected(task, url, answer), delay=delay)
            if answer.status == UNCHANGED and task.former.get("file"):
                return Step(task, row=_unchanged(task), delay=delay)
            check_status(answer)
            row = self._take(task, answer)
        return Step(task, row=row, delay=delay, bytes=row["bytes"])

    def _redirected(self, task: Task, url: httpx2.URL, answer: Answer) -> str:
        to = str(joined(url, answer.headers["location"]))
        if to in [*task.via, str(url)]:
            raise LinkError("link.redirects", f"redirected in a circle, back to {scrub(to)}")
        if len(task.via) >= self._settings.max_redirects:
            raise LinkError("link.redirects", f"more than {self._settings.max_redirects} redirects")
        return to

    def _take(self, task: Task, answer: Answer) -> Row:
        """Read the body, look at it, and put it into OUT."""
        most = self._settings.max_bytes
        said = answer.headers.get("content-length", "")
        if said.isdigit() and int(said) > most:
            raise LinkError("link.too-large", f"{int(said):,} bytes, of {most:,} allowed")
        digest = hashlib.sha256()
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as spool:
            kind, ending, size = self._spooled(answer, cast("BinaryIO", spool), digest.update)
            name = name_of(task.key, digest.hexdigest(), ending)
            self._put(name, cast("BinaryIO", spool), size)
        return {
            "url": task.url,
            "status": "ok",
            "error_class": "",
            "message": "",
            "file": name,
            "kind": kind,
            "bytes": size,
            "sha256": digest.hexdigest(),
            "content_type": answer.headers.get("content-type"),
            "final_url": task.at if task.at != task.url else None,
            "http_status": answer.status,
            "etag": answer.headers.get("etag"),
            "last_modified": answer.headers.get("last-modified"),
            "attempts": task.attempts,
            "fetched_at": now(),
        }

    def _spooled(
        self, answer: Answer, spool: BinaryIO, update: Callable[[bytes], None]
    ) -> tuple[str, str, int]:
        """Write a body into a file; return its kind, the ending of its name, and its bytes."""
        said, head, size, known = answer.headers.get("content-type", ""), b"", 0, None
        for chunk in unpacked(answer, self._settings.max_bytes):
            size += len(chunk)
            if size > self._settings.max_bytes:
                raise LinkError("link.too-large", f"more than {self._settings.max_bytes:,} bytes")
            spool.write(chunk)
            update(chunk)
            if len(head) < HEAD_BYTES:
                head += chunk[: HEAD_BYTES - len(head)]
                # A page in the place of a picture is not read to its end.
                known = kind_of(head, said) if len(head) == HEAD_BYTES else None
        return *(known or kind_of(head, said)), size

    def _put(self, name: str, spool: BinaryIO, size: int) -> None:
        spool.seek(0)
        if size <= IN_MEMORY:
            self._store.put(name, spool.read())
        else:
            spool.flush()
            self._store.put_file(name, f"/dev/fd/{spool.fileno()}")


def name_of(key: str, digest: str, ending: str) -> str:
    """Return the name of a file in OUT: by its URL, and by what it held when it was fetched."""
    return f"{MEDIA}/{key[:2]}/{key}-{digest[:8]}.{ending}"


def _conditions(task: Task) -> dict[str, str]:
    """Return the headers that ask for a file only if it is another than the one that is here.

    Only where that one came from: another place may have an older file, which is new all the same.
    """
    if not task.former.get("file") or came_from(task.former) != task.at:
        return {}
    asked = {"If-None-Match": "etag", "If-Modified-Since": "last_modified"}
    return {header: task.former[name] for header, name in asked.items() if task.former.get(name)}


def _unchanged(task: Task) -> Row:
    kept = {name: task.former.get(name) for name in KEPT}
    return {
        **dict.fromkeys(FIELDS),
        **kept,
        "url": task.url,
        "status": "ok",
        "error_class": "",
        "message": "",
        "final_url": task.at if task.at != task.url else None,
        "http_status": UNCHANGED,
        "attempts": task.attempts,
        "fetched_at": now(),
    }
