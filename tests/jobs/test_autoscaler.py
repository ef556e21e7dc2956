"""A real autoscaler of Ray, whose machines are raylets here: it starts them for what waits."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import ray

from tests.jobs.cluster import free_ports, started, wait_for, with_token

pytestmark = pytest.mark.slow
HEAD = "f" * 51 + "00000"
STORE = 80 * 2**20


def autoscaling(gcs: str, machines: dict[str, object]) -> dict[str, object]:
    commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray")
    return {
        "cluster_name": "test",
        "max_workers": 2,
        "upscaling_speed": 100,
        "idle_timeout_minutes": 5,
        "provider": {
            "type": "fake_multinode",
            "gcs_address": gcs,
            "head_node_id": HEAD,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "machine": {"resources": machines, "node_config": {}, "max_workers": 2},
        },
        **{f"{name}_commands": [] for name in (*commands, "worker_start_ray")},
        **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        "file_mounts_sync_continuously": False,
    }


def test_a_cluster_without_machines_is_asked_for_them_and_starts_as_many_as_it_may(
    root: Path, tmp_path: Path
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="ib"))  # Ray's sockets lie below it: a short path
    (port, dashboard) = free_ports(2)
    gcs = f"{ray.util.get_node_ip_address()}:{port}"
    config = autoscaling(gcs, {"CPU": 2, "GPU": 1, "object_store_memory": STORE})
    (folder / "config.json").write_text(json.dumps(config))
    (tmp_path / "done").mkdir()
    words = ["--head", f"--port={port}", f"--temp-dir={folder}", f"--dashboard-port={dashboard}"]
    words += [f"--autoscaling-config={folder / 'config.json'}"]
    fake = {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1"}
    try:
        with started(*words, cpus=0, folder=folder, more=fake):
            wait_for(f"http://127.0.0.1:{dashboard}")
            asked = [gcs, tmp_path / "done", 60, 1, json.dumps({"gpu": 1.0})]
            done = subprocess.run(
                [sys.executable, "-m", "tests.jobs.sleepers", *map(str, asked)],
                cwd=root,
                env=with_token(PYTHONPATH=str(root)),
                capture_output=True,
                text=True,
                timeout=150,
                check=False,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert max(line.get("alive", 0) for line in lines) == 2
    assert sum("finished" in line for line in lines) == 60
