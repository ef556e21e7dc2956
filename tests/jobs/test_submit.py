"""Runs handed to a real cluster with a token: what they leave, what is refused, what is told."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import venv
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

import imgbatch
from imgbatch.dataset import Dataset
from imgbatch.dataset.lock import RunLock
from imgbatch.dataset.verify import verify
from imgbatch.storage import open_store
from tests import corpus
from tests.equal import assert_equal
from tests.jobs.cluster import TOKEN, Head, Tunnel, head, started, with_token

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
RECIPE = "[analyzers.image]\n[analyzers.quality]\n"
PICTURES, PER_SHARD = 480, 4
LIMITS = {"IMGBATCH_SHARD_SOURCES": str(PER_SHARD), "IMGBATCH_COMMIT_SECONDS": "0.3"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Head]:
    with head(cpus=2) as found:
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submit")
    corpus.many(folder / "in", PICTURES)
    (folder / "r.toml").write_text(RECIPE)
    corpus.run_inline(folder / "in", folder / "whole", recipe=RECIPE)
    return folder


def start(*words: str | Path, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "imgbatch", *map(str, words)],
        env=with_token(**LIMITS) if env is None else env,
        cwd=sys.prefix,  # no folder that has another imgbatch to import
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def done(*words: str | Path, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    child = start(*words, env=env)
    out, err = child.communicate(timeout=150)
    return child.returncode, out, err


def submit(cluster: Head, made: Path, dataset: Path, *words: str) -> list[str | Path]:
    recipe = ["--recipe", made / "r.toml"]
    return ["submit", made / "in", dataset, "--address", cluster.dashboard, *recipe, *words]


def same(made: Path, dataset: Path) -> None:
    assert verify(Dataset.open(str(dataset))).problems == []
    assert_equal(made / "whole", dataset)


def drivers(dataset: Path) -> list[psutil.Process]:
    """Return the processes that run the job for a dataset; not their watchman, not its shell."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "jobs.analyze" in words and f"file://{dataset}" in words:
            found.append(process)
    return found


def wait_until(condition: object, *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator] # a plain function
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def commits(dataset: Path) -> int:
    return len(list((dataset / "tables/sources/_delta_log").glob("*.json")))


def test_a_submitted_run_gives_the_rows_that_inline_gives(
    cluster: Head, made: Path, tmp_path: Path
) -> None:
    code, out, err = done(*submit(cluster, made, tmp_path / "d", "--follow"))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("submitted: imgbatch-")
    assert lines[1].startswith(f"  imgbatch status file://{tmp_path}/d ")
    assert lines[4].startswith("accepted: imgbatch ")
    assert lines[-1] == f"dataset: file://{tmp_path}/d"
    same(made, tmp_path / "d")


def test_with_json_all_lines_are_json_and_the_exit_code_is_the_jobs_own(
    cluster: Head, tmp_path: Path
) -> None:
    folder = corpus.many(tmp_path / "in", 3)
    (folder / "broken.jpg").write_bytes(b"nothing")
    words = ["submit", folder, tmp_path / "d", "--address", cluster.dashboard, "--follow"]
    code, out, err = done(*words, "--json", "--max-failed", "0")
    assert code == 18
    events = [json.loads(line)["event"] for line in out.splitlines()]
    assert events[:2] == ["submitted", "accepted"]
    # As of a run on this machine, what is no result is told beside it.
    assert "error: TooManyFailedError: " in err


def test_a_run_elsewhere_that_holds_the_dataset_ends_the_job_with_19(
    cluster: Head, made: Path, tmp_path: Path
) -> None:
    dataset = Dataset.create(str(tmp_path / "d"))
    lock = RunLock.take(open_store(dataset.url), "somebody", expires=60)
    code, out, _ = done(*submit(cluster, made, tmp_path / "d", "--follow"))
    lock.release()
    assert code == 19
    assert "BusyError: run somebody is at work on this dataset" in out


