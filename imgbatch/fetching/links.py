"""The URLs of a dump enter, and the outcomes that OUT has; what is to be asked leaves, by host.

Decision, 2026-11: they lie in an SQLite database in a temporary file of its own, as a dump's names
do (`sources.dumps.dump`): ten million URLs take disk and no memory, each is there once however many
posts link to it, and nothing is left of it when the process is killed. The truth is in OUT.
Drawback: a fetch begins with a pass over all outcomes that OUT has.
"""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

from imgbatch.fetching.hosts import host_of
from imgbatch.fetching.task import FIELDS, TOO_LARGE, UNASKED, UNWANTED, Task
from imgbatch.fetching.urls import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from imgbatch.fetching.asked import FetchSettings
    from imgbatch.fetching.owners import Owner
    from imgbatch.fetching.task import Row

SCHEMA = """
    PRAGMA journal_mode = OFF;
    CREATE TABLE links (id INTEGER PRIMARY KEY, key TEXT UNIQUE, url TEXT, host TEXT, state TEXT,
        linked INTEGER, wanted INTEGER, row TEXT, file TEXT);
    CREATE INDEX by_state ON links (state, host, id);
    CREATE TABLE files (key TEXT, name TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE INDEX by_key ON files (key);
    CREATE TABLE leaving (key TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE owners (key TEXT, marks BLOB, created REAL, PRIMARY KEY (key, marks))
        WITHOUT ROWID;
    CREATE TABLE had (post BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE gave (file TEXT PRIMARY KEY) WITHOUT ROWID;
"""
# `state`: todo (to be asked), taken (being asked), known (has its outcome), left (by a limit).
AT_ONCE = 100


