"""What img2dataset downloaded: NNNNN.tar or a folder NNNNN, NNNNN.parquet, NNNNN_stats.json.

Confirmed in img2dataset's downloader.py, writer.py, logger.py and README (read 2026-11): a row of
the Parquet is one URL, downloaded or not: the user's own columns, `url`, `caption`, `key` (the
name of its files, unique over all shards), `status` success | failed_to_download |
failed_to_resize, `error_message`, `width`, `height` of what was stored, `original_width`,
`original_height`. With `output_format=parquet` the pictures lie in a column of the Parquet itself.

`sha256` and `md5` are of the bytes that were downloaded, and img2dataset resizes and encodes anew
by default: they are no hashes of its files, and no medium has them here. A medium's width and
height are the original ones; those of the file stand in the table `sources`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from imgbatch.errors import SourceError
from imgbatch.sources.dumps._seekable import seekable
from imgbatch.sources.dumps._usual import Usual, moment, numbers, usual, words
from imgbatch.sources.dumps.names import MEMBER, exact, ref
from imgbatch.sources.dumps.posts import Counted, Gap, Media, Post
from imgbatch.sources.dumps.values import count, text, text_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked

TITLE = "img2dataset"
RECOGNISED = "NNNNN.parquet with NNNNN_stats.json beside it"
YIELDS = (
    "one medium per URL, failed downloads too, as a post of its own or, with a column post_id or "
    "--id-column, of that post; captions as text, the user's own columns by their usual names"
)
# Several rows may be of one post, in any order: their media add up.
PIECES = True
IDS_WITHIN = "dump"

SHARD = re.compile(r"(^|/)\d+\.parquet$")
OWN = ("url", "key", "status", "error_message", "width", "height")
SIZES = ("original_width", "original_height")
ENCODED = ("jpg", "png", "webp")
FAILED = {"failed_to_download": "unavailable", "failed_to_resize": "unreadable"}
ROWS = 1000

Row = dict[str, Any]


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the names alone."""
    return 0.95 if next(files(dump), None) is not None else 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the Parquet files that have statistics beside them."""
    for name in dump.metadata("parquet"):
        if SHARD.search(name) and dump.has(_shard(name) + "_stats.json"):
            yield name


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield a post per row of all shards."""
    counted = Counted()
    for name in files(dump):
        line = 0
        try:
            with seekable(dump, name) as file:
                reader = pq.ParquetFile(file, pre_buffer=False)
                shard = _Shard(dump, name, reader.schema_arrow, asked, counted)
                for row in _rows(reader, shard.columns):
                    line += 1
                    yield shard.post(row, line)
                yield from shard.resized()
        except SourceError as error:
            yield Gap(error.code, name, line or None, f"{error}; {line} rows came before that")
        except (pa.ArrowException, OSError) as error:
            yield Gap("archive.corrupt", name, line or None, f"no Parquet: {error}"[:300])
        yield from counted.gaps()


def _shard(name: str) -> str:
    return name.removesuffix(".parquet")


def _rows(reader: pq.ParquetFile, columns: list[str]) -> Iterator[Row]:
    for batch in reader.iter_batches(batch_size=ROWS, columns=columns):
        yield from batch.to_pylist()


class _Shard:
    """One Parquet: which columns say what, and where its pictures lie."""

    def __init__(
        self, dump: Dump, name: str, schema: pa.Schema, asked: Asked, counted: Counted
    ) -> None:
        self._dump = dump
        self._name = name
        self._counted = counted
        binary = {field.name for field in schema if pa.types.is_binary(field.type)}
        self.columns = [field.name for field in schema if field.name not in binary]
        for wanted in OWN:
            if wanted not in self.columns:
                counted.missing(wanted, name)
        self._inside = bool(binary.intersection(ENCODED))
        self._id = asked.id_column
        self._usual: Usual = usual(self.columns, *OWN, *SIZES)
        tar = _shard(name) + ".tar"
        self._before = tar + MEMBER if dump.has(tar) else _shard(name) + "/"
        self._encoded = ENCODED[0]
        self._resized = self._side = 0

    def post(self, row: Row, line: int) -> Post:
        """Return the post that a row is, or is a piece of."""
        named = self._usual
        told = row.get(named.created_at)
        created = moment(told)
        if told is not None and created is None:
            self._counted.bad(named.created_at, self._name, line)
        key = words(row, "key")
        return Post(
            post_id=self._post_id(row, line) or key or ref(self._name, line),
            platform=words(row, named.platform) or "img2dataset",
            raw_ref=ref(self._name, line),
            author_id=words(row, named.author_id),
            author_name=words(row, named.author_name),
            created_at=created,
            time_source=named.created_at if created else "",
            text=words(row, named.text),
            lang=words(row, named.lang),
            url=words(row, named.url),
            reply_to=words(row, named.reply_to),
            repost_of=words(row, named.repost_of),
            metrics=numbers(row, named.metrics),
            media=(self._medium(row, key),),
        )

    def resized(self) -> Iterator[Gap]:
        """Yield, of all rows so far, how many files are smaller or larger than what was there."""
        if self._resized:
            said = f"resized and encoded anew by img2dataset, to {self._side} px at most"
            yield Gap("re-encoded", self._name, None, said, self._resized)

    def _post_id(self, row: Row, line: int) -> str | None:
        field = self._id or self._usual.post_id
        found = text_id(row.get(field)) if field else None
        if field and found is None:
            self._counted.no_id(field, self._name, line)
        return found

    def _medium(self, row: Row, key: str | None) -> Media:
        status = row.get("status")
        there = status == "success" and not self._inside
        sizes = [count(row.get(side)) for side in ("width", "height")]
        original = [count(row.get(side)) for side in SIZES]
        if status == "success" and None not in (*sizes, *original) and sizes != original:
            self._resized += 1
            self._side = max(self._side, *(side or 0 for side in sizes))
        return Media(
            0,
            "image",
            url=text(row.get("url")),
            path=exact(self._file(key)) if there and key else None,
            key=key,
            width=original[0],
            height=original[1],
            alt_text=words(row, self._usual.alt_text),
            status="" if there else FAILED.get(str(status), "not-included"),
        )

    def _file(self, key: str) -> str:
        """Return the name of a picture; a shard's are all encoded alike."""
        for encoded in (self._encoded, *ENCODED):
            name = f"{self._before}{key}.{encoded}"
            if self._dump.has(name):
                self._encoded = encoded
                return name
        return f"{self._before}{key}.{self._encoded}"
