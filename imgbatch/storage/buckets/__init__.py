"""Buckets themselves, not what lies in them: made, hardened, looked at, through the makers' SDKs.

Enters: the URL of a bucket or of a prefix in one. Leaves: what is set, what should be, what may be
done there, as Changes and Findings. Data never passes here: `storage.remote` carries it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from imgbatch.errors import SettingsError
from imgbatch.storage import access
from imgbatch.storage.addresses import unquote
from imgbatch.storage.options import KINDS, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CERTIFICATE = (
    "If its certificate comes from your institution: `export SSL_CERT_FILE=FILE "
    "AWS_CA_BUNDLE=FILE` with the institution's root certificate (PEM)."
)
State = Literal["ok", "warning", "failed", "skipped"]

# What the doctor writes, and deletes again unless it is killed. Not `doctor/`: a lifecycle rule for
# that could meet somebody's pictures.
PROBE = "doctor/imgbatch-probe-"
PROBE_DAYS = 1
ABORT_DAYS = 7
FORMER_DAYS = 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: its name, such as `credentials`.
        state: `failed` needs mending; `skipped` was not looked at, the text says why.
        text: what was found.
        remedy: what to do; "" where nothing has to be done.
        blocks: nothing else can work before this is mended.
    """

    check: str
    state: State
    text: str
    remedy: str = ""
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One setting of a bucket that is not as it should be.

    Attributes:
        setting: its name.
        now: what it is.
        wanted: what it will be.
        make: sets it.
        refused: why it is not set here; "" where it can be.
    """

    setting: str
    now: str
    wanted: str
    make: Callable[[], None]
    refused: str = ""


class Bucket(Protocol):
    """A bucket as its administrator sees it. Whatever is refused raises StorageError."""

    name: str

    def exists(self) -> bool:
        """Return whether it is there and ours."""

    def region(self) -> str:
        """Return where it is; "" where these credentials are not told."""

    def create(self, region: str | None) -> None:
        """Make it."""

    def changes(self) -> list[Change]:
        """Return what hardening would change; nothing on a second time."""

    def look(self) -> Iterator[Finding]:
        """Yield who we are, how far off our clock is, where the bucket is, whether it answers."""

    def may(self, verbs: tuple[str, ...]) -> Iterator[Finding]:
        """Yield what is not permitted, where the store can be asked without trying."""

    def guards(self, name: str) -> Iterator[Finding]:
        """Yield whether the server itself refuses a write over a version that is gone.

        The object of this name below the prefix is written and deleted.
        """

    def keeps(self) -> Iterator[Finding]:
        """Yield what the bucket will do by itself with the objects of a dataset."""

    def grant(self, verb: str) -> str:
        """Return what has to be granted for a verb of the store."""


def open_bucket(url: str) -> Bucket:
    """Return the bucket that a URL is in.

    Raises:
        SettingsError: it is no URL of a bucket.
    """
    bare, given = split(url)
    scheme, _, rest = bare.partition("://")
    bucket, _, prefix = unquote(rest).strip("/").partition("/")
    if not bucket or scheme not in KINDS:
        raise SettingsError(f"{url} is no bucket", "Give a URL such as s3://NAME or gs://NAME.")
    access.remember(f"{scheme}://{bucket}", given)
    if scheme == "gs":
        from imgbatch.storage.buckets.gs import GoogleBucket  # noqa: PLC0415 - a heavy import

        return GoogleBucket(bucket, prefix)
    from imgbatch.storage.buckets.s3 import S3Bucket  # noqa: PLC0415 - a heavy import

    return S3Bucket(bucket, prefix)
