from __future__ import annotations

import io
import json
import lzma
import tracemalloc
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from imgbatch.sources.dumps import Dump, Gap
from imgbatch.sources.dumps.walk import STEP, Found, _walked, values
from imgbatch.sources.dumps.window import ITEM_CHARS, PIECE, Window

if TYPE_CHECKING:
    from pathlib import Path

ITEMS = ("messages", STEP)


def walked(text: bytes | str) -> list[Found | Gap]:
    data = text.encode() if isinstance(text, str) else text
    return list(_walked(Window(io.BytesIO(data)), "x.json", lambda path: path[-2:] == ITEMS))


def given(found: list[Found | Gap]) -> list[Any]:
    return [each.value for each in found if isinstance(each, Found)]


def gaps(found: list[Found | Gap]) -> list[tuple[str, int | None]]:
    return [(each.kind, each.line) for each in found if isinstance(each, Gap)]


def test_whole_items_come_with_their_path_and_line_and_all_else_as_scalars() -> None:
    found = walked('{\n "name": "x",\n "messages": [\n  {"id": 1},\n  {"id": [2, {}]}\n ]}')
    assert found == [
        Found(("name",), "x", 2),
        Found(ITEMS, {"id": 1}, 4),
        Found(ITEMS, {"id": [2, {}]}, 5),
    ]


def test_empty_containers_are_values() -> None:
    assert walked('{"a": {}, "b": [], "c": [[]]}') == [
        Found(("a",), {}, 1),
        Found(("b",), [], 1),
        Found(("c", STEP), [], 1),
    ]


def test_escapes_that_json_does_not_know_are_read_as_they_were_meant() -> None:
    found = walked(rb'{"messages": [{"t": "a\x1Fb \\x1F \q \" \u00e9"}, {"t": "\x0B"}]}')
    assert given(found) == [{"t": 'a\x1fb \\x1F \\q " \u00e9'}, {"t": "\x0b"}]
    assert not gaps(found)


@pytest.mark.parametrize("shift", range(12))
def test_an_escape_or_a_character_may_lie_on_the_edge_of_a_piece(shift: int) -> None:
    before = "x" * (PIECE - 24 - shift)
    text = '{"messages": [{"a": "' + before + '\u20ac\\x1F\U0001f600"}, 1234567, true]}'
    found = walked(text)
    assert given(found) == [{"a": before + "\u20ac\x1f\U0001f600"}, 1234567, True]


@pytest.mark.parametrize("shift", range(10))
def test_mending_an_escape_leaves_one_whole_that_the_edge_of_a_piece_cuts(shift: int) -> None:
    head = '{"messages": [{"t": "\\x1F'
    long = "x" * (PIECE - len(head) - shift)
    text = head + long + '\\"\\n\\u00e9\\x0B\\\\x"},\n{"t": 2}]}'
    assert walked(text) == [
        Found(ITEMS, {"t": "\x1f" + long + '"\n\u00e9\x0b\\x'}, 1),
        Found(ITEMS, {"t": 2}, 2),
    ]


@pytest.mark.parametrize("shift", range(10))
def test_a_number_may_lie_on_the_edge_of_a_piece(shift: int) -> None:
    text = " " * (PIECE - shift - 6) + '{"a": 1234567890}'
    assert given(walked(text)) == [1234567890]


def test_a_broken_item_of_an_indented_list_is_a_gap_and_the_next_ones_are_read() -> None:
    broken = '{"id": nonsense, "t": [\n   {"x": 1}\n  ]}'
    text = '{"messages": [\n  {"id": 1},\n  ' + broken + ',\n  {"id": 3}\n ]}'
    found = walked(text)
    assert given(found) == [{"id": 1}, {"id": 3}]
    assert gaps(found) == [("broken-line", 3)]


def test_a_broken_last_item_does_not_take_those_of_the_next_list() -> None:
    text = (
        '{"chats": [\n {"id": 1,\n  "messages": [\n   {"id": ]}\n  ]\n },\n'
        ' {"id": 2,\n  "messages": [\n   {"id": 5}\n  ]\n }\n]}'
    )
    found = walked(text)
    assert [(each.path[-1], each.value) for each in found if isinstance(each, Found)] == [
        ("id", 1),
        ("id", 2),
        (STEP, {"id": 5}),
    ]
    assert gaps(found) == [("broken-line", 4)]