def test_an_interrupt_leaves_the_job_running_and_a_second_submit_is_told_so(
    cluster: Head, made: Path, tmp_path: Path
) -> None:
    # With two workers it would be done before it is submitted again.
    child = start(*submit(cluster, made, tmp_path / "d", "--follow", "--workers", "1"))
    assert child.stdout is not None
    name = child.stdout.readline().split()[1]
    wait_until(lambda: commits(tmp_path / "d") > 1)
    for process in [*psutil.Process(child.pid).children(), psutil.Process(child.pid)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # a child that has just ended
            process.send_signal(signal.SIGINT)  # as a terminal does
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "goes on on the cluster" in err
    assert drivers(tmp_path / "d")
    code, _, err = done(*submit(cluster, made, tmp_path / "d"))
    assert code == 19
    assert f"{name} is at work on file://{tmp_path}/d on this cluster already" in err
    wait_until(lambda: not drivers(tmp_path / "d"))
    same(made, tmp_path / "d")


def test_a_killed_driver_starts_again_and_the_dataset_is_the_undisturbed_one(
    cluster: Head, made: Path, tmp_path: Path
) -> None:
    child = start(*submit(cluster, made, tmp_path / "d", "--follow"))
    for life in (1, 2):
        wait_until(lambda life=life: commits(tmp_path / "d") > 2 * life and drivers(tmp_path / "d"))
        (driver,) = drivers(tmp_path / "d")
        driver.kill()
        wait_until(lambda driver=driver: not driver.is_running())
    out, err = child.communicate(timeout=150)
    assert (child.returncode, err) == (0, "")
    assert out.count("the driver was killed (SIGKILL): it starts again in") == 2
    shards = Dataset.open(str(tmp_path / "d")).read("manifest")["shard"]
    assert len(set(shards.to_pylist())) == PICTURES / PER_SHARD
    same(made, tmp_path / "d")


def test_a_tunnel_that_breaks_while_following_costs_no_line_and_no_run(
    cluster: Head, made: Path, tmp_path: Path
) -> None:
    tunnel = Tunnel(cluster.dashboard)
    words = submit(replace(cluster, dashboard=tunnel.url), made, tmp_path / "d", "--follow")
    child = start(*words)
    wait_until(lambda: commits(tmp_path / "d") > 1)
    tunnel.cut()
    wait_until(lambda: not drivers(tmp_path / "d"))
    assert child.poll() is None
    tunnel.open()
    out, err = child.communicate(timeout=60)
    tunnel.cut()
    assert (child.returncode, err) == (0, "")
    for line in ("accepted: imgbatch", f"dataset: file://{tmp_path}/d"):
        assert out.count(line) == 1
    same(made, tmp_path / "d")


def test_a_run_that_is_cancelled_by_its_dataset_ends_its_job_with_20(
    cluster: Head, made: Path, tmp_path: Path
) -> None:
    # One picture a shard: it is not done before anybody can cancel it.
    limits = {**LIMITS, "IMGBATCH_SHARD_SOURCES": "1", "IMGBATCH_PROGRESS_SECONDS": "0.2"}
    env = with_token(**limits)
    child = start(*submit(cluster, made, tmp_path / "d", "--follow"), env=env)
    wait_until(lambda: commits(tmp_path / "d") > 1)
    assert done("cancel", tmp_path / "d")[0] == 0
    out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (20, "")
    assert "error: CancelledError: " in out
    assert verify(Dataset.open(str(tmp_path / "d"))).rows["sources"] > 0


def test_a_stopped_job_commits_what_is_finished_and_is_not_started_again(
    cluster: Head, made: Path, tmp_path: Path
) -> None:
    child = start(*submit(cluster, made, tmp_path / "d", "--follow"))
    assert child.stdout is not None
    name = child.stdout.readline().split()[1]
    wait_until(lambda: commits(tmp_path / "d") > 1)
    words = [Path(sys.executable).with_name("ray"), "job", "stop", name]
    words += ["--address", cluster.dashboard, "--no-wait"]
    subprocess.run(words, env=with_token(), check=True, capture_output=True)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, "starts again" in out) == (20, False)
    assert f"{name} was stopped" in err
    wait_until(lambda: not drivers(tmp_path / "d"))
    assert verify(Dataset.open(str(tmp_path / "d"))).rows["sources"] > 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "wrong-" + TOKEN}, "RAY_AUTH_TOKEN set"),
        ({"RAY_AUTH_MODE": "token", "HOME": "{tmp}"}, "RAY_AUTH_MODE set"),
        ({"RAY_AUTH_MODE": "disabled"}, "RAY_AUTH_MODE set"),
        ({"RAY_AUTH_TOKEN": TOKEN}, "RAY_AUTH_TOKEN set"),
    ],
)
def test_a_wrong_or_missing_token_is_refused_and_never_printed(
    cluster: Head, made: Path, tmp_path: Path, given: dict[str, str], said: str
) -> None:
    env = with_token(None, **{k: v.replace("{tmp}", str(tmp_path)) for k, v in given.items()})
    code, out, err = done(*submit(cluster, made, tmp_path / "d"), env=env)
    assert (code, out) == (22, "")
    assert "asks for a token and does not take ours" in err
    assert said in err
    assert "to do: Set RAY_AUTH_MODE=token" in err
    assert TOKEN not in err
    assert not (tmp_path / "d").exists()


