"""Files that appear whole or not at all.

A reader, or a run that resumes after a kill, sees the old file or the new one and nothing in between. The bytes go to a
temporary file in the same folder, reach the disk, and then take the final name in one step.
"""

import contextlib
import errno
import functools
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tfmeta.errors import StorageError

_NO_SPACE = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would exceed the largest size allowed here (see `ulimit -f`)",
}
_SUFFIX = ".tfmeta-tmp"
# .<name>.<host>-<process id>.<random><suffix>; names of tfmeta 0.1 before that had no host
_TEMPORARY = re.compile(rf"\..*\.(?:([0-9a-f]{{8}})-)?([0-9]+)\.[0-9a-f]+{re.escape(_SUFFIX)}")


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[BinaryIO]:
    """Yield an open binary file that becomes `path` when the block ends without an exception.

    Missing parent folders are made. On any exception the temporary file is removed and `path` stays as it was.

    Args:
        path: The file to write. The yielded file can be read too, which mapping it into memory needs.

    Raises:
        StorageError: the system refuses to write (disk full, no permission, `path` is a folder).
    """
    path = Path(path)
    # Host and process id tell `sweep` who writes the file. The random part separates two writers of one process.
    temporary = path.parent / f".{path.name}.{_host()}-{os.getpid()}.{secrets.token_hex(4)}{_SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "x+b") as file:  # permissions follow the umask; those of `tempfile` are the owner's alone
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if not _is_ours(error, path, temporary):  # raised by the block itself: a network, another file
            raise
        raise StorageError(_explain(error, path)) from error
    finally:
        with contextlib.suppress(OSError):  # gone if it took its final name; never hides an error from above
            temporary.unlink()


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` atomically; raises `StorageError` as `replacing` does."""
    with replacing(path) as file:
        file.write(data)


def write_json(path: Path | str, document: Any) -> None:
    """Write a JSON document to `path` atomically; raises also `ValueError`, for NaN and infinity."""
    write_bytes(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())


def sweep(folder: Path | str, below: bool = True) -> list[Path]:
    """Remove the temporary files that killed writers left in a folder; return their paths.

    Files of writers that are still alive stay, and so do those of other machines, whose processes cannot be seen from
    here, and those that may not be removed.

    Args:
        folder: The folder.
        below: Whether to look into the folders below it too.
    """
    removed, folder = [], Path(folder)
    for path in sorted((folder.rglob if below else folder.glob)(f".*{_SUFFIX}")):
        if is_abandoned(path):
            with contextlib.suppress(OSError):  # of another user; a folder
                path.unlink(missing_ok=True)
                removed.append(path)
    return removed


def is_temporary(path: Path) -> bool:
    """Return whether a file has the name of one that is being written."""
    return _TEMPORARY.fullmatch(path.name) is not None


def is_abandoned(path: Path) -> bool:
    """Return whether a file is a temporary one of a process of this machine that has ended."""
    found = _TEMPORARY.fullmatch(path.name)
    return bool(found and found[1] in (None, _host()) and not Path(f"/proc/{found[2]}").exists())


@functools.cache
def _host() -> str:
    """Return a word for this machine: processes of others that share a folder have the same numbers."""
    try:
        machine = Path("/etc/machine-id").read_text()
    except OSError:
        machine = ""
    return hashlib.sha256(f"{platform.node()}\n{machine}".encode()).hexdigest()[:8]


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut; on file systems that cannot do this nothing else is lost."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_ours(error: OSError, path: Path, temporary: Path) -> bool:
    """Tell a refusal to write this file from an `OSError` that the block raised about something else."""
    named = {str(name) for name in (error.filename, error.filename2) if name is not None}
    ours = {str(temporary), str(path), *map(str, path.parents)}
    return error.errno in (*_NO_SPACE, errno.EIO) or not ours.isdisjoint(named)


def _explain(error: OSError, path: Path) -> str:
    fate = "the file that was there is unchanged" if path.exists() else "nothing was left half-written"
    if error.errno not in _NO_SPACE:
        return f"{path} could not be written ({error.strerror}); {fate}. Check the folder and its permissions"
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    free = f"{shutil.disk_usage(existing).free / 1e6:.1f} MB"
    return (
        f"{path} could not be written: {_NO_SPACE[error.errno]} (free on {path.parent}: {free}); {fate}. "
        "Make room, or choose another folder, and run the same command again: it resumes from the last checkpoint"
    )
