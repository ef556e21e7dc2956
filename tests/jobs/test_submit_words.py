"""What `submit` and `run --address` refuse before any cluster is asked; and who answers wrongly."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import ray
from ray._private.utils import check_version_info

from imgbatch.analyzers import settings_of
from imgbatch.dataset import MARKER, Dataset
from imgbatch.errors import ClusterError, JobError, RunError, SettingsError, VersionError
from imgbatch.messages import Job
from imgbatch.release import Release, read, refuse_other, release
from imgbatch.settings import Limits, read_recipe
from jobs import analyze, connect, hire, submit, submitted
from tests import corpus
from tests.jobs.cluster import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator


def imgbatch(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imgbatch", *map(str, words)],
        env={k: v for k, v in os.environ.items() if not k.startswith("RAY_")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def dashboard_of(version: str | None) -> Iterator[str]:
    """Serve what the dashboard of a cluster with another Ray says of itself."""

    class Version(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told = {"version": "4", "ray_version": version, "ray_commit": ""}
            body = json.dumps(told if version else {}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Version)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def called(name: str, *words: str | Path) -> None:
    """Call a job's command in this process: what it raises is what the terminal shows."""
    app = {"submit": submit.app, "run": analyze.app}[name]
    app([str(word) for word in words], standalone_mode=False)


@pytest.fixture
def _handlers() -> Iterator[None]:
    """Give this process its signal handlers back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _no_cluster_of_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)


@pytest.mark.slow
def test_a_cluster_with_another_ray_is_refused_with_both_named(tmp_path: Path) -> None:
    with dashboard_of("2.9.0") as address:
        done = imgbatch("submit", tmp_path, tmp_path / "d", "--address", address)
    assert (done.returncode, done.stdout) == (21, "")
    ours = f"VersionError: this machine has Ray {release().ray}"
    assert f"{ours}; the cluster at {address} has Ray 2.9.0" in done.stderr


def test_a_driver_of_another_ray_is_refused_with_both_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.many(tmp_path / "in", 1)
    told = {"ray_version": "2.9.0", "python_version": "3.9.18"}

    def init(address: str, **_: object) -> None:
        check_version_info(told, address)  # as Ray does once it has heard from the cluster

    monkeypatch.setattr(ray, "init", init)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(VersionError) as caught:
            called("run", tmp_path / "in", tmp_path / "d", "--address", address)
    said = str(caught.value)
    assert "The cluster was started with: Ray: 2.9.0 Python: 3.9.18 This process on" in said
    assert f"{address} was started with: Ray: {ray.__version__} Python: " in said
    assert caught.value.exit_code == 21


def test_another_runtime_error_of_ray_s_is_no_matter_of_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def init(**_: object) -> None:
        raise RuntimeError("Maybe you called ray.init twice by accident?")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(RuntimeError, match="twice by accident"):
        connect.connect("local")


def test_a_server_that_is_no_ray_is_told_so(tmp_path: Path) -> None:
    with dashboard_of(None) as address, pytest.raises(ClusterError, match="is no Ray dashboard"):
        called("submit", tmp_path, tmp_path / "d", "--address", address)


def test_a_flag_wins_over_rays_own_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:9")
    with dashboard_of("2.9.0") as address, pytest.raises(VersionError, match=re.escape(address)):
        called("submit", tmp_path, tmp_path / "d", "--address", address)


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["submit", "--address", "1.2.3.4:6379"], SettingsError, "not the address of a Ray dashb"),
        (["submit", "--address", "http://127.0.0.1:{port}"], ClusterError, "cluster at http://127"),
        (["submit", "--recipe", "quik"], SettingsError, "did you mean 'quick'"),
        (["submit", "--recipe", "{tmp}/bad.toml"], SettingsError, "'brightnes'"),
        (["submit", "--max-failed", "many"], SettingsError, "--max-failed 'many'"),
        (["run", "--address", "127.0.0.1:{port}"], ClusterError, "nothing answers at 127.0.0.1:"),
        (["run", "--address", "http://127.0.0.1:8265"], SettingsError, "is not HOST:PORT of a Ray"),
    ],
)
def test_what_is_wrong_is_said_before_anything_leaves_this_machine(
    tmp_path: Path, words: list[str], error: type[RunError], said: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"no picture")
    (tmp_path / "bad.toml").write_text("[analyzers.quality]\nbrightnes = 1\n")
    (port,) = free_ports(1)
    put = {"{tmp}": str(tmp_path), "{port}": str(port)}
    for name, value in put.items():
        words = [word.replace(name, value) for word in words]
    with pytest.raises(error, match=re.escape(said)):
        called(words[0], tmp_path / "in", tmp_path / "d", *words[1:])


def test_what_only_this_process_has_cannot_be_submitted(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="memory://d is in this process only"):
        called("submit", tmp_path, "memory://d")


HERE = Release("0.1.0", "abc", "2.60.0", "3.11")


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        (replace(HERE, imgbatch="0.2.0"), "Install imgbatch 0.1.0 of the same source on there"),
        (replace(HERE, source="def"), "`imgbatch submit --ship`"),
        (replace(HERE, ray="2.9.0"), "Install Ray 2.60.0 on there"),
        (replace(HERE, python="3.12"), "or what it has on here"),
    ],
)
def test_two_releases_that_differ_are_both_named(there: Release, wanted: str) -> None:
    with pytest.raises(VersionError) as caught:
        refuse_other(HERE, there, places=("here", "there"))
    assert str(HERE) in str(caught.value)
    assert str(there) in str(caught.value)
    assert wanted in caught.value.remedy
    refuse_other(HERE, replace(there, **HERE.record()), places=("here", "there"))


def test_a_release_of_a_version_that_says_other_things_is_refused() -> None:
    assert read(HERE.record()) == HERE
    with pytest.raises(VersionError, match="cuda"):
        read({**HERE.record(), "cuda": "13"})


def test_a_worker_that_sees_another_folder_at_the_same_path_is_refused(tmp_path: Path) -> None:
    dataset = Dataset.create(str(tmp_path / "d"))
    seen = hire.seen(str(tmp_path), dataset.url)
    marker = Path(seen[1].path)
    assert [one.path for one in seen] == [str(tmp_path), f"{tmp_path}/d/{MARKER}"]
    assert hire.seen("s3://bucket/in", "gs://bucket/out") == ()
    (tmp_path / "new.jpg").touch()
    assert all(one.same() for one in seen), "who writes into a folder makes no other one of it"
    recipe = read_recipe("[analyzers.image]", settings_of=settings_of)
    job = Job("run", dataset.url, recipe, Limits())
    terms = hire.terms(str(tmp_path), dataset.url)
    hire.worker(terms, job, "here").close()
    marker.rename(tmp_path / "aside")
    marker.write_bytes((tmp_path / "aside").read_bytes())
    assert [one.same() for one in seen] == [True, False]
    with pytest.raises(SettingsError, match=f"{tmp_path}/d is not the same folder on the worker"):
        hire.worker(terms, job, "there")


def test_a_worker_of_another_release_is_refused(tmp_path: Path) -> None:
    recipe = read_recipe("[analyzers.image]", settings_of=settings_of)
    job = Job("run", str(tmp_path), recipe, Limits())
    terms = hire.Terms({**HERE.record(), "source": "0" * 12}, ())
    with pytest.raises(VersionError, match=r"the driver has .*source 0{12}.*; the worker on "):
        hire.worker(terms, job, "there")


def driver(script: str) -> list[str]:
    return [sys.executable, "-c", f"import os, sys, signal, pathlib, time\n{script}"]


@pytest.mark.usefixtures("_handlers")
def test_a_driver_that_is_killed_starts_again_and_its_own_code_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(submitted, "PAUSE", 0.01)
    died = f"""
