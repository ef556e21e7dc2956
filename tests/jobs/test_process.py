"""A worker's process whose Ray is gone ends, whatever hangs in it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil

# A process as Ray starts ours: its parent is Ray's own, and a thread of it hangs in a source.
CHILD = """
import os, threading, time
from jobs import process
process.PARENT_SECONDS = process.GRACE_SECONDS = 0.05
threading.Thread(target=time.sleep, args=[600]).start()
threading.Thread(target=process._end_with, args=[os.getppid()], daemon=True).start()
print(os.getpid(), flush=True)
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def test_a_process_in_which_a_source_hangs_ends_when_its_parent_is_gone() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    time.sleep(0.3)
    assert child.is_running(), "it waits for its threads while its parent is there"
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    child.wait(timeout=60)
    parent.stdout.close()
