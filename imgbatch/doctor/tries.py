"""One call of a store enters; a Finding leaves, whatever came of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgbatch.errors import ImgbatchError, OutageError, RunError, SettingsError
from imgbatch.storage import Store, open_store
from imgbatch.storage.buckets import CERTIFICATE, Bucket, Finding, open_bucket
from imgbatch.storage.secrets import scrub

if TYPE_CHECKING:
    from collections.abc import Callable

BUCKETS = ("s3://", "gs://")
LONGEST = 400
# What a server says that no permission of the object store's own mends.
HINTS = {
    "kms:": (
        "The bucket encrypts with a key of its owner's. Whoever administers that key permits you "
        "kms:Decrypt, and kms:GenerateDataKey for writing."
    ),
    "InvalidObjectState": (
        "The object lies in an archive (Glacier). Restore it first: `aws s3api restore-object`, or "
        "give an INPUT without archived objects: each would be `fetch.denied`."
    ),
}
REFUSED = ("AccessDenied", "403 Forbidden")
ESCAPES = re.compile(r"\x1b\[[\d;]*m")


class WrongError(Exception):
    """The store did what it was told not to, or not what it was told."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run would read or write.

    Attributes:
        bucket: None for a folder or memory.
    """

    url: str
    bucket: Bucket | None

    @classmethod
    def at(cls, url: str) -> Place:
        """Return the place at a URL; its store is opened later: without keys it may refuse."""
        return cls(url, open_bucket(url) if url.startswith(BUCKETS) else None)

    @property
    def store(self) -> Store:
        """Its store.

        Raises:
            SettingsError: the URL, or what the environment says of its store.
        """
        return open_store(self.url)

    def grant(self, verb: str) -> str:
        """Return how a verb comes to be permitted."""
        if self.bucket:
            return self.bucket.grant(verb)
        letter = {"list": "rX", "get": "r", "put": "rwX", "delete": "rwX"}[verb]
        return (
            f"`chmod -R u+{letter} FOLDER`, or ask its owner (`ls -ld FOLDER` shows who that is)."
        )


def tried(place: Place, check: str, verb: str, call: Callable[[], str]) -> Finding:
    """Call, and return what came of it.

    Args:
        place: where.
        check: name of the finding.
        verb: what must be permitted for it: list, get, put or delete.
        call: returns what to say when all is well.
    """
    try:
        return Finding(check, "ok", call())
    except PermissionError as error:
        remedy = _hinted(str(error)) or place.grant(verb)
        return Finding(check, "failed", f"refused: {brief(error)}", remedy)
    except FileNotFoundError as error:
        gone = "Another process may delete here, or the store does not show what was just written."
        gone = "Check the path or URL: nothing can be made there." if verb == "put" else gone
        return Finding(check, "failed", f"not there: {brief(error)}", gone)
    except WrongError as error:
        return Finding(check, "failed", *error.args)
    except (ImgbatchError, OSError) as error:
        # Of a listing, and of many deletes at once, a refusal comes as any other error.
        if any(words in str(error) for words in REFUSED):
            return Finding(check, "failed", f"refused: {brief(error)}", place.grant(verb))
        remedy = error.remedy if isinstance(error, RunError) else "Mend this, then look again."
        if isinstance(error, OutageError) and place.bucket:
            # boto3 was answered a moment ago: what differs is whose certificates are trusted.
            remedy = f"{remedy} {CERTIFICATE}"
        return Finding(check, "failed", brief(error), remedy)


def _hinted(text: str) -> str:
    return next((hint for word, hint in HINTS.items() if word in text), "")


def settings_wrong(error: RunError) -> Finding:
    """Return the finding for a URL or a variable that does not fit."""
    usual = error.remedy == SettingsError.remedy
    remedy = "Correct the URL, or the variable that it comes from." if usual else error.remedy
    return Finding("settings", "failed", brief(error), remedy)


def brief(error: BaseException | str) -> str:
    """Return what an error says first, on one line; servers and libraries say a lot more."""
    text = ESCAPES.sub("", scrub(str(error))).strip(": \n").partition("\n\n")[0]
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def size(count: float) -> str:
    """Return a number of bytes as people say it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004 - the next unit
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
