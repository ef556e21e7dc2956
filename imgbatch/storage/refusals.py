"""Enters: what a bucket's server said, as obstore tells it. Leaves: our error, with what to do.

obstore gives a class (not found, denied, anything else) and the server's answer as text. The text
decides: a listing that is denied comes as `anything else`, a bucket that is not there as an object
that is not there, and both as XML with one code, which S3, Google and what speaks like them share.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from imgbatch.errors import AccessError, DeniedError, OutageError, StorageError
from imgbatch.storage.secrets import scrub

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>\s*([A-Za-z]+)\s*</Code>")
_SAID = re.compile(r"<Message>([^<]{1,300})")
_REGION = re.compile(r"<Region>([\w-]+)</Region>")
_DETAILS = "\n\nDebug source:"
_BODY = re.compile(r" - Server returned non-2xx status code: \d{3}[^:]*: ?")
_ODD_NAME = "object with invalid path: "
_REDIRECTED = "redirect without LOCATION"
_PROVIDER = "credential provider"
_NOBODY = ("kind: Connect", "dns error", "tcp connect error", "Connection refused")
# As a tree, over lines: a connection that was not made in time.
_NEVER_CONNECTED = re.compile(r"\bConnect,\s+TimedOut\b")
_TIMED_OUT = ("timed out", "timeout", "kind: Timeout")
_THROTTLED = (429, 503)
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, MOVED = 401, 403, 404, 301


@dataclass(frozen=True, slots=True)
class _Wrong:
    """What is wrong whatever is asked, and what to do about it."""

    what: str
    remedy: str


_BUCKET = _Wrong(
    "there is no such bucket",
    "Check its name; a bucket of another provider needs its endpoint (?endpoint=https://...). "
    "Then run again.",
)
_EXPIRED = _Wrong(
    "the credentials have expired",
    "Get new ones (S3: `aws sso login`, or new keys; Google: `gcloud auth application-default "
    "login`), then run the same command: finished shards stay.",
)
_KEYS = _Wrong(
    "the server does not know the credentials",
    "Check which are used: a profile in the URL (?profile=NAME) comes first, then keys in the "
    "environment, then AWS_PROFILE; for Google GOOGLE_APPLICATION_CREDENTIALS. Then run again.",
)
_CLOCK = _Wrong(
    "the clock of this machine is wrong, and the server refuses what it signs",
    "Set the clock (`timedatectl set-ntp true`), then run again.",
)
_REGION_WRONG = _Wrong(
    "the bucket is in another region",
    "Say which (?region=NAME in the URL, or AWS_REGION), then run again.",
)
_NOBODY_KNOWN = _Wrong(
    "the server wants to know who asks",
    "Give credentials: a profile in the URL (?profile=NAME) or keys for S3, "
    "GOOGLE_APPLICATION_CREDENTIALS for Google. Then run again.",
)
_PAYS = _Wrong(
    "whoever asks must pay for it, and no project is named",
    "Name the project that is billed (?project=NAME in the URL), then run again.",
)
_NAME = _Wrong(
    "it holds an object whose name cannot be used",
    "Rename it, or give a prefix without it: between two slashes of a name there must be "
    "something, and neither `.` nor `..`. Nothing was written.",
)
_CODES = {
    "NoSuchBucket": _BUCKET,
    "InvalidBucketName": _BUCKET,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "InvalidAccessKeyId": _KEYS,
    "InvalidToken": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "InvalidSecurity": _KEYS,
    "InvalidClientTokenId": _KEYS,
    "RequestTimeTooSkewed": _CLOCK,
    "PermanentRedirect": _REGION_WRONG,
    "AuthorizationHeaderMalformed": _REGION_WRONG,
    "IllegalLocationConstraintException": _REGION_WRONG,
    "AuthenticationRequired": _NOBODY_KNOWN,
    "UserProjectMissing": _PAYS,
}


def refusal(root: str, name: str, error: Exception) -> Exception:
    """Return our error for one of obstore's.

    Args:
        root: URL of what was asked, for messages.
        name: of the object, or "".
        error: what obstore raised.

    Returns:
        AccessError, DeniedError, OutageError, FileNotFoundError, or StorageError for all else.
    """
    text = scrub(str(error))
    status = int(found[1]) if (found := _STATUS.search(text)) else 0
    bucket = "/".join(root.split("/", 3)[:3])
    wrong = _wrong(text, status, error)
    if wrong is not None:
        region = f" ({where[1]})" if (where := _REGION.search(text)) else ""
        return AccessError(f"{bucket}: {wrong.what}{region}{_in_its_words(text)}", wrong.remedy)
    what = f"{root}/{name}" if name else root
    if isinstance(error, FileNotFoundError) or status == NOT_FOUND:
        return FileNotFoundError(f"{what} is not there")
    if status == FORBIDDEN or isinstance(error, PermissionDeniedError):
        return DeniedError(f"{what}: not allowed{_in_its_words(text)}")
    return _passing(text, status, bucket, what)


def _wrong(text: str, status: int, error: Exception) -> _Wrong | None:
    if (code := _CODE.search(text)) and code[1] in _CODES:
        return _CODES[code[1]]
    if _PROVIDER in text:
        return _EXPIRED
    if _ODD_NAME in text:
        return _NAME
    if status == MOVED or _REDIRECTED in text:
        return _REGION_WRONG
    if status == UNAUTHORIZED or isinstance(error, UnauthenticatedError):
        return _NOBODY_KNOWN
    return None


def _passing(text: str, status: int, bucket: str, what: str) -> StorageError:
    """Return the error for what may be otherwise in a while."""
    failed: StorageError
    if status in _THROTTLED:
        failed = OutageError(f"{bucket} asks for fewer requests or is out{_in_its_words(text)}")
    elif not status and _unanswered(text):
        failed = OutageError(f"{bucket}: nobody answers: {_short(text)}")
    else:
        failed = StorageError(f"{what}: {_short(text)}")
    failed.timed_out = not status and any(words in text for words in _TIMED_OUT)
    return failed


def _unanswered(text: str) -> bool:
    return any(words in text for words in _NOBODY) or bool(_NEVER_CONNECTED.search(text))


def _in_its_words(text: str) -> str:
    for mark in (_PROVIDER, _ODD_NAME):
        if mark in text:
            return f": {_short(text).partition(mark)[2].lstrip(': ')}"
    code, said = _CODE.search(text), _SAID.search(text)
    words = [found[1].strip() for found in (code, said) if found]
    return f" (it says: {', '.join(words)})" if words else ""


def _short(text: str) -> str:
    """Return the sentence of an error without its body and details."""
    sentence = text.partition(_DETAILS)[0].strip()
    body = _BODY.search(sentence)
    if body is None:
        return sentence
    return sentence[: body.end()].rstrip(": ") + _in_its_words(text)
