"""Runs on Ray from bucket to bucket: handed to a cluster, and while the bucket's server is away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import MANIFEST, Dataset
from imgbatch.settings import Limits
from imgbatch.storage import open_store
from tests import corpus
from tests.jobs.cluster import TOKEN, Tunnel, head, with_token
from tests.jobs.underway import RECIPE, SOURCES, Driver, Made, check, slow
from tests.test_secrets import PROFILE_SECRET, PROFILE_TOKEN, SECRET, Planted
from tests.test_secrets import TOKEN as SESSION

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
# What the machines of a cluster have, and who submits has not (its keys are others); the URL says
# where the S3 server is.
RIGHTS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "STORAGE_EMULATOR_HOST")
CLOUDS = ("AWS_", "GOOGLE_", "STORAGE_")
SHARDS = 100
# Of each picture, so that 100 shards take four workers some 15 s.
SECONDS = 0.15
IMPATIENT = {
    "IMGBATCH_FETCH_SECONDS": "2",
    "IMGBATCH_REQUEST_ATTEMPTS": "1",
    "IMGBATCH_LOCK_SECONDS": "3",
}


def filled(url: str, folder: Path) -> str:
    store = open_store(url)
    for path in folder.iterdir():
        store.put(path.name, path.read_bytes())
    return url


def test_a_run_is_submitted_from_s3_to_google_by_who_can_reach_neither(
    bucket: str, gs_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = uuid.uuid4().hex
    source, dataset = f"s3://{bucket}/{name}/in", f"gs://{gs_bucket}/{name}/d"
    filled(source, corpus.many(tmp_path / "in", 40))
    (tmp_path / "in/lies.jpg").write_text("no picture")
    open_store(source).put("lies.jpg", b"no picture")
    recipe = "[analyzers.image]\n[analyzers.quality]\n"
    (tmp_path / "r.toml").write_text(recipe)
    corpus.run_inline(source, tmp_path / "whole", recipe=recipe, limits=Limits(shard_sources=4))  # type: ignore[arg-type] # a URL
    said = f"?endpoint={os.environ['AWS_ENDPOINT_URL']}&region=us-east-1"
    # The machines' keys are secrets, and so is what lies about where it is submitted from.
    theirs = {"AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": SESSION}
    ours = {"AWS_ACCESS_KEY_ID": "AKIAOFALAPTOP", "AWS_SECRET_ACCESS_KEY": PROFILE_SECRET}
    ours |= {"LAB_API_KEY": PROFILE_TOKEN}
    needles = [TOKEN, *theirs.values(), PROFILE_SECRET, PROFILE_TOKEN]
    rights = {variable: os.environ[variable] for variable in RIGHTS} | theirs
    with monkeypatch.context() as patch:
        for variable in [known for known in os.environ if known.startswith(CLOUDS)]:
            patch.delenv(variable)
        with head(cpus=2, environment=rights) as cluster:
            words = ["submit", f"{source}{said}", dataset, "--address", cluster.dashboard]
            words += ["--recipe", str(tmp_path / "r.toml"), "--follow", "--json"]
            done = subprocess.run(
                [sys.executable, "-m", "imgbatch", *words],
                env=with_token(IMGBATCH_SHARD_SOURCES="4", **ours),
                cwd=sys.prefix,
                capture_output=True,
                text=True,
                timeout=150,
                check=False,
            )
            patch.undo()
            output = [done.stdout, done.stderr]
            planted = Planted(cluster.folder, {}, [text.encode() for text in needles], output)
            leaks = planted.leaks(dataset) if done.returncode == 0 else []
            logged = [path.read_text("utf-8", "replace") for path in cluster.folder.rglob("*.log")]
    assert done.returncode == 0, done.stdout + done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told[-1]["event"] == "finished"
    assert told[-1]["outcomes"] == {"ok": 40, "decode.unrecognised": 1}
    assert Dataset.open(dataset).runs()[-1]["engine"] == "ray"
    check(str(tmp_path / "whole"), dataset)
    # The job's own log is there: what it says was read.
    assert any('"event": "finished"' in text for text in logged)
    assert leaks == []


def test_a_store_that_stays_away_ends_the_run_with_16_and_the_same_command_goes_on(
    gs_server: str, gs_bucket: str, tmp_path: Path
) -> None:
    place = f"gs://{gs_bucket}/{uuid.uuid4().hex}"
    source, dataset = f"{place}/in", f"{place}/d"
    filled(source, corpus.many(tmp_path / "in", SHARDS * SOURCES))
    limits = Limits(shard_sources=SOURCES)
    corpus.run_inline(source, tmp_path / "whole", recipe=RECIPE.format(0), limits=limits)  # type: ignore[arg-type] # a URL
    made = Made(source, slow(tmp_path, SECONDS), str(tmp_path / "whole"))
    way = Tunnel(gs_server)
    settings = with_token(None, STORAGE_EMULATOR_HOST=way.url, **IMPATIENT)
    try:
        with Driver(made, dataset, "local", tmp_path, settings=settings) as driver:
            driver.reach(0.2)
            way.cut()  # whoever asks is refused, as by a machine without a server
            code = driver.process.wait(timeout=120)
            assert code == 16, driver.said.read_text()
        assert "error: OutageError: " in driver.said.read_text()
        found = Dataset.open(dataset)
        done, all_ = (len(found.table(t).parts()) for t in ("tables/sources", MANIFEST))
        assert 0 < done < all_ == SHARDS
        way.open()
        with Driver(made, dataset, "local", tmp_path, settings=settings) as driver:
            last = driver.finish()
        # What was committed is not done again.
        assert last["shards"] <= SHARDS - done
    finally:
        way.cut()
    made.check(dataset)  # type: ignore[arg-type] # a URL
