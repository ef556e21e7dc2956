"""A folder and a count in; a web server that is 50 ms away gives so many files of 100 KB, by TLS.

Run as a process of its own: `fetch_server FOLDER COUNT` writes `certificate.pem` and a dump that
links to the files, prints its URL, and serves until its input ends. What goes to it and comes from
it waits 25 ms in a relay, and a connection's begin a whole round trip.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from functools import partial
from pathlib import Path

from tests.fetching import given
from tests.servers.misbehaving import picture
from tests.servers.secure import Said, Secure

WAY_SECONDS = 0.025
FILE_BYTES = 100_000
HERE = "127.0.0.1"


def main(folder: Path, count: int) -> None:
    """Serve until the input ends."""
    start = picture(0)
    body = start + bytes(FILE_BYTES - len(start))
    with Secure(folder, lambda *_: Said(200, body)) as server:
        asyncio.run(_serve(server.port, folder, count))


async def _serve(port: int, folder: Path, count: int) -> None:
    server = await asyncio.start_server(partial(_relay, port), HERE, 0)
    url = f"https://{HERE}:{server.sockets[0].getsockname()[1]}"
    given.dump(folder / "dump", [[f"{url}/{number}"] for number in range(count)])
    print(json.dumps({"url": url}), flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


async def _relay(port: int, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
    """Hand on what comes, both ways, late."""
    with contextlib.suppress(ConnectionError):
        await asyncio.sleep(2 * WAY_SECONDS)
        far, there = await asyncio.open_connection(HERE, port)
        await asyncio.gather(_late(near, there), _late(far, back))


async def _late(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    clock = asyncio.get_running_loop().time
    # What is on its way, and when it is there; b"": the end. It takes all that is sent: the line
    # is late and not narrow.
    line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        data = b"more"
        while data:
            data = await source.read(2**16)
            line.put_nowait((clock() + WAY_SECONDS, data))

    async def write() -> None:
        data = b"more"
        while data:
            due, data = await line.get()
            await asyncio.sleep(due - clock())
            target.write(data)
        target.close()

    await asyncio.gather(read(), write())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
