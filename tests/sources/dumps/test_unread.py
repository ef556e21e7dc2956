"""Files that no format reads: which of them are seen to be broken, and what looking costs."""

from __future__ import annotations

import gzip
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from imgbatch.sources.dumps import Dump
from imgbatch.sources.dumps.unread import unread

if TYPE_CHECKING:
    from pathlib import Path

LONG = b'{"stuff": {"deep": [' + b", ".join([b'{"a": [1, 2], "b": "x"}'] * 200_000)


def kind_of(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    (gap,) = unread(Dump.at(str(folder)), iter(()))
    return gap.kind


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", b"[1, 2]\n[3]\n"),
        ("a.jsonl", b'{"a": 1}'),
        ("a.json", b'"1.2"\n'),
        ("a.json", b'{\n // why\n "a": 1}\n'),
        ("a.json", b'{"a": 1}\n{"b": [2]}\n'),
        ("a.json", LONG + b"]}}\n"),
        ("a.json.gz", gzip.compress(LONG + b"]}}\n", 1)),
        ("a.csv", b"a,b\n"),
        ("a.jsonl", '{"a": 1}\r\n'.encode("utf-16")),
        ("a.json", (LONG + b"]}}\n").decode().encode("utf-16")),
        ("a.json", b"\xfe\xff" + (LONG + b"]}}\n").decode().encode("utf-16-be")),
    ],
)
def test_what_is_whole_is_not_broken(tmp_path: Path, name: str, data: bytes) -> None:
    assert kind_of(tmp_path, name, data) == "unread"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", b""),
        ("a.jsonl", b'{"a": [1'),
        ("a.jsonl", LONG),
        ("a.json", b"\0" * 50),
        ("a.json", b'{"a": {"b": 1}'),
        ("a.json", b'{"a": 1, "b'),
        ("a.json", b"\x93\x01 no JSON"),
        ("a.json", LONG),
        ("a.json", LONG + b"\0" * 9000),
        ("a.json.gz", gzip.compress(LONG[:-1], 1)),
        ("a.json", b"[" + LONG),
        ("a.csv", b"id,imag"),
        ("a.jsonl", '{"a": [1'.encode("utf-16")),
        ("a.json", '{"a": 1, "b'.encode("utf-16")),
    ],
)
def test_what_is_cut_is_broken(tmp_path: Path, name: str, data: bytes) -> None:
    if data is LONG:
        data = data[:-1]
    assert kind_of(tmp_path, name, data) == "broken-file"


def test_a_long_document_is_not_decoded_to_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(LONG + b"]}}")
    dump = Dump.at(str(tmp_path))
    tracemalloc.start()
    list(unread(dump, iter(())))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**20
