"""A command line in; its seconds, its peak memory and its exit code out, as JSON in a file.

Run as `python -I -S forked.py FILE WORDS...`. Linux counts a process's peak memory from the size
of whoever forked it, so this forks what is measured: it stays small, whatever the bench imports.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

KIBIBYTE = 1024


def main(file: Path, words: list[str]) -> int:
    """Run a command to its end; returns its exit code."""
    start = time.perf_counter()
    process = subprocess.Popen(words)  # noqa: S603 - command lines of this folder, no shell
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    peak = usage.ru_maxrss * KIBIBYTE
    told = {"seconds": seconds, "peak_bytes": peak, "code": process.returncode}
    file.write_text(json.dumps(told), "utf-8")
    return abs(process.returncode)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
