"""How much memory there is."""

from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def free() -> int:
    """Return the bytes that are free on the machine, or in this container where that is less.

    What only caches files counts as free, since the kernel drops it when memory is asked for.
    """
    available = psutil.virtual_memory().available
    try:
        limit, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
    except (OSError, ValueError):  # no control group of version 2, or one without a limit
        return available
    return min(available, max(limit - used + _cached(), 0))


def _cached():
    """Return the bytes of the control group's cached files."""
    try:
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(("active_file ", "inactive_file ")))
    except (OSError, ValueError, IndexError):
        return 0
