"""The way to machines: the commands that are run, and JupyterLab as the head's container has it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import requests

from imgbatch.cloud import notebook
from imgbatch.cloud.control import Control, Lease
from tests.cloud.fake import deployment
from tests.cloud.moto_server import REGION
from tests.conftest import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgbatch.cloud.deployment import Deployment
    from tests.cloud.moto_server import Moto

# Writes down what it is asked, and answers as the real one does where an answer is waited for.
AWS = """#!/bin/sh
for word in "$@"; do printf '%s\\0' "$word"; done >>"$CALLS"
printf '\\n' >>"$CALLS"
case "$*" in
*send-command*) echo 11112222-aaaa ;;
*get-command-invocation*)
    cat "$ANSWERS/$(grep -c get-command-invocation "$CALLS")" ;;
esac
"""
IMGBATCH = [sys.executable, "-m", "imgbatch", "cloud"]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """A deployment that this laptop knows, with a head at work."""
    made = deployment(control=str(tmp_path / "control")).model_copy(update={"region": REGION})
    control = Control(made.control)
    control.store.put("deployment.json", made.model_dump_json().encode())
    control.hold(
        Lease(
            run="r",
            deadline=1,
            beat=1,
            left=1,
            head="10.0.0.1:6379",
            head_machine="i-0123",
            pool="gpu",
        )
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    note = tmp_path / "config" / "imgbatch" / "deployments" / "lab.json"
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps({"cloud": "aws", "region": made.region, "control": made.control}))
    return made


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """A program `aws` first on the path; returns what it was asked."""
    for name, text in (("aws", AWS), ("session-manager-plugin", "#!/bin/sh\n")):
        (tmp_path / "bin").mkdir(exist_ok=True)
        program = tmp_path / "bin" / name
        program.write_text(text)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("ANSWERS", str(tmp_path))

    def calls() -> list[list[str]]:
        lines = (tmp_path / "calls").read_text().split("\0\n")
        return [line.split("\0") for line in lines if line]

    return calls


def imgbatch(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*IMGBATCH, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def test_a_shell_is_opened_on_the_head_or_on_the_machine_that_is_named(
    lab: Deployment, aws: Callable[[], list[list[str]]]
) -> None:
    assert imgbatch("ssh").returncode == 0
    assert imgbatch("ssh", "i-9").returncode == 0
    session = ["ssm", "start-session", "--region", lab.region, "--target"]
    assert aws() == [[*session, "i-0123"], [*session, "i-9"]]


def test_the_dashboard_comes_to_a_port_of_the_laptop_and_its_token_is_not_printed(
    lab: Deployment, aws: Callable[[], list[list[str]]]
) -> None:
    done = imgbatch("dashboard", "--port", "9000")
    assert done.returncode == 0, done.stderr
    (call,) = aws()
    assert call[:2] == ["ssm", "start-session"]
    assert call[call.index("--document-name") + 1] == "AWS-StartPortForwardingSession"
    assert json.loads(call[call.index("--parameters") + 1]) == {
        "portNumber": ["8265"],
        "localPortNumber": ["9000"],
    }
    assert "http://127.0.0.1:9000" in done.stderr
    assert f"ssm get-parameter --name {lab.token}" in done.stderr


def test_show_prints_commands_that_a_shell_takes_and_runs_none(
    lab: Deployment, aws: Callable[[], list[list[str]]], tmp_path: Path
) -> None:
    done = imgbatch("jupyter", "--show")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "calls").exists()
    subprocess.run(["sh", "-c", done.stdout], check=True, capture_output=True)
    send, forward = aws()
    (script,) = json.loads(send[send.index("--parameters") + 1])["commands"]
    start = f"docker exec imgbatch python -P -m jobs.notebook {lab.control} "
    assert script.startswith(start)
    assert re.fullmatch(r"[A-Za-z0-9_=-]+", script.removeprefix(start))
    assert forward[forward.index("--target") + 1] == "i-0123"


@pytest.mark.slow
def test_jupyter_is_waited_for_and_its_address_holds_the_token_that_both_ends_know(
    lab: Deployment, aws: Callable[[], list[list[str]]], tmp_path: Path, moto: Moto
) -> None:
    moto.client("ssm", lab.region).put_parameter(
        Name=lab.token, Value="the secret of the machines", Type="SecureString"
    )
    (tmp_path / "1").write_text('["InProgress", "", ""]')
    (tmp_path / "2").write_text('["Success", "up", ""]')
    done = imgbatch("jupyter", "--port", "9999")
    assert done.returncode == 0, done.stderr
    verbs = [call[1] for call in aws()]
    asked = ["wait", "get-command-invocation"]
    assert verbs == ["send-command", *asked, *asked, "start-session"]
    token = notebook.token_of("the secret of the machines")
    assert f"http://127.0.0.1:9999/lab?token={token}" in done.stderr
    assert not any(token in word for call in aws() for word in call)


@pytest.mark.slow
def test_what_fails_on_the_head_is_told_in_its_own_words(
    lab: Deployment, aws: Callable[[], list[list[str]]], tmp_path: Path
) -> None:
    (tmp_path / "1").write_text('["Failed", "", "error: CloudError: no network"]')
    done = imgbatch("jupyter")
    assert done.returncode == 27
    assert "the head could not do it (Failed): error: CloudError: no network" in done.stderr
    assert "start-session" not in [call[1] for call in aws()]
    assert lab.name == "lab"


def test_without_the_program_the_error_says_where_it_is_had(
    lab: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    done = imgbatch("ssh")
    assert done.returncode == 27
    assert "the program `aws` is not installed" in done.stderr
    aws = tmp_path / "empty" / "aws"
    aws.write_text("#!/bin/sh\n")
    aws.chmod(0o755)
    done = imgbatch("dashboard")
    assert done.returncode == 27
    assert "session-manager-plugin is not installed" in done.stderr
    assert "install-plugin.html" in done.stderr
    assert lab.name == "lab"


def test_the_token_is_told_by_no_command_and_tells_nothing_of_the_secret() -> None:
    token = notebook.token_of("the secret of the machines")
    assert token == notebook.token_of("the secret of the machines")
    assert token != notebook.token_of("another")
    assert re.fullmatch(r"[0-9a-f]{64}", token)


@pytest.mark.slow
def test_jupyter_comes_up_asks_for_its_token_and_is_replaced_when_that_is_another(
    tmp_path: Path,
) -> None:
    program = notebook.install(tmp_path, notebook.packed())
    assert notebook.install(tmp_path, notebook.packed()) == program
    port = free_port()
    try:
        start(tmp_path, program, "first", port)
        first = (tmp_path / "server").read_text()
        start(tmp_path, program, "first", port)
        assert (tmp_path / "server").read_text() == first
        assert answers(port, "first")
        start(tmp_path, program, "second", port)
        assert answers(port, "second")
        assert not answers(port, "first")
        # What it runs sees what imgbatch is installed with.
        python = tmp_path / "environment" / "bin" / "python"
        subprocess.run([python, "-c", "import ipykernel, duckdb, imgbatch.dataset"], check=True)
    finally:
        os.kill(int((tmp_path / "server").read_text().split()[0]), 15)


def start(folder: Path, program: Path, token: str, port: int) -> None:
    """Start it in a process that ends, as on the head."""
    said = "import sys; from pathlib import Path; from imgbatch.cloud.notebook import start; "
    said += "start(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))"
    subprocess.run([sys.executable, "-c", said, folder, program, token, str(port)], check=True)


def answers(port: int, token: str) -> bool:
    url = f"http://127.0.0.1:{port}/api/contents?token={token}"
    code = requests.get(url, timeout=30).status_code
    assert code in (200, 403)
    return code == 200
