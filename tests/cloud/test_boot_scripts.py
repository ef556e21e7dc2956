"""What a machine starts with: as Terraform fills it in, and what it lays down."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imgbatch.cloud.control import Lease
from imgbatch.cloud.leaving import HEIR, UNREADABLE, Watcher
from tests.cloud.rendered import BOOT, GOOGLE_HEAD, GOOGLE_WORKER, HEAD, WORKER, need, render

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).with_name("golden")
# What a cloud takes of user data (AWS: compressed, before base64), of startup scripts (Google).
MOST_BYTES = {"aws": 16 * 1024, "gcp": 256 * 1024}
GOLDENS = {
    "head": HEAD,
    "worker": WORKER,
    "google-head": GOOGLE_HEAD,
    "google-worker": GOOGLE_WORKER,
}
LOOKS = """
. "$IMGBATCH_ROOT/opt/imgbatch/watch.sh"
MACHINE=i-me
mkdir -p "$STATE"
while read -r read now clock lease; do
    if [[ "$read" == 0 ]]; then cp "$lease" "$STATE/lease.json"; fi
    verdict "$read" "$now" "$clock" | tr -d '\\n'
    echo
done
"""


@pytest.mark.parametrize("name", GOLDENS)
def test_user_data_is_as_the_golden_file(name: str) -> None:
    texts = {part: f"# ({part})" for part in ("functions", "watch", "boot")}
    assert render(GOLDENS[name], **texts) == (GOLDEN / f"{name}.sh").read_text("utf-8")


@pytest.mark.parametrize("variables", [HEAD, WORKER, GOOGLE_HEAD])
def test_user_data_fits_and_lays_down_the_scripts_as_they_are(
    tmp_path: Path, variables: dict[str, object]
) -> None:
    whole = render(variables)
    cloud = str(variables["cloud"])
    given = gzip.compress(whole.encode()) if cloud == "aws" else whole.encode()
    assert len(given) <= MOST_BYTES[cloud] - 512  # what the longest names take
    laid = lay(tmp_path, whole)
    for name, source in (("cloud", cloud), ("watch", "watch"), ("boot", "boot")):
        text = (laid / f"opt/imgbatch/{name}.sh").read_text("utf-8")
        assert text.rstrip("\n") == (BOOT / f"{source}.sh").read_text("utf-8").rstrip("\n")


def test_shellcheck_finds_nothing_in_what_a_machine_runs(tmp_path: Path) -> None:
    rendered = []
    for number, variables in enumerate((WORKER, GOOGLE_WORKER)):
        rendered.append(tmp_path / f"user-data-{number}.sh")
        rendered[-1].write_text(render(variables), "utf-8")
    sources = [str(BOOT / name) for name in ("aws.sh", "gcp.sh", "watch.sh", "boot.sh")]
    words = [need("shellcheck", "scripts/setup dev"), "--external-sources", *map(str, rendered)]
    done = subprocess.run(
        [*words, *sources], cwd=BOOT.parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("variables", [HEAD, WORKER])
def test_shell_and_python_leave_for_the_same_reasons(
    tmp_path: Path, variables: dict[str, object]
) -> None:
    root = lay(tmp_path, render(variables))
    chance = random.Random(str(variables["role"]))
    reasons, heirs = set(), 0
    for _ in range(6):
        watcher = Watcher("i-me", str(variables["pool"]))
        lines, expected = [], []
        for number, (status, now, clock, lease) in enumerate(looks(chance)):
            file = tmp_path / f"{number}.json"
            file.write_text(json.dumps(lease.model_dump(), indent=0), "utf-8")
            seen = {0: lease, 1: None, 2: UNREADABLE}[status]
            expected.append(watcher.look(seen, now, clock) or "")
            lines.append(f"{status} {now} {clock} {file}\n")
        assert verdicts(root, lines) == expected
        reasons |= {reason[:9] for reason in expected}
        heirs += sum(HEIR in reason for reason in expected)
    both = {"", "the lease", "the deadl"}
    assert reasons == both | ({"this head"} if variables is HEAD else {"there is "})
    assert bool(heirs) == (variables is HEAD)


def test_a_head_past_its_deadline_has_an_heir_where_runs_wait_that_have_longer(
    tmp_path: Path,
) -> None:
    root = lay(tmp_path, render(HEAD))
    told = {"run": "r1", "deadline": 1000, "beat": 1, "left": 100, "head": "", "pool": "gpu"}
    for until, status, heir in ((0, 0, False), (1000, 2, False), (3000, 0, True), (3000, 2, True)):
        file = tmp_path / "lease.json"
        lease = Lease(head_machine="i-me", until=until, **told)  # type: ignore[arg-type]
        file.write_text(json.dumps(lease.model_dump(), indent=0), "utf-8")
        said = verdicts(root, [f"0 10 900 {file}\n", f"{status} 120 1010 {file}\n"])
        assert said[0] == ""
        assert said[1].startswith("the deadline has passed")
        assert (root / "run/imgbatch/heir").exists() == heir
    # Those that waited are over as well.
    assert (
        verdicts(root, [f"0 10 900 {file}\n", f"0 120 3010 {file}\n"])[1]
        == "the deadline has passed"
    )
    assert not (root / "run/imgbatch/heir").exists()


def verdicts(root: Path, lines: list[str]) -> list[str]:
    """Return what a watch that begins now says to what it finds."""
    shutil.rmtree(root / "run", ignore_errors=True)
    done = subprocess.run(
        ["bash", "-euc", LOOKS],
        input="".join(lines),
        env={**os.environ, "IMGBATCH_ROOT": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def looks(chance: random.Random) -> Iterator[tuple[int, int, int, Lease]]:
    """Yield what a machine may find: a lease that ages, is renewed, moved or gone."""
    now, beat = 1000, 1
    owner = chance.choice(["i-me", "i-other"])
    for _ in range(14):
        now += chance.choice([60, 60, 200, 400])
        beat += chance.choice([0, 0, 1])
        left = chance.choice([120, 5000, 5000])
        lease = Lease(
            run=chance.choice(["r1", "r1", "r2"]),
            deadline=10_000 + chance.choice([0, 500]),
            beat=beat,
            left=left,
            head="10.0.0.1:6379",
            head_machine=chance.choice([owner, owner, owner, "i-me"]),
            pool=chance.choice(["gpu"] * 6 + ["cpu"]),
            until=(0, 10_000, 10_900, 19_000)[beat % 4],
        )
        yield chance.choice([0, 0, 0, 0, 1, 2, 2]), now, now + chance.choice([0, 9000]), lease


def lay(folder: Path, user_data: str) -> Path:
    """Run the part of user data that lays files down; return the machine's root."""
    root = folder / "root"
    head, exec_line, rest = user_data.rpartition("exec ")
    assert exec_line, rest
    subprocess.run(["bash", "-c", head], env={**os.environ, "IMGBATCH_ROOT": str(root)}, check=True)
    return root