lives = pathlib.Path({str(tmp_path / "lives")!r})
with lives.open("a") as file: file.write("x")
if len(lives.read_text()) < 3: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(16)
"""
    assert submitted.Watchman().watch(driver(died)) == 16
    assert capsys.readouterr().err.count("the driver was killed (SIGKILL)") == 2


@pytest.mark.usefixtures("_handlers")
def test_a_driver_that_is_killed_each_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitted, "PAUSE", 0.01)
    with pytest.raises(JobError, match="killed 6 times in a row, last by SIGSEGV"):
        submitted.Watchman().watch(driver("os.kill(os.getpid(), signal.SIGSEGV)"))


def test_a_driver_whose_job_is_stopped_is_not_started_again() -> None:
    script = "print('up', flush=True); time.sleep(60)"
    order = f"from jobs.submitted import Watchman; Watchman().watch({driver(script)!r})"
    job = subprocess.Popen(
        [sys.executable, "-c", order], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert job.stdout is not None
    assert job.stdout.readline() == "up\n"
    time.sleep(0.1)
    job.send_signal(signal.SIGTERM)
    out, err = job.communicate(timeout=30)
    assert out == ""
    assert "CancelledError: the job was stopped (SIGTERM)" in err


def test_json_lines_of_a_job_go_one_way_and_all_others_the_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = submit.Sorted()
    for piece in ('{"event": "acc', 'epted"}\nerror: Some', "Error: x\n", '{"a": 1}\n'):
        out.write(piece)
        out.flush()
    said = capsys.readouterr()
    assert said.out == '{"event": "accepted"}\n{"a": 1}\n'
    assert said.err == "error: SomeError: x\n"