def test_a_broken_item_of_a_list_in_one_line_ends_the_reading_with_a_gap() -> None:
    found = walked('{"messages": [{"id": 1}, {"id": nonsense}, {"id": 3}]}')
    assert given(found) == [{"id": 1}]
    assert gaps(found) == [("broken-json", 1)]


@pytest.mark.parametrize("cut", range(1, 59))
def test_a_file_cut_anywhere_gives_what_came_before_and_a_gap(cut: int) -> None:
    text = '{"messages": [\n  {"id": 1, "t": "\\u00e9"},\n  {"id": 22}\n ]}'
    assert len(text) == 59
    found = walked(text[:cut])
    whole = [item for item, end in (({"id": 1, "t": "\u00e9"}, 41), ({"id": 22}, 55)) if cut >= end]
    assert given(found) == whole
    assert [kind for kind, _ in gaps(found)] == ["cut-line"]


@pytest.mark.parametrize("piece", [17, 200, PIECE])
@pytest.mark.parametrize(
    ("indent", "parted"), [(None, (",", ":")), (None, None), (1, None), (2, (",", " : "))]
)
def test_items_that_are_tried_where_they_may_end_are_those_that_a_plain_reading_gives(
    monkeypatch: pytest.MonkeyPatch, piece: int, indent: int | None, parted: Any
) -> None:
    monkeypatch.setattr("imgbatch.sources.dumps.window.PIECE", piece)
    inner = [{"id": 7}, {"id": 8, "t": '},{"id":9}'}]
    items = [{"id": n, "t": '}, {"id"\u00e9', "in": inner[: n % 3]} for n in range(40)]
    items[20:22] = [{"t": 1, "id": 20}, {"id": float("nan")}]
    text = json.dumps({"messages": items}, indent=indent, separators=parted)
    found = walked(text)
    assert repr(given(found)) == repr(json.loads(text)["messages"])
    monkeypatch.setattr("imgbatch.sources.dumps.window.Window.alike", lambda *_: ())
    assert repr(walked(text)) == repr(found)


class Guessed(dict[str, Any]):
    """An item that was decoded with others."""


def guessed(items: list[str], between: str) -> tuple[list[Any], list[str]]:
    """Return the items that are read of a list, and what was tried as several at once."""
    tried = []

    def decode(text: str) -> list[Any]:
        tried.append(text)
        return [Guessed(item) for item in msgspec.json.decode(text)]

    data = ('{"messages": [' + between.join(items) + "]}").encode()
    text = Window(io.BytesIO(data), decode)
    return given(list(_walked(text, "x.json", lambda path: path == ITEMS))), tried


def test_guesses_are_few_where_what_is_in_the_items_begins_as_they_do() -> None:
    items = [{"id": n, "in": [{"id": 7}, {"id": 8}]} for n in range(3000)]
    rows = [json.dumps(item, separators=(",", ":")) for item in items]
    found, tried = guessed(rows, ",")
    assert found == items
    assert 1 < len(tried) < 16


def test_guesses_go_on_behind_items_that_are_read_alone() -> None:
    items = [{"id": n, "in": [{"id": 7}, {"id": 8}] if n < 99 else []} for n in range(9000)]
    rows = [json.dumps(item, separators=(",", ":")) for item in items]
    found, _ = guessed(rows, ",")
    assert found == items
    assert sum(isinstance(item, Guessed) for item in found) > 8500


def test_broken_items_among_many_do_not_end_the_guesses() -> None:
    rows = [json.dumps({"id": n, "t": "x" * 1000}) for n in range(5000)]
    rows[100::100] = ['{"id": broken}'] * len(rows[100::100])
    found, _ = guessed(rows, ",\n ")
    assert [item["id"] for item in found] == [n for n in range(5000) if n == 0 or n % 100]
    assert sum(isinstance(item, Guessed) for item in found) > 3000  # 32 are tried at once


