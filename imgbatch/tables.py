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
from imgbatch.models.weights import FINGERPRINT
from imgbatch.records import REGIONS, analyzer_of

if TYPE_CHECKING:
    from imgbatch.settings import MediaSettings, Recipe, Settings

# What a field of a table says of itself, so that it is known without its analyzer.
SAID = ("meaning", "unit", "range", "missing", "mark")
# Grows when the same bytes and [media] settings would give other pixels or another outcome.
MEDIA_VERSION = 4

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
REGION_KEYS = (
    *PICTURE_KEYS,
    Column("region_id", pa.string(), "the region: picture_id and region, joined by '-'"),
    Column("region", pa.int32(), "counts the regions of a picture", range="0, 1, 2, ..."),
)
N_REGIONS = Column(
    "n_regions",
    pa.int32(),
    "rows of this picture in the table of regions",
    range=">= 0",
)
GRAIN_KEYS = {"picture": PICTURE_KEYS, "sequence": KEYS}


def columns_of(name: str, settings: Settings | None = None) -> tuple[Column, ...]:
    """Return all columns of a table, `sources` or an analyzer's, keys first.

    Args:
        name: of the table.
        settings: of its analyzer, where columns depend on them; the defaults otherwise.

    Raises:
        SettingsError: there is no such table.
    """
    if name == SOURCES:
        return SOURCE_COLUMNS
    module = analyzers.load(analyzer_of(name))
    settings = settings or module.Settings()
    if name.endswith(REGIONS):
        return (*REGION_KEYS, *analyzers.regions_of(module, settings))
    counts = (N_REGIONS,) if analyzers.has_regions(module) else ()
    return (*GRAIN_KEYS[module.GRAIN], *STATUS, *counts, *analyzers.columns_of(module, settings))


def table_specs(recipe: Recipe) -> list[TableSpec]:
    """Return the tables that a recipe fills, `sources` first.

    Raises:
        SettingsError: the recipe decodes smaller than one of its analyzers needs.
        WeightsError: weights of the user's own have no digest.
    """
    own = [spec for name in recipe.analyzers for spec in _specs(recipe, name)]
    return [_sources_spec(recipe.media), *own]


def _sources_spec(media: MediaSettings) -> TableSpec:
    seed = {"table": SOURCES, **_media_seed(media)}
    summary = "One row per source: what fetching and decoding came to"
    return TableSpec(
        SOURCES, schema(SOURCE_COLUMNS), _digest(seed), _metadata(seed, SOURCES, summary), "source"
    )


def _specs(recipe: Recipe, name: str) -> list[TableSpec]:
    """Return the main table of an analyzer, and that of its regions where it has them."""
    module = analyzers.load(name)
    needed = analyzers.needs_of(module, recipe.analyzers[name])
    if needed.min_side > recipe.media.min_side:
        raise SettingsError(
            f"analyzer {name} needs pictures of at least {needed.min_side} pixels, and "
            f"[media] min_side is {recipe.media.min_side}",
            f"Set min_side = {needed.min_side} or more in [media], or leave {name} out.",
        )
    settings = recipe.analyzers[name]
    weights = analyzers.weights(name, settings)
    seed = {
        "analyzer": name,
        "version": module.VERSION,
        "settings": settings.model_dump(mode="json", context=FINGERPRINT),
        # Only where there are some: the fingerprints of the others stay what they were.
        **({"weights": weights} if weights else {}),
        **({"full_size": True} if needed.full_size else {}),
        **_media_seed(recipe.media),
    }

    def spec(table: str, grain: str, rows: str) -> TableSpec:
        metadata = _metadata(seed, table, analyzers.summary(name) + rows)
        own = schema(columns_of(table, settings))
        return TableSpec(table, own, _digest(seed), metadata, grain)

    main = spec(name, module.GRAIN, "")
    if not analyzers.has_regions(module):
        return [main]
    if module.GRAIN != "picture":
        raise SettingsError(f"analyzer {name} has regions, and no pictures for them to be in")
    return [main, spec(name + REGIONS, "region", " One row per region")]


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
        pa.field(c.name, c.type, metadata={name: getattr(c, name) for name in SAID})
        for c in columns
    )
