"""What every dump format promises, run on a fixture dump of each (`tests/sources/dumps/NAME/`).

A fixture is a small dump as the format's exporter writes it, made up by us: no real person's data.
Its folder is copied, then `make(folder)` of its `make.py` (not copied), if any, adds what is not
kept as text: archives, Parquet, pictures. It holds at least a post with picture, a repost or share,
a carousel, a video, a medium that is missing, where the format knows them; a post before 1970 where
it has times; and in one text the word `marker`, which the suite replaces with what is hostile.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import json
import shutil
import tracemalloc
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from imgbatch.platforms import unmarked
from imgbatch.sources import dumps
from imgbatch.sources.dumps import Dump, Gap, Plain, Post
from imgbatch.sources.dumps.names import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIXTURES = Path(__file__).parent.parent / "sources" / "dumps"
# Their metadata files hold one post each, so none of them is long.
ONE_POST_A_FILE = {"instaloader", "gallery-dl", "yt-dlp", "webdataset", "img2dataset"}
# Never taken unasked: a table may be anything.
ASKED_FOR = {"table"}
# Where these are not there, a post says in its format's own way that it has no medium, or no text.
SAYS_NONE = {
    "twarc2": (
        "attachments", "referenced_tweets", "referenced_tweets.[].attachments",
        "referenced_tweets.[].text", "referenced_tweets.[].type", "data.[].referenced_tweets",
        "data.[].referenced_tweets.[].type", "includes.tweets.[].attachments",
        "includes.tweets.[].attachments.media_keys",
    ),
    "x-archive": ("[].tweet.extended_entities", "[].tweet.extended_entities.media"),
    "4cat": (
        "embed", "embed.images", "embed.media", "images", "videos",
        "https://elsewhere.example/up.png", "https://elsewhere.example/z.png",
        "https://video.twimg.com/ext_tw_video/16/pu/vid/1280x720/high.mp4?tag=12",
        "https://video.twimg.com/ext_tw_video/16/pu/vid/1280x720/high.mp4?tag=12.files",
        "https://video.twimg.com/ext_tw_video/16/pu/vid/1280x720/high.mp4?tag=12.files.[].filename",
    ),
    "zeeschuimer": (
        "data.caption.text", "data.edge_media_to_caption.edges",
        "data.edge_media_to_caption.edges.[].node", "data.edge_media_to_caption.edges.[].node.text",
        "data.legacy.retweeted_status_result", "data.legacy.retweeted_status_result.result",
        "data.legacy.retweeted_status_result.result.tweet",
        "data.legacy.retweeted_status_result.result.tweet.legacy",
        "data.legacy.retweeted_status_result.result.tweet.legacy.extended_entities",
        "data.legacy.retweeted_status_result.result.tweet.legacy.extended_entities.media",
    ),
    "instaloader": (
        "node.edge_media_to_caption.edges", "node.edge_media_to_caption.edges.[].node",
        "node.edge_media_to_caption.edges.[].node.text",
    ),
    "telegram": (
        "chats.list.[].messages.[].photo", "left_chats.list.[].messages.[].photo",
        "messages.[].thumbnail",
    ),
    "reddit": ("media_metadata", "media_metadata.giphy|wave1|downsized", "post_hint", "url"),
    "meta": (
        "[].attachments", "[].attachments.[].data", "[].attachments.[].data.[].media", "[].media",
        "[].data", "[].data.[].post", "videos_v2.[].description", "[].label_values",
        "[].label_values.[].value", "[].media.[].title", "[].title", "ig_stories.[].title",
        "text_post_app_text_posts.[].media.[].title",
    ),
    "table": ("Image Path.[].path",),
}  # fmt: skip
# What formats are recognised by, at the top of an object.
TOP = (
    "__twarc", "data", "includes", "meta", "errors", "id", "text", "source_platform", "node",
    "instaloader", "__import_meta", "category", "subreddit", "created_utc", "videos",
)  # fmt: skip
# So many of them, of any fields and types, beside each fixture.
OBJECTS = 3000
ABSENT = object()
WRONG: list[Any] = [None, "x", 17, [], {"a": 1}, -1.5e300, [[{}]], True]
GROWN = 2 * 2**20
# The texts of Gaps hold values of the library that raises, never more than this.
MESSAGE = 500

Found = list[tuple[str, "Post | Gap"]]


class Suite:
    """Subclass it beside a fixture `name`, which is that of the format."""

    asked = Plain()

    @pytest.fixture
    def folder(self, name: str, tmp_path: Path) -> Path:
        return fixture(name, tmp_path / "dump")

    def test_its_fixture_is_recognised_and_by_no_other_format(
        self, name: str, folder: Path
    ) -> None:
        found = dict(dumps.sniff(Dump.at(str(folder))))
        if name in ASKED_FOR:
            assert found.get(name, 0.0) <= dumps.SURE
        else:
            assert found[name] > dumps.SURE
            assert [other for other, sure in found.items() if sure > dumps.SURE] == [name]

    def test_what_it_says_of_itself_is_one_line_each(self, name: str, folder: Path) -> None:
        form = dumps.load(name)
        assert list(form.files(Dump.at(str(folder)))), "it reads no file of its own fixture"
        for words in (form.TITLE, form.RECOGNISED, form.YIELDS):
            assert words
            assert "\n" not in words

    def test_its_files_are_there_sorted_and_told_once(self, name: str, folder: Path) -> None:
        dump = Dump.at(str(folder))
        files = list(dumps.load(name).files(dump))
        assert files == sorted(set(files))
        assert all(dump.has(file) for file in files)

    def test_posts_have_the_types_that_the_tables_take(self, name: str, folder: Path) -> None:
        posts = posts_of(self.read(name, folder))
        assert posts
        for post in posts:
            check(post)
        times = [post.created_at for post in posts if post.created_at]
        if times:
            assert min(times).year < 1970, "the fixture has no post before 1970"
            assert all(post.time_source for post in posts if post.created_at)

    def test_every_post_says_where_it_was_read(self, name: str, folder: Path) -> None:
        dump = Dump.at(str(folder))
        files = set(dumps.load(name).files(dump))
        for post in posts_of(self.read(name, folder)):
            file, _, line = post.raw_ref.rpartition(":")
            assert (file if line.isdigit() else post.raw_ref) in files

    def test_reading_twice_gives_the_same(self, name: str, folder: Path) -> None:
        assert self.read(name, folder) == self.read(name, folder)

    @pytest.mark.parametrize("form", ["zip", "tar", "gztar", "xztar"])
    def test_an_archive_of_it_gives_the_same_posts(
        self, name: str, folder: Path, form: str
    ) -> None:
        if any("!/" in file for file in Dump.at(str(folder)).names()):
            pytest.skip("its own files are archives, and archives in archives are not opened")
        packed = Path(shutil.make_archive(str(folder.parent / "packed"), form, folder)).name
        read, plain = (self.read(name, where) for where in (folder.parent / packed, folder))
        assert by_id([unpacked(post, f"{packed}!/") for post in posts_of(read)]) == by_id(
            [replace(post, platform=unmarked(post.platform)) for post in posts_of(plain)]
        )

    def test_no_path_leads_out_of_the_dump(self, name: str, folder: Path) -> None:
        for post in posts_of(self.read(name, folder)):
            for medium in post.media:
                if medium.path is not None:
                    found = resolve(medium.path, post.raw_ref.rpartition(":")[0])
                    assert found is None or ".." not in found.split("/")

    def test_a_missing_field_is_a_gap_and_never_an_error(self, name: str, folder: Path) -> None:
        before = self.read(name, folder)
        for file, without in drifted(folder, lambda _: ABSENT):
            after = self.read(name, folder)
            assert tells(before, after), f"{file}: {without} is gone and no gap says so"
            if without not in SAYS_NONE.get(name, ()):
                fewer = any(a > b for a, b in zip(told(before), told(after), strict=True))
                assert not fewer or new(before, after), (
                    f"{file}: {without} is gone with media or text, and no gap says so"
                )

    def test_an_object_of_any_types_is_never_an_error(self, name: str, folder: Path) -> None:
        draw = Random(name)
        for number in range(OBJECTS):
            keys = draw.sample(TOP, draw.randint(1, 5))
            item = {key: draw.choice(WRONG) for key in keys}
            (folder / f"zz{number}.json").write_text(json.dumps(item))
        dump = Dump.at(str(folder))
        assert dumps.load(name).recognise(dump) > 0
        assert list(dumps.load(name).files(dump))
        for post in posts_of(self.read(name, folder)):
            check(post)

    @pytest.mark.slow
    def test_a_field_of_another_type_is_never_an_error(self, name: str, folder: Path) -> None:
        before = self.read(name, folder)
        for file, where in drifted(folder, lambda number: WRONG[number % len(WRONG)]):
            after = self.read(name, folder)
            for post in posts_of(after):
                check(post)
            lost = len(posts_of(before)) - len(posts_of(after))
            assert lost <= 0 or new(before, after), (
                f"{file}: {where} loses posts and no gap says so"
            )

    def test_a_cut_file_is_a_gap_and_what_came_before_stays(self, name: str, folder: Path) -> None:
        before = self.read(name, folder)
        for path, data in texts(folder):
            for share in (0.35, 0.8):
                path.write_bytes(data[: int(len(data) * share)])
                after = self.read(name, folder)
                lost = len(posts_of(before)) - len(posts_of(after))
                assert lost <= 0 or new(before, after), f"{path.name} cut: {lost} posts lost"
            path.write_bytes(data)

    def test_nul_bytes_lose_no_post(self, name: str, folder: Path) -> None:
        before = self.read(name, folder)
        for path, data in texts(folder):
            path.write_bytes(data.replace(b"marker", b"mar\0ker") + b"\0\0\0")
            after = posts_of(self.read(name, folder))
            assert [post.post_id for post in after] == [p.post_id for p in posts_of(before)]
            assert not any("\0" in (post.text or "") for post in after)
            path.write_bytes(data)

    @pytest.mark.parametrize("hostile", [b"caf\xe9 \xff\xfe", "\ufeff\u202e\U0001f600".encode()])
    def test_bytes_that_are_no_text_lose_no_post(
        self, name: str, folder: Path, hostile: bytes
    ) -> None:
        self._hostile(name, folder, hostile)

    @pytest.mark.parametrize("escape", [rb"\ud83d", rb"\u0000", rb"\udc00\ud800"])
    def test_escapes_that_no_table_can_hold_lose_no_post(
        self, name: str, folder: Path, escape: bytes
    ) -> None:
        self._hostile(name, folder, escape)

    def _hostile(self, name: str, folder: Path, hostile: bytes) -> None:
        before = posts_of(self.read(name, folder))
        for path, data in texts(folder):
            if b"marker" in data:
                path.write_bytes(data.replace(b"marker", hostile))
        after = posts_of(self.read(name, folder))
        assert [post.post_id for post in after] == [post.post_id for post in before]
        for post in after:
            check(post)

    @pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
    def test_what_windows_writes_as_utf_16_gives_the_same(
        self, name: str, folder: Path, coding: str
    ) -> None:
        before = self.read(name, folder)
        for path, data in texts(folder):
            path.write_bytes(f"\ufeff{data.decode('utf-8-sig')}".encode(coding))
        assert self.read(name, folder) == before

    def test_a_file_that_nobody_can_look_into_is_told_and_changes_nothing(
        self, name: str, folder: Path
    ) -> None:
        before = self.read(name, folder)
        sure = dict(dumps.sniff(Dump.at(str(folder))))[name]
        for path, data in texts(folder):
            there = path.with_name(f"{path.name.replace('.', '0.', 1)}.gz")
            there.write_bytes(gzip.compress(data)[:10])
            after = self.read(name, folder)
            if there.name.endswith((".json.gz", ".jsonl.gz", ".csv.gz")):
                assert "archive.truncated" in {gap.kind for gap in gaps_of(after)}
            assert by_id(posts_of(after)) == by_id(posts_of(before))
            assert dict(dumps.sniff(Dump.at(str(folder)))).get(name) == sure
            there.unlink()

    def test_hostile_names_beside_it_change_nothing(self, name: str, folder: Path) -> None:
        before = posts_of(self.read(name, folder))
        for hostile in (
            "a\nb.jpg",
            "..%2f..%2fx.png",
            "-rf ~.mp4",
            "a'\"; DROP TABLE files; --.jpg",
        ):
            (folder / hostile).write_bytes(b"no picture")
        (folder / "zz!").mkdir()
        (folder / "zz!" / "y.jpg").write_bytes(b"no picture")
        (folder / "zz \u202e.json").write_bytes(b"\xff\0{")
        (folder / "zz.jsonl").write_bytes(b"[[[[{")
        assert by_id(posts_of(self.read(name, folder))) == by_id(before)

    @pytest.mark.slow
    def test_it_is_read_in_pieces_and_never_whole(self, name: str, folder: Path) -> None:
        if name in ONE_POST_A_FILE:
            pytest.skip("each of its metadata files holds one post")
        largest = max(texts(folder), key=lambda found: len(found[1]))
        assert grow(*largest) >= GROWN
        Watched.largest = 0
        dump = Watched.at(str(folder))
        tracemalloc.start()
        try:
            count = sum(1 for _ in dumps.read_all(dump, [name], self.asked))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert count > 1000
        assert Watched.largest <= 2**20
        assert peak < GROWN * 3 / 4

    def read(self, name: str, where: Path) -> Found:
        dump = Dump.at(str(where))
        try:
            return list(dumps.read_all(dump, [name], self.asked))
        finally:
            dump.close()


class Watched(Dump):
    """A dump that notes the most bytes which one read gave."""

    largest = 0

    def open(self, name: str) -> Any:
        return _Watching(super().open(name))


class _Watching(io.RawIOBase):
    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        assert size >= 0, "a file is read whole"
        return self._seen(self._file.read(size))

    def readinto(self, buffer: Any) -> int:
        count = int(self._file.readinto(buffer))
        Watched.largest = max(Watched.largest, count)
        return count

    def read1(self, size: int = -1, /) -> bytes:
        assert size >= 0, "a file is read whole"
        return self._seen(self._file.read1(size))

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._seen(self._file.readline(-1 if size is None else size))

    def _seen(self, data: bytes) -> bytes:
        Watched.largest = max(Watched.largest, len(data))
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


def fixture(name: str, folder: Path) -> Path:
    """Copy the fixture of a format into a folder, and make what is not kept as text."""
    home = FIXTURES / dumps.FORMATS[name]
    shutil.copytree(home, folder, ignore=shutil.ignore_patterns("make.py", "__pycache__"))
    if (home / "make.py").exists():
        spec = importlib.util.spec_from_file_location(f"make_{home.name}", home / "make.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.make(folder)
    return folder


def posts_of(found: Found) -> list[Post]:
    return [each for _, each in found if isinstance(each, Post)]


def gaps_of(found: Found) -> list[Gap]:
    return [each for _, each in found if isinstance(each, Gap)]


def told(found: Found) -> tuple[int, int]:
    """Return how many media there are, and how many posts have a text."""
    posts = posts_of(found)
    return sum(len(post.media) for post in posts), sum(bool(post.text) for post in posts)


def by_id(posts: list[Post]) -> list[Post]:
    return sorted(posts, key=lambda post: (post.post_id, post.raw_ref))


def unpacked(post: Post, archive: str) -> Post:
    """Return a post as it would be read where its archive is unpacked."""

    def plain(name: str) -> str:
        return name.replace(archive, "", 1).replace("//./", "//", 1).removeprefix("./")

    media = tuple(
        replace(medium, path=plain(medium.path)) if medium.path else medium for medium in post.media
    )
    # A table in an archive is another one than the same beside it: its mark is of its address.
    return replace(post, platform=unmarked(post.platform), raw_ref=plain(post.raw_ref), media=media)


def check(post: Post) -> None:
    """Hold a post to the types of the tables."""
    for key in ("post_id", "platform", "raw_ref"):
        assert isinstance(getattr(post, key), str)
        assert getattr(post, key)
    for key in ("author_id", "author_name", "text", "lang", "url", "reply_to", "repost_of"):
        value = getattr(post, key)
        assert value is None or isinstance(value, str), f"{key} is {value!r}"
        assert value is None or "\0" not in value.encode().decode(), f"{key} holds NUL"
    if post.created_at is not None:
        assert post.created_at.utcoffset() == timedelta(0)
    assert all(type(value) is int for value in post.metrics.values())
    json.dumps(dict(post.metrics))
    assert [medium.index for medium in post.media] == list(range(len(post.media)))
    for medium in post.media:
        assert medium.kind in ("image", "video", "audio", "other")
        for key in ("url", "path", "key", "alt_text", "sha256"):
            value = getattr(medium, key)
            assert value is None or isinstance(value, str), f"media {key} is {value!r}"
            assert value is None or value.encode()
        assert isinstance(medium.status, str)
        assert medium.width is None or isinstance(medium.width, int)
        assert medium.height is None or isinstance(medium.height, int)
        assert medium.duration is None or isinstance(medium.duration, float | int)


def counted(found: Found) -> dict[tuple[str, str, str], int]:
    return {(gap.kind, gap.ref, gap.message): gap.count for gap in gaps_of(found)}


def new(before: Found, after: Found) -> bool:
    """Tell whether the second reading has gaps that the first had not, or more of one."""
    known = counted(before)
    for gap in gaps_of(after):
        assert len(gap.message) <= MESSAGE
    return any(count > known.get(gap, 0) for gap, count in counted(after).items())


def tells(before: Found, after: Found) -> bool:
    """Tell whether a gap says so where posts, times or authors are fewer than before."""

    def sums(found: Found) -> list[int]:
        posts = posts_of(found)
        return [
            len(posts),
            sum(post.created_at is not None for post in posts),
            sum(post.author_id is not None for post in posts),
        ]

    fewer = any(a > b for a, b in zip(sums(before), sums(after), strict=True))
    return not fewer or new(before, after)


def texts(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield the metadata files that are text: what can be changed by its bytes."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".js"):
            yield path, path.read_bytes()


def drifted(folder: Path, value: Callable[[int], Any]) -> Iterator[tuple[str, str]]:
    """Change every field of every metadata file in turn; each stays changed until the next step."""
    number = 0
    for path, data in texts(folder):
        form = Form.of(path, data)
        for where in sorted(form.fields()):
            form.write(path, where, value(number))
            yield path.name, ".".join(where)
            number += 1
        path.write_bytes(data)


class Form:
    """A metadata file as a list of values, and how they are written back."""

    def __init__(self, values: list[Any], write: Callable[[list[Any]], bytes]) -> None:
        self.values = values
        self._write = write

    @classmethod
    def of(cls, path: Path, data: bytes) -> Form:
        text = data.decode()
        if path.suffix in (".csv", ".tsv"):
            return _table(text, "\t" if path.suffix == ".tsv" else ",")
        if path.suffix == ".js":
            before, _, text = text.partition("= ")
            return cls([json.loads(text)], lambda v: f"{before}= {json.dumps(v[0])}".encode())
        try:
            return cls([json.loads(text)], lambda v: json.dumps(v[0]).encode())
        except ValueError:
            values = [json.loads(line) for line in text.splitlines() if _is_json(line)]
            return cls(values, lambda v: "".join(json.dumps(i) + "\n" for i in v).encode())

    def fields(self) -> set[tuple[str, ...]]:
        found: set[tuple[str, ...]] = set()
        for value in self.values:
            _fields(value, (), found)
        return found

    def write(self, path: Path, where: tuple[str, ...], value: Any) -> None:
        values = deepcopy(self.values)
        for each in values:
            _put(each, where, value)
        path.write_bytes(self._write(values))


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _table(text: str, delimiter: str) -> Form:
    rows = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))

    def write(values: list[Any]) -> bytes:
        names = list(dict.fromkeys(key for row in values for key in row))
        out = io.StringIO()
        writer = csv.DictWriter(out, names, delimiter=delimiter)
        writer.writeheader()
        writer.writerows(values)
        return out.getvalue().encode()

    return Form(rows, write)


def _fields(value: Any, where: tuple[str, ...], found: set[tuple[str, ...]]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            found.add((*where, key))
            _fields(inner, (*where, key), found)
    elif isinstance(value, list):
        for inner in value:
            _fields(inner, (*where, "[]"), found)


def _put(value: Any, where: tuple[str, ...], new_value: Any) -> None:
    first, rest = where[0], where[1:]
    if first == "[]":
        for inner in value if isinstance(value, list) else []:
            _put(inner, rest, new_value)
    elif isinstance(value, dict) and first in value:
        if rest:
            _put(value[first], rest, new_value)
        elif new_value is ABSENT:
            del value[first]
        else:
            value[first] = new_value


def _lists(value: Any) -> list[list[Any]]:
    if isinstance(value, dict):
        return [found for inner in value.values() for found in _lists(inner)]
    if isinstance(value, list):
        return [value, *(found for inner in value for found in _lists(inner))]
    return []


def grow(path: Path, data: bytes) -> int:
    """Write a metadata file again, of the same items many times over; return its size."""
    form = Form.of(path, data)
    values = form.values
    times = 2 * GROWN // len(data) + 2
    if path.suffix not in {".json", ".js"}:
        values *= times
    elif isinstance(values[0], dict) and all(isinstance(v, dict) for v in values[0].values()):
        pairs = list(values[0].items())
        values[0].update({f"{key}-{n}": value for n in range(times) for key, value in pairs})
    else:
        long = max(_lists(values[0]), key=lambda found: len(json.dumps(found)))
        long *= GROWN // len(json.dumps(long)) + 1
    path.write_bytes(form._write(values))
    return path.stat().st_size