@pytest.mark.parametrize("number", [2**53 + 1, 2**64 + 1, -(10**30) - 1])
def test_ids_that_are_numbers_keep_all_their_digits(number: int) -> None:
    items = [{"id": number + n} for n in range(9)]
    assert given(walked(json.dumps({"messages": items}))) == items


def test_bytes_that_are_no_utf8_are_told_once_with_their_number() -> None:
    found = walked(b'{"messages": [{"t": "caf\xe9"}, {"t": "\xff \xef\xbf\xbd"}]}')
    assert given(found) == [{"t": "caf\ufffd"}, {"t": "\ufffd \ufffd"}]
    assert next(each for each in found if isinstance(each, Gap)).kind == "bad-bytes"


def test_nul_bytes_a_bom_and_a_missing_comma_are_borne() -> None:
    assert given(walked(b'\xef\xbb\xbf\0{"messages": [{"id": 1} {"id": 2}\0]\0}')) == [
        {"id": 1},
        {"id": 2},
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"messages": [{"a":' + "[" * 100_000,
        '{"a":' * 100_000,
        '{"messages": [' + "9" * 10_000 + "]}",
        '{"a" 1}',
        "{1: 2}",
        "[}",
        '{"a": 1} and more',
        "no JSON at all",
        "",
    ],
)
def test_what_is_no_document_is_a_gap_and_never_an_error(text: str) -> None:
    assert [kind in ("broken-json", "cut-line") for kind, _ in gaps(walked(text))] == [True]


def test_a_document_of_many_items_takes_the_memory_of_a_few() -> None:
    item = json.dumps({"id": 1, "text": "\u20ac" * 200}, ensure_ascii=False)
    data = ('{"messages": [' + ",\n".join([item] * 40_000) + "]}").encode()
    file = io.BytesIO(data)
    tracemalloc.start()
    try:
        count = sum(1 for _ in _walked(Window(file), "x.json", lambda path: path == ITEMS))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 40_000
    assert len(data) > 20_000_000
    assert peak < 2_000_000


@pytest.mark.slow
def test_many_short_lists_take_the_memory_of_a_few() -> None:
    def listed(number: int) -> str:
        rows = [{f"key{number}": place, "text": "x" * 200} for place in range(3)]
        return json.dumps({"messages": rows}, indent=1)

    data = ('{"list": [' + ",\n".join(map(listed, range(10_000))) + "]}").encode()
    file = io.BytesIO(data)
    tracemalloc.start()
    try:
        count = sum(1 for _ in _walked(Window(file), "x.json", lambda path: path[-2:] == ITEMS))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 30_000
    assert len(data) > 7_000_000
    assert peak < 2_000_000


def test_space_without_end_takes_no_memory() -> None:
    file = io.BytesIO(b'{"messages": [' + b" " * 2**24 + b'{"id": 1}, {"id": ]}')
    tracemalloc.start()
    try:
        found = list(_walked(Window(file), "x.json", lambda path: path == ITEMS))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert given(found) == [{"id": 1}]
    assert peak < 2_000_000


def test_short_items_behind_a_long_one_are_read_one_by_one() -> None:
    items = [{"t": "x" * 20 * PIECE}, *({f"key{number}": number} for number in range(3000))]
    assert given(walked('{"messages": [' + ",\n".join(map(json.dumps, items)) + "]}")) == items


def test_an_item_beyond_the_limit_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ITEM_CHARS == 2**26
    monkeypatch.setattr("imgbatch.sources.dumps.window.ITEM_CHARS", 4 * PIECE)
    long = "x" * 10 * PIECE
    found = walked(f'{{"messages": [\n {{"t": "{long}"}},\n {{"id": 2}}\n]}}')
    assert given(found) == [{"id": 2}]
    assert gaps(found) == [("broken-line", 2)]


def test_a_compressed_file_that_is_cut_is_a_gap_of_its_error_class(tmp_path: Path) -> None:
    data = lzma.compress(b'{"messages": [{"id": 1}]}' + b" " * 100_000)
    (tmp_path / "result.json.xz").write_bytes(data[:-20])
    found = list(values(Dump.at(str(tmp_path)), "result.json.xz", lambda path: path == ITEMS))
    assert [kind for kind, _ in gaps(found)] == ["archive.truncated"]
