"""What several tests need: the checkout and its README."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

JOBS = Path(__file__).parent / "jobs"
ASIDE = [Path(__file__).parent / name for name in ("cloud", "infra")]


@pytest.fixture(scope="session", autouse=True)
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for weights and what is made of them, in place of the user's own."""
    folder = tmp_path_factory.mktemp("models")
    with environment() as patch:
        patch.setenv("IMGBATCH_MODEL_CACHE", str(folder))
        yield folder


def pytest_collection_finish() -> None:
    """Have the garbage collector never look through what was collected: 5,000 tests, and torch.

    Each full collection would go through all of it again.
    """
    gc.collect()
    gc.freeze()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what starts Rays, and what mostly waits for a cloud: side by side with their like they
    would wait for each other's cores, or server.
    """
    if item.path.is_relative_to(JOBS):
        item.add_marker(pytest.mark.ray)
    if any(item.path.is_relative_to(place) for place in ASIDE):
        item.add_marker(pytest.mark.aside)


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the checkout."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared(root: Path) -> Path:
    """The folder of corpora and models beside the checkout, or where TEST_SHARED says."""
    folder = Path(os.environ.get("TEST_SHARED") or root.parent / "shared")
    if not folder.is_dir():
        pytest.skip("no shared folder beside the checkout; TEST_SHARED names another")
    return folder


@pytest.fixture(scope="session")
def readme(root: Path) -> str:
    """The text of README.md."""
    return (root / "README.md").read_text("utf-8")


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """The name of a bucket on an S3 server of the test's own, which the environment points at."""
    with server("-m", "moto.server", "-H", "127.0.0.1", "-p") as port, environment() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ALLOW_HTTP", "true")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="tests")
        yield "tests"


@pytest.fixture(scope="session")
def gs_server() -> Iterator[str]:
    """The URL of a server of the test's own that answers like Google's, 100 names to the page."""
    with server(str(Path(__file__).parent / "servers" / "gcs.py"), after=["100"]) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def gs_bucket(gs_server: str) -> Iterator[str]:
    """The name of a bucket there, which the environment points at."""
    with environment() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", gs_server)
        ask(f"{gs_server}/storage/v1/b", {"name": "tests"})
        yield "tests"


environment = pytest.MonkeyPatch.context


def ask(url: str, said: object) -> Any:
    """Send JSON to a server of ours; return what it answers."""
    request = urllib.request.Request(url, json.dumps(said).encode(), method="POST")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


@contextlib.contextmanager
def server(*words: str, after: Sequence[str] = ()) -> Iterator[int]:
    """Run a Python program that is told a port to listen at; yield the port.

    A process of its own: some calls of deltalake wait for an answer with Python's lock in hand.
    """
    port = free_port()
    line = [sys.executable, *words, str(port), *after]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(process, port)
        yield port
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait for as long as a machine at work may take: with a disk at work too it took over 20 s."""
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        with (
            contextlib.suppress(ConnectionRefusedError),
            socket.create_connection(("127.0.0.1", port)),
        ):
            return
        time.sleep(0.1)
    pytest.fail(f"the server did not come up; its exit code: {process.poll()}")