class Links:
    """All URLs that this fetch knows, each once. Used by one thread."""

    def __init__(self) -> None:
        # "": a temporary file that nobody else sees.
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.executescript(SCHEMA)
        self._base.execute("BEGIN")

    def close(self) -> None:
        """Let go of them."""
        self._base.close()

    def remember(self, rows: Iterable[Row]) -> None:
        """Take outcomes of former fetches; of two of one URL the later one."""
        for row in rows:
            self._base.execute(
                "INSERT INTO links (key, url, state, linked, wanted, row, file) "
                "VALUES (?, ?, 'known', 0, 0, ?, ?) "
                "ON CONFLICT (key) DO UPDATE SET row = excluded.row, file = excluded.file",
                (key_of(row["url"]), row["url"], json.dumps(row), row.get("file")),
            )

    def found(self, names: Iterable[tuple[str, str]]) -> None:
        """Take note of the files (key, name) that lie in OUT; outcomes whose file is gone go."""
        self._base.executemany("INSERT OR IGNORE INTO files VALUES (?, ?)", names)
        self._base.execute(
            "UPDATE links SET row = NULL, file = NULL WHERE file IS NOT NULL "
            "AND file NOT IN (SELECT name FROM files)"
        )

    def link(self, url: str, *, wanted: bool) -> None:
        """Take note that the dump links to a URL; one post that wants it is enough."""
        self._base.execute(
            "INSERT INTO links (key, url, state, linked, wanted) VALUES (?, ?, 'known', 1, ?) "
            "ON CONFLICT (key) DO UPDATE SET linked = 1, wanted = max(wanted, excluded.wanted)",
            (key_of(url), url, wanted),
        )

    def own(self, owners: Iterable[Owner]) -> None:
        """Take note which posts URLs belong to, or did once; see `owners`."""
        self._base.executemany("INSERT OR IGNORE INTO owners VALUES (?, ?, ?)", owners)

    def owners(self) -> Iterator[Owner]:
        """Yield that again, of the URLs that are linked to or have an outcome, by URL."""
        yield from self._base.execute(
            "SELECT key, marks, created FROM owners WHERE key IN (SELECT key FROM links) "
            "ORDER BY key, marks"
        )

    def disown(self, is_gone: Callable[[bytes, float | None], bool]) -> None:
        """Take the posts off URLs that are gone: what nobody has then leaves with `take_out`.

        Args:
            is_gone: tells by the hashes of a post's marks and its date.
        """
        self._base.create_function("is_gone", 2, is_gone)
        self._base.execute(
            "CREATE TABLE lost AS SELECT DISTINCT key FROM owners WHERE is_gone(marks, created)"
        )
        self._base.execute("DELETE FROM owners WHERE is_gone(marks, created)")
        # A post that the dump has no more is there by the policy `keep`, and so is what it has.
        self._base.execute(
            "INSERT OR IGNORE INTO leaving "
            "SELECT key FROM lost WHERE key NOT IN (SELECT key FROM owners)"
        )
        self._base.execute("DROP TABLE lost")

    def nobodys(self) -> Iterator[tuple[str, Row]]:
        """Yield (key, outcome) where no post links to a URL, and nobody knows which one did."""
        rows = self._base.execute(
            "SELECT key, row FROM links WHERE linked = 0 AND row IS NOT NULL "
            "AND key NOT IN (SELECT key FROM owners)"
        )
        for key, row in rows:
            yield key, json.loads(row)

    def leave(self, keys: Iterable[str]) -> None:
        """Take note that URLs are to leave, by their keys, if no post links to them."""
        found = [(key,) for key in keys]
        self._base.executemany("INSERT OR IGNORE INTO leaving VALUES (?)", found)

    def leave_unlinked(self) -> None:
        """Take note that all are to leave that no post links to."""
        self._base.execute("INSERT OR IGNORE INTO leaving SELECT key FROM links WHERE linked = 0")

    def unlinked(self) -> int:
        """Return how many files are of URLs that no post links to."""
        statement = "SELECT count(*) FROM links WHERE linked = 0 AND file IS NOT NULL"
        return int(self._base.execute(statement).fetchone()[0])

    def had(self, posts: Iterable[bytes]) -> None:
        """Take note of posts that OUT has, by the hashes of their marks."""
        self._base.executemany("INSERT OR IGNORE INTO had VALUES (?)", ((one,) for one in posts))

    def has(self, post: bytes) -> None:
        """Take note of a post of the dump."""
        self._base.execute("DELETE FROM had WHERE post = ?", (post,))

    def lost(self) -> int:
        """Return how many posts OUT has that the dump does not have."""
        return int(self._base.execute("SELECT count(*) FROM had").fetchone()[0])

    def gave(self, file: str) -> None:
        """Take note of a metadata file that posts were read of before; "" is none."""
        self._base.execute("INSERT OR IGNORE INTO gave SELECT ? WHERE ? <> ''", (file, file))

    def gives(self, file: str) -> None:
        """Take note of one that gives posts now, or says that it has none."""
        self._base.execute("DELETE FROM gave WHERE file = ?", (file,))

    def silent(self) -> Iterator[str]:
        """Yield the files that posts were read of before, and now neither."""
        for (file,) in self._base.execute("SELECT file FROM gave ORDER BY file"):
            yield file

    def take_out(self) -> int:
        """Let go of the outcomes of those that leave and no post links to; return how many."""
        done = self._base.execute(
            "DELETE FROM links WHERE linked = 0 AND key IN (SELECT key FROM leaving)"
        )
        return done.rowcount

    def unwanted(self) -> Iterator[str]:
        """Yield the URLs that no post wants and have no outcome, which each may get meanwhile."""
        statement = (
            "SELECT id, url FROM links WHERE id > ? AND linked = 1 AND wanted = 0 AND row IS NULL "
            "ORDER BY id LIMIT ?"
        )
        last = 0
        while rows := self._base.execute(statement, (last, AT_ONCE)).fetchall():
            last = rows[-1][0]
            yield from (url for _, url in rows)

    def strays(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, URL, file) where OUT has a file and no outcome: its fetch was killed."""
        yield from self._base.execute(
            "SELECT links.key, url, min(name) FROM links JOIN files USING (key) "
            "WHERE row IS NULL AND linked = 1 GROUP BY links.key"
        ).fetchall()

    def plan(self, settings: FetchSettings) -> int:
        """Decide what is to be asked; return how many.

        It is what has no outcome, what was not asked the last time, whatever a rule kept away that
        is another one now, and what `retry` and `refresh` name; `limit` ends it, in the order of
        the dump.
        """
        self._base.execute("UPDATE links SET state = 'todo' WHERE wanted = 1 AND row IS NULL")
        again = "UPDATE links SET state = 'todo' WHERE wanted = 1 AND "
        # Of what no post wanted: one does now.
        patterns = [UNASKED, UNWANTED, *settings.retry]
        patterns += ["link.private"] if settings.allow_private else []
        patterns += ["link.robots", "link.noai"] if settings.ignore_robots else []
        for pattern in patterns:
            self._base.execute(f"{again} json_extract(row, '$.error_class') GLOB ?", (pattern,))
        self._base.execute(
            f"{again} json_extract(row, '$.error_class') = ? "
            "AND coalesce(json_extract(row, '$.max_bytes'), 0) < ?",
            (TOO_LARGE, settings.max_bytes),
        )
        if settings.refresh:
            self._base.execute(f"{again} file IS NOT NULL")
        if settings.limit is not None:
            self._base.execute(
                "UPDATE links SET state = 'left' WHERE state = 'todo' AND id NOT IN "
                "(SELECT id FROM links WHERE state = 'todo' ORDER BY id LIMIT ?)",
                (settings.limit,),
            )
        self._base.create_function("host_of", 1, host_of, deterministic=True)
        self._base.execute("UPDATE links SET host = host_of(url) WHERE state = 'todo'")
        found = self._base.execute("SELECT count(*) FROM links WHERE state = 'todo'").fetchone()
        return int(found[0])

    def hosts(self) -> Iterator[str]:
        """Yield the hosts that are to be asked, in the order in which the dump names them."""
        statement = "SELECT host FROM links WHERE state = 'todo' GROUP BY host ORDER BY min(id)"
        for (host,) in self._base.execute(statement).fetchall():
            yield host

    def next_of(self, host: str) -> list[Task]:
        """Return the next tasks of a host, in the order of the dump."""
        rows = self._base.execute(
            "SELECT id, url, key, row FROM links WHERE state = 'todo' AND host = ? "
            "ORDER BY id LIMIT ?",
            (host, AT_ONCE),
        ).fetchall()
        self._base.executemany(
            "UPDATE links SET state = 'taken' WHERE id = ?", [(row[0],) for row in rows]
        )
        return [
            Task(url=url, key=key, at=url, former=json.loads(row) if row else {})
            for _, url, key, row in rows
        ]

    def done(self, row: Row) -> None:
        """Take the outcome of a URL."""
        self._base.execute(
            "UPDATE links SET state = 'known', row = ?, file = ? WHERE key = ?",
            (json.dumps(row), row.get("file"), key_of(row["url"])),
        )

    def outcome(self, url: str) -> Row | None:
        """Return what came of a URL; None while nothing did."""
        found = self._base.execute("SELECT row FROM links WHERE key = ?", (key_of(url),)).fetchone()
        return json.loads(found[0]) if found and found[0] else None

    def outcomes(self) -> Iterator[Row]:
        """Yield all outcomes, by URL."""
        for row, linked in self._base.execute(
            "SELECT row, linked FROM links WHERE row IS NOT NULL ORDER BY url"
        ):
            yield {**dict.fromkeys(FIELDS), **json.loads(row), "linked": bool(linked)}

    def counts(self) -> dict[str, int]:
        """Return how many URLs of the dump came to what: `ok`, an error class, `not-fetched`."""
        rows = self._base.execute(
            "SELECT CASE WHEN row IS NULL THEN 'not-fetched' "
            "WHEN json_extract(row, '$.status') = 'ok' THEN 'ok' "
            "ELSE json_extract(row, '$.error_class') END AS name, count(*) "
            "FROM links WHERE linked = 1 GROUP BY name ORDER BY count(*) DESC, name"
        )
        return dict(rows.fetchall())

    def kept(self) -> dict[str, int]:
        """Return of how many URLs the file is kept that could not be had again, by error class."""
        rows = self._base.execute(
            "SELECT json_extract(row, '$.error_class') AS name, count(*) FROM links "
            "WHERE linked = 1 AND file IS NOT NULL AND name <> '' GROUP BY name ORDER BY name"
        )
        return dict(rows.fetchall())

    def unused(self) -> Iterator[str]:
        """Yield the files of OUT that no outcome names any more."""
        statement = (
            "SELECT name FROM files WHERE name NOT IN "
            "(SELECT file FROM links WHERE file IS NOT NULL)"
        )
        for (name,) in self._base.execute(statement).fetchall():
            yield name
