"""What a machine of a test finds in place of docker, systemctl, shutdown, nvidia-smi and apt-get.

    python -P tests/cloud/shims.py docker run --detach ... IMAGE -P -m jobs.node ...

A "container" is a process of this host with an environment of its own, and only that; a service is
a loop that starts its program again. Files below SHIM_ROOT say what was done:

    apt.log          one line per call of apt-get
    docker.log       one line per call of docker, as JSON
    container.pid    of whoever keeps the container up
    container.log    what the container said
    container.code   what it ended with for good
    shutdown         is there: the machine ended itself
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(os.environ["SHIM_ROOT"])
PID, LOG, CODE = ROOT / "container.pid", ROOT / "container.log", ROOT / "container.code"
# Of docker run: these words take a value.
VALUED = ("--name", "--network", "--shm-size", "--ulimit", "--env-file", "--log-opt", "--gpus")
VALUED += ("--restart", "--entrypoint")


def docker(words: list[str]) -> int:
    with (ROOT / "docker.log").open("a", encoding="utf-8") as log:
        log.write(json.dumps(words) + "\n")
    if words[0] == "run":
        return _run(words[1:])
    if words[0] == "login":
        return 0 if sys.stdin.read().strip() else 1
    if words[0] == "ps" and (ROOT / "docker.dead").exists():
        return 1
    if words[0] == "ps" and _up():
        sys.stdout.write("c0ffee\n")
    if words[0] == "logs" and LOG.exists():
        sys.stdout.write(LOG.read_text("utf-8", "replace"))
    if words[:2] == ["container", "inspect"]:
        if not CODE.exists():
            sys.stderr.write("No such object: imgbatch\n")
            return 1
        sys.stdout.write(f"exited {CODE.read_text('utf-8')}\n")
    if words[0] == "pull":
        return int(os.environ.get("SHIM_PULL", "0"))
    return 0


def _up() -> bool:
    try:
        state = Path(f"/proc/{PID.read_text('utf-8')}/stat").read_text("utf-8")
    except OSError:
        return False
    return state.rpartition(") ")[2][0] != "Z"


def _run(words: list[str]) -> int:
    options: dict[str, str] = {}
    while words[0].startswith("--"):
        name = words.pop(0)
        options[name] = words.pop(0) if name in VALUED else ""
    job = [sys.executable, *words[1:], *shlex.split(os.environ.get("SHIM_WORDS", ""))]
    if "SHIM_JOB" in os.environ:
        job = shlex.split(os.environ["SHIM_JOB"])
    keeper = [sys.executable, "-P", __file__, "keep", options.get("--restart", ""), *job]
    with LOG.open("ab") as log:
        kept = subprocess.Popen(
            keeper, env=_environment(options), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    PID.write_text(str(kept.pid), "utf-8")
    return 0


def _environment(options: dict[str, str]) -> dict[str, str]:
    """Return what a container knows: nothing of its machine but what it is given."""
    given = Path(options["--env-file"]).read_text("utf-8").splitlines()
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SHIM_ROOT")}
    more = json.loads(os.environ.get("SHIM_CONTAINER", "{}"))
    return {**kept, **dict(line.split("=", 1) for line in given), **more}


def keep(words: list[str]) -> int:
    """Run a container's process, and again where it is to be restarted."""
    policy, _, most = words[0].partition(":")
    times = 0
    while (code := subprocess.call(words[1:])) and policy == "on-failure":
        times += 1
        if most and times > int(most):
            break
        time.sleep(0.2)
    CODE.write_text(str(code), "utf-8")
    return code


def systemctl(words: list[str]) -> int:
    if "SHIM_SYSTEMCTL" in os.environ:
        return int(os.environ["SHIM_SYSTEMCTL"])
    if words[0] != "enable":
        return 0
    unit = ROOT / "etc/systemd/system" / words[-1]
    if unit.exists():
        lines = unit.read_text("utf-8").splitlines()
        start = next(line for line in lines if line.startswith("ExecStart="))
        program = f"{ROOT}{start.partition('=')[2]}"
        with (ROOT / f"{words[-1]}.log").open("ab") as log:
            subprocess.Popen(
                [sys.executable, "-P", __file__, "serve", program],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
    return 0


def serve(words: list[str]) -> int:
    """Run a service for ever: Restart=always."""
    while True:
        subprocess.call(words)
        time.sleep(0.5)


def shutdown(words: list[str]) -> int:
    (ROOT / "shutdown").write_text(" ".join(words), "utf-8")
    return 0


def nvidia_smi(words: list[str]) -> int:
    found = words == ["ok"]
    sys.stdout.write("NVIDIA L4\n" if found else "no devices were found\n")
    return 0 if found else 6


def apt_get(words: list[str]) -> int:
    """Have programs for the packages that are installed, as far as a boot asks for them."""
    with (ROOT / "apt.log").open("a", encoding="utf-8") as log:
        log.write(" ".join(words) + "\n")
    programs = {
        "docker.io": "docker",
        "nvidia-container-toolkit": "nvidia-container-runtime-hook",
    }
    for package, program in programs.items():
        if words[0] == "install" and package in words:
            (ROOT / "packages" / program).rename(ROOT / "bin" / program)
    return 0


VERBS = [docker, keep, systemctl, serve, shutdown, nvidia_smi, apt_get]

if __name__ == "__main__":
    named = {verb.__name__: verb for verb in VERBS}
    raise SystemExit(named[sys.argv[1].replace("-", "_")](sys.argv[2:]))
