"""How each bucket is reached, as this process was told: by URLs, by a Job, by the environment.

Enters: options that a URL gives (`remember`), or all that a driver knew (`adopt`). Leaves: one set
of options per bucket (`options_of`), and all of them for the workers of a run (`access`).

Decision, 2026-11: options belong to a bucket, not to a URL. An address in a table names an object
and nothing else, so what opens it must be known by its bucket alone. Drawback: one process cannot
reach one bucket in two ways; who wants that is refused, and starts two.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from imgbatch import settings
from imgbatch.errors import SettingsError
from imgbatch.settings import check, variables
from imgbatch.storage.options import KINDS, Options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.settings import Limits

EMULATOR = "STORAGE_EMULATOR_HOST"
S3_VARIABLES = {
    "profile": ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "anonymous": ("AWS_SKIP_SIGNATURE",),
    "requester_pays": ("AWS_REQUEST_PAYER",),
}
GOOGLE_VARIABLES = {
    "endpoint": (EMULATOR,),
    "credentials": ("GOOGLE_APPLICATION_CREDENTIALS",),
    "anonymous": ("GOOGLE_SKIP_SIGNATURE",),
}
# Keys in the environment win over a profile in it, and a profile in a URL over both: as in boto3.
S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@dataclass(frozen=True, slots=True)
class Access:
    """What workers are told of the buckets of a run. Holds no secret.

    Attributes:
        buckets: options by bucket, such as `s3://photos`.
    """

    buckets: tuple[tuple[str, Options], ...] = ()


UNTOLD = Access()


@dataclass(frozen=True, slots=True)
class Waits:
    """How long one request is waited for, and how often it is sent; see `settings.Limits`."""

    connect_seconds: float
    request_seconds: float
    request_attempts: int

    @classmethod
    def of(cls, limits: Limits) -> Waits:
        """Take them out of a worker's limits."""
        return cls(limits.connect_seconds, limits.request_seconds, limits.request_attempts)


class _Known:
    """What this process was told; guarded by a lock, since threads open stores."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.given: dict[str, dict[str, Any]] = {}
        self.adopted: dict[str, Options] = {}
        self.seen: set[str] = set()
        self.waits: Waits | None = None
        self.edition = 0


_known = _Known()


def remember(bucket: str, given: Mapping[str, Any]) -> None:
    """Take note of a bucket and of the options that a URL gives for it.

    Raises:
        SettingsError: it was given others before.
    """
    with _known.lock:
        _known.seen.add(bucket)
        if not given or _known.given.get(bucket) == given:
            return
        if bucket in _known.given:
            names = sorted({*given, *_known.given[bucket]})
            raise SettingsError(
                f"{bucket} is given two sets of options ({', '.join(names)})",
                "Give the same options wherever the bucket is named, or leave them out but once.",
            )
        _known.given[bucket] = dict(given)
        _known.edition += 1


def options_of(bucket: str) -> Options:
    """Return how a bucket such as `s3://photos` is reached.

    What its URL says wins over what a driver said, and that over the environment.

    Raises:
        SettingsError: a variable of the environment does not fit.
    """
    scheme = bucket.partition("://")[0]
    given = _known.given.get(bucket, {})
    base = _known.adopted.get(bucket)
    found = base.model_dump() if base else _environment(scheme, given)
    return check(KINDS[scheme], {**found, **given}, where=f"options of {bucket}")


def access() -> Access:
    """Return how every bucket that was opened so far is reached."""
    return Access(tuple((bucket, options_of(bucket)) for bucket in sorted(_known.seen)))


def adopt(told: Access, limits: Limits) -> None:
    """Reach buckets as the driver of a run does, and wait for them as it says.

    What this process would do by itself is not noted: in the driver's own, nothing is.
    """
    news = {bucket: said for bucket, said in told.buckets if options_of(bucket) != said}
    told_waits = Waits.of(limits)
    with _known.lock:
        if not news and told_waits == waits():
            return
        _known.adopted |= news
        _known.waits = told_waits
        _known.seen |= set(news)
        _known.edition += 1


def forget() -> None:
    """Forget all that was said of buckets; use `clients.forget`."""
    with _known.lock:
        _known.given, _known.adopted, _known.seen, _known.waits = {}, {}, set(), None
        _known.edition += 1


def edition() -> int:
    """Return a number that grows whenever something else is known."""
    return _known.edition


def waits() -> Waits:
    """Return how long requests are waited for: as the driver said, else as the environment says."""
    return _known.waits or Waits.of(settings.read_limits())


def emulator() -> str | None:
    """Return the URL of Google's emulator, where the environment names one."""
    found = variables(EMULATOR).get(EMULATOR)
    if found is None or "://" in found:
        return found
    return f"http://{found}"


def _environment(scheme: str, given: Mapping[str, Any]) -> dict[str, Any]:
    names = S3_VARIABLES if scheme == "s3" else GOOGLE_VARIABLES
    found: dict[str, Any] = {}
    for option, spelled in names.items():
        values = variables(*spelled)
        if values:
            found[option] = values[next(name for name in spelled if name in values)]
    if scheme == "gs":
        if found.get("endpoint"):
            found["endpoint"] = emulator()
            # As Google's own library does where no credentials are named.
            found["anonymous"] = "credentials" not in {**found, **given}
        return found
    if found.get("requester_pays", "").lower() == "requester":
        found["requester_pays"] = True
    if given.get("anonymous") or variables(*S3_KEYS[:2]):
        found.pop("profile", None)
    if given.get("profile"):
        found.pop("anonymous", None)
    return found


def insecure(options: Options) -> bool:
    """Return whether the endpoint is asked without TLS: where a user names one with http://."""
    return options.endpoint is not None and urlsplit(options.endpoint).scheme == "http"
