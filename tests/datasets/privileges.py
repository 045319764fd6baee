"""Files that may not be read, also where the tests run as root, who may read everything."""

import contextlib
import mmap  # noqa: F401 - numpy imports it late, and nobody may not look into an interpreter below /root
import os


@contextlib.contextmanager
def as_nobody():
    """Without root's privileges, for whom every file is readable."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def reachable_by_all(tmp_path):
    """Open the way to a test's folder: pytest makes it for the owner alone."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
