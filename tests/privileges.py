"""Files without permission to read them, also for tests that run as root, who may read everything."""

import contextlib
import mmap  # noqa: F401 - numpy imports it late, when the user nobody may not read the interpreter's files
import os


@contextlib.contextmanager
def as_nobody():
    """Give up root's privileges, with which every file is readable."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def reachable_by_all(tmp_path):
    """Let everybody into a test's folder, which pytest makes for its owner alone."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
