"""Programs that tests start and watch."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
ACTIONS = Path("/proc/sys/kernel/seccomp/actions_avail")
needs_seccomp = pytest.mark.skipif(
    not ACTIONS.exists() or "user_notif" not in ACTIONS.read_text(), reason="this kernel cannot isolate a worker"
)


def gone(pid, seconds=5.0):
    """Return whether a process ends within some seconds (nobody may have reaped it)."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


_started = []


def end_programs():
    """End what `program` started and still runs, with all that it started itself."""
    while _started:
        process = _started.pop()
        if process.poll() is None:  # a session of its own, so the group is the program and its children
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def program(source, **names):
    """Start Python on `source` with some names defined; the folder of the path LOG is its temporary folder."""
    header = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", header + textwrap.dedent(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | {"TMPDIR": str(Path(names["LOG"]).parent)},
        start_new_session=True,
    )
    _started.append(process)
    return process


def stand_in(folder, source):
    """Return an executable Python program to start in the worker's place."""
    path = folder / "stand_in"
    path.write_text(f"#!{sys.executable} -IS\n" + textwrap.dedent(source))
    path.chmod(0o700)
    return path
