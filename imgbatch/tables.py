"""A recipe to the tables that it fills: their columns, and the fingerprint of what fills them."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from imgbatch import __version__, analyzers
from imgbatch.analyzers import Column
from imgbatch.dataset import SOURCES, TableSpec
from imgbatch.errors import SettingsError

if TYPE_CHECKING:
    from imgbatch.settings import MediaSettings, Recipe

# Grows when the same bytes and [media] settings would give other pixels or another outcome.
MEDIA_VERSION = 1

KEYS = (
    Column("source_id", pa.string(), "the source: hash of its address", range="32 hex digits"),
    Column("version", pa.string(), "the source's version: etag, generation, or size and mtime"),
)
PICTURE_KEYS = (
    *KEYS,
    Column("picture_id", pa.string(), "the picture: source_id and frame, joined by '-'"),
    Column("frame", pa.int32(), "0 for an image; counts the sampled frames of a video"),
    Column("time", pa.float64(), "since the video's start", "seconds", ">= 0", "for images"),
)
# What rows of labels may be known by, in order: those of a grouper's table are among these.
KEY_COLUMNS = (
    *KEYS,
    next(column for column in PICTURE_KEYS if column.name == "picture_id"),
    Column("region_id", pa.string(), "the region: picture_id and its number, joined by '-'"),
)
STATUS = (
    Column("status", pa.string(), "whether the analyzer succeeded", range="ok, failed"),
    Column("error_class", pa.string(), "why not", range="analyze.*", missing="when status is ok"),
)
_NOT_READ = "when nothing was decoded"
SOURCE_COLUMNS = (
    *KEYS,
    Column("address", pa.string(), "canonical URL; a member's is ARCHIVE!/NAME"),
    Column("kind", pa.string(), "what it is", range="image, video, archive, sidecar, other"),
    Column("status", pa.string(), "what became of it", range="ok, failed, filtered"),
    Column(
        "error_class",
        pa.string(),
        "why it failed or was filtered",
        range="fetch.*, archive.*, decode.*; sidecar, not-media, archive, link, ...",
        missing="when status is ok",
    ),
    Column("stage", pa.string(), "where it failed", missing="unless status is failed"),
    Column("message", pa.string(), "what was found", missing="when there is nothing to say"),
    Column("notes", pa.list_(pa.string()), "what is remarkable in a success: decode.tail, ..."),
    Column("format", pa.string(), "file or container format", missing=_NOT_READ),
    Column("width", pa.int32(), "as shown, at full size", "pixels", ">= 1", _NOT_READ),
    Column("height", pa.int32(), "as shown, at full size", "pixels", ">= 1", _NOT_READ),
    Column("duration", pa.float64(), "of a video", "seconds", ">= 0", "for all but videos"),
    Column("frame_rate", pa.float64(), "average", "frames/second", "> 0", "for all but videos"),
    Column("codec", pa.string(), "of a video", missing="for all but videos"),
    Column("n_pictures", pa.int32(), "pictures that the analyzers saw", range=">= 0"),
    Column("size", pa.int64(), "of the source, unpacked", "bytes", ">= 0"),
    Column("sha256", pa.string(), "of its bytes", range="64 hex digits", missing="if not fetched"),
)
GRAIN_KEYS = {"picture": PICTURE_KEYS, "sequence": KEYS}


def columns_of(name: str) -> tuple[Column, ...]:
    """Return all columns of a table, `sources` or an analyzer's, keys first."""
    if name == SOURCES:
        return SOURCE_COLUMNS
    module = analyzers.load(name)
    return (*GRAIN_KEYS[module.GRAIN], *STATUS, *module.COLUMNS)


def table_specs(recipe: Recipe) -> list[TableSpec]:
    """Return the tables that a recipe fills, `sources` first.

    Raises:
        SettingsError: the recipe decodes smaller than one of its analyzers needs.
    """
    return [_sources_spec(recipe.media), *(_spec(recipe, name) for name in recipe.analyzers)]


def _sources_spec(media: MediaSettings) -> TableSpec:
    seed = {"table": SOURCES, **_media_seed(media)}
    summary = "One row per source: what fetching and decoding came to"
    return TableSpec(
        SOURCES, schema(SOURCE_COLUMNS), _digest(seed), _metadata(seed, SOURCES, summary), "source"
    )


def _spec(recipe: Recipe, name: str) -> TableSpec:
    module = analyzers.load(name)
    if module.NEEDS.min_side > recipe.media.min_side:
        raise SettingsError(
            f"analyzer {name} needs pictures of at least {module.NEEDS.min_side} pixels, and "
            f"[media] min_side is {recipe.media.min_side}",
            f"Set min_side = {module.NEEDS.min_side} or more in [media], or leave {name} out.",
        )
    seed = {
        "analyzer": name,
        "version": module.VERSION,
        "settings": recipe.analyzers[name].model_dump(mode="json"),
        **_media_seed(recipe.media),
    }
    metadata = _metadata(seed, name, analyzers.summary(name))
    return TableSpec(name, schema(columns_of(name)), _digest(seed), metadata, module.GRAIN)


def _media_seed(media: MediaSettings) -> dict[str, Any]:
    return {"media": media.model_dump(mode="json"), "media_version": MEDIA_VERSION}


def _digest(seed: dict[str, Any]) -> str:
    text = json.dumps(seed, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _metadata(seed: dict[str, Any], name: str, summary: str) -> dict[str, str]:
    return {
        "table": name,
        "summary": summary,
        "fingerprint": _digest(seed),
        "made_of": json.dumps(seed, sort_keys=True),
        "imgbatch": __version__,
    }


def schema(columns: tuple[Column, ...]) -> pa.Schema:
    """Return the Arrow schema of columns, each with its meaning as field metadata."""
    return pa.schema(
        pa.field(c.name, c.type, metadata={"meaning": c.meaning, "unit": c.unit}) for c in columns
    )
