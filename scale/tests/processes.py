"""Processes of Ray's, for the tests."""

import os
import signal
import subprocess
import time
from pathlib import Path


def kill_one(title: str, ancestor: int) -> bool:
    """Kill a process of Ray's, below another one, as soon as it works; return whether there was one."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for pid in below(ancestor):
            try:
                named = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if title.encode() in named and b"ray::" in named and b"__init__" not in named:
                os.kill(pid, signal.SIGKILL)
                return True
        time.sleep(0.02)
    return False


def below(ancestor: int) -> list[int]:
    """Return the processes below one."""
    done = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = dict(tuple(map(int, line.split())) for line in done.stdout.splitlines())
    found = {ancestor}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {ancestor})