def test_a_token_in_a_file_is_taken_by_submit_and_by_run(
    cluster: Head, made: Path, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    path = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    words = submit(cluster, made, tmp_path / "d", "--follow", "--limit", "8")
    assert done(*words, env=with_token(None, **path))[0] == 0
    words = ["run", made / "in", tmp_path / "d", "--address", cluster.gcs]
    code, out, err = done(*words, "--recipe", made / "r.toml", env=with_token(None, **path))
    assert (code, TOKEN in out + err) == (0, False)
    same(made, tmp_path / "d")
    code, out, err = done(*words, env=with_token("wrong-" + TOKEN, RAY_NUM_REDIS_GET_RETRIES="2"))
    assert (code, TOKEN in out + err) == (22, False)
    assert "does not take our token" in err


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an imgbatch of another version, source and all, for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("patched")
    here = Path(imgbatch.__file__).parents[1]
    for package in ("imgbatch", "jobs"):
        left_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(here / package, folder / package, ignore=left_out)
    told = folder / "imgbatch" / "__init__.py"
    told.write_text(told.read_text().replace('"0.1.0"', '"0.1.1"'))
    return folder


def test_another_imgbatch_is_refused_with_both_named_and_shipped_on_request(
    cluster: Head, made: Path, patched: Path, tmp_path: Path
) -> None:
    env = with_token(PYTHONPATH=str(patched), **LIMITS)
    words = submit(cluster, made, tmp_path / "d")
    code, out, err = done(*words, env=env)
    assert code == 21
    assert out.startswith("submitted: ")
    assert "VersionError: the submitting machine has imgbatch 0.1.1 (source " in err
    assert "the cluster has imgbatch 0.1.0 (source " in err
    assert "imgbatch submit --ship" in err
    assert not (tmp_path / "d").exists()
    code, out, _ = done(*words, "--ship", "--follow", env=env)
    assert (code, "accepted: imgbatch 0.1.1" in out) == (0, True)
    assert Dataset.open(str(tmp_path / "d")).runs()[-1]["versions"]["imgbatch"] == "0.1.1"
    same(made, tmp_path / "d")


def test_a_machine_of_the_cluster_with_another_imgbatch_ends_the_run(
    cluster: Head, made: Path, patched: Path, tmp_path: Path
) -> None:
    words = [f"--address={cluster.gcs}", "--dashboard-agent-listen-port=0"]
    path = {"PYTHONPATH": str(patched)}
    with started(*words, cpus=8, folder=cluster.folder, more=path):
        client_words = ["run", made / "in", tmp_path / "d", "--address", cluster.gcs]
        wait_until(lambda: "10" in cores(cluster))
        code, _, err = done(*client_words, "--workers", "5")
    assert code == 21
    assert "VersionError: the driver has imgbatch 0.1.0" in err
    assert "the worker on " in err
    assert "has imgbatch 0.1.1" in err


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """Make a Python that has all our packages and not imgbatch: its .pth file is not followed."""
    venv.create(tmp_path / "bare", with_pip=False)
    (site,) = (tmp_path / "bare").glob("lib/*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return str(tmp_path / "bare" / "bin" / "python")


def test_a_cluster_without_imgbatch_is_told_so_and_takes_what_is_shipped(
    bare: str, made: Path, tmp_path: Path
) -> None:
    with head(cpus=2, python=bare) as cluster:
        words = submit(cluster, made, tmp_path / "d")
        code, _, err = done(*words)
        assert code == 21
        assert "has no imgbatch where its `python` is" in err
        code, _, err = done("run", made / "in", tmp_path / "d", "--address", cluster.gcs)
        assert code == 21
        assert "VersionError: a machine of the cluster has no imgbatch" in err
        code, out, _ = done(*words, "--ship", "--follow")
        assert code == 0, out
    same(made, tmp_path / "d")


def cores(cluster: Head) -> str:
    asked = "print(ray.cluster_resources()['CPU'])"
    script = f"import ray; ray.init('{cluster.gcs}', log_to_driver=False); {asked}"
    words = [sys.executable, "-c", script]
    found = subprocess.run(words, env=with_token(), capture_output=True, text=True, check=True)
    return found.stdout
