"""What a source came to: its bytes, an error or the listing's verdict enter; its outcome leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.errors import DecodeError
from imgbatch.records import Outcome
from imgbatch.sources import (
    archive_form,
    claims_media,
    claims_video,
    is_apple_double,
    is_sidecar,
)

if TYPE_CHECKING:
    from imgbatch.analyzers import Row
    from imgbatch.media import Blob
    from imgbatch.records import Kind, Source

MESSAGE_LENGTH = 500
NESTED = "an archive in an archive is not opened: unpack the outer one"


def not_media(source: Source, blob: Blob, sha256: str) -> Outcome:
    """Return the outcome of bytes that no decoder claims.

    Raises:
        DecodeError: the name says that it is media, so a filter would hide a loss.
    """
    if is_apple_double(source.address, blob.head):
        return Outcome("filtered", "sidecar", "sidecar", sha256=sha256)
    if claims_media(source.address):
        if blob.size == 0:
            raise DecodeError("decode.empty", "the file has no bytes")
        raise DecodeError(
            "decode.unrecognised", "named like media, and its bytes are of no kind known"
        )
    if source.container is not None and archive_form(source.address):
        return Outcome("filtered", "archive", "nested-archive", message=NESTED, sha256=sha256)
    if is_sidecar(source.address):
        return Outcome("filtered", "sidecar", "sidecar", sha256=sha256)
    return Outcome("filtered", "other", "not-media", sha256=sha256)


def failure(source: Source, code: str, message: str, sha256: str | None = None) -> Outcome:
    """Return the outcome of a source that failed."""
    # What kind it would have been is guessed from its name: nothing better is known.
    kind: Kind = "other"
    if claims_media(source.address):
        kind = "video" if claims_video(source.address) else "image"
    return Outcome(
        "failed",
        kind,
        error_class=code,
        stage=code.partition(".")[0],
        message=message[:MESSAGE_LENGTH],
        sha256=sha256,
    )


def decided(source: Source) -> Outcome:
    """Return the outcome that the listing already knows."""
    verdict = source.verdict
    assert verdict is not None, "only a source with a verdict is not fetched"
    kind: Kind = "archive" if verdict.error_class.startswith("archive") else "other"
    stage = verdict.error_class.partition(".")[0] if verdict.status == "failed" else None
    message = verdict.message[:MESSAGE_LENGTH]
    return Outcome(verdict.status, kind, verdict.error_class, stage, message)


def source_row(source: Source, outcome: Outcome) -> Row:
    """Return a source's row of the table `sources`."""
    facts = outcome.facts
    return {
        "source_id": source.source_id,
        "version": source.version,
        "address": source.address,
        "kind": outcome.kind,
        "status": outcome.status,
        "error_class": outcome.error_class,
        "stage": outcome.stage,
        "message": outcome.message,
        "notes": list(outcome.notes),
        "format": facts and facts.format,
        "width": facts and facts.width,
        "height": facts and facts.height,
        "duration": facts and facts.duration,
        "frame_rate": facts and facts.frame_rate,
        "codec": facts and facts.codec,
        "n_pictures": outcome.n_pictures,
        "size": source.size,
        "sha256": outcome.sha256,
    }
