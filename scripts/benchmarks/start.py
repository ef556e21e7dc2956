"""How long a newcomer waits: for `imgbatch --help`, and for `scripts/quickstart` in a fresh clone.

The clone makes an environment of its own, from the package registry or from uv's cache of it; the
second quickstart finds that environment and does the sample again.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from scripts.benchmarks.child import ROOT, run_child
from scripts.benchmarks.report import Figure

if TYPE_CHECKING:
    from scripts.benchmarks.setting import Setting

HELP_SECONDS = 0.5
FIRST_SECONDS, SECOND_SECONDS = 180, 40
ROUNDS_OF_HELP = 7


def measure(setting: Setting) -> list[Figure]:
    """Ask for help some times, and start twice in a clone of what is committed here."""
    words = [sys.executable, "-m", "imgbatch", "--help"]
    asked = [run_child(words, log=setting.log("start-help")) for _ in range(ROUNDS_OF_HELP)]
    clone = setting.fresh("start-clone")
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)  # noqa: S603, S607 - no words of others, and git is where the user has it
    quickstart = ["bash", clone / "scripts" / "quickstart"]
    first, second = (
        run_child(quickstart, log=setting.log(f"start-{name}")) for name in ("first", "second")
    )
    return [
        Figure("start", "--help", tuple(one.seconds for one in asked), "s", high=HELP_SECONDS),
        Figure("start", "quickstart, fresh clone", (first.seconds,), "s", high=FIRST_SECONDS),
        Figure("start", "quickstart, again", (second.seconds,), "s", high=SECOND_SECONDS),
    ]
