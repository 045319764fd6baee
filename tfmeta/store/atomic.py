"""Files that appear whole or not at all.

A reader, or a run that continues after a kill, sees the old file or the new one and nothing between: the
bytes go to a temporary file in the same folder, reach the disk, and take the name in one step.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
from pathlib import Path

from tfmeta.errors import StorageError

_NO_SPACE = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would exceed the largest size allowed here (see `ulimit -f`)",
}
_SUFFIX = ".tfmeta-tmp"


@contextlib.contextmanager
def replacing(path):
    """Yield a binary file, open for writing, that becomes ``path`` when the block ends without an exception.

    Missing parent folders are made. On any exception the temporary file is removed and ``path`` stays as it
    was. Raises ``StorageError`` where the system refuses to write (disk full, no permission, ``path`` is a
    folder).
    """
    path = Path(path)
    # The process id tells `sweep` whose file it was; the rest keeps two writers of one process apart.
    temporary = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}{_SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _made(temporary) as file:
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
        with contextlib.suppress(OSError):  # gone when it took its name; never hides what went wrong above
            temporary.unlink()


def write_bytes(path, data):
    """Write ``data`` (bytes) to ``path`` atomically; ``StorageError`` where the system refuses."""
    with replacing(path) as file:
        file.write(data)


def write_text(path, text):
    """Write ``text`` as UTF-8 to ``path`` atomically; ``StorageError`` where the system refuses."""
    write_bytes(path, text.encode())


def write_json(path, document):
    """Write a JSON document, ending in a newline, to ``path`` atomically.

    Raises ``StorageError`` where the system refuses, ``ValueError`` for NaN or infinity (they are not JSON).
    """
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def sweep(folder):
    """Remove the temporary files that killed writers left below ``folder``; return their paths.

    A file whose writer is still alive is left alone, and so is another user's that may not be removed.
    """
    removed = []
    for path in sorted(Path(folder).rglob(f".*{_SUFFIX}")):
        pid = path.name.removesuffix(_SUFFIX).split(".")[-2]
        if not (pid.isdigit() and Path(f"/proc/{pid}").exists()):
            with contextlib.suppress(PermissionError):
                path.unlink(missing_ok=True)
                removed.append(path)
    return removed


@contextlib.contextmanager
def _made(temporary):
    """Open a new file with the permissions that the user's umask gives (tempfile's are the owner's alone).

    It may be read too, which mapping it into memory needs.
    """
    with os.fdopen(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), "w+b") as file:
        yield file


def _sync_folder(folder):
    """Make the rename itself survive a power cut; some file systems cannot, which loses nothing else."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_ours(error, path, temporary):
    """Tell a refusal to write this file from an ``OSError`` that the block raised about something else."""
    if error.errno in _NO_SPACE:
        return True
    named = {str(name) for name in (error.filename, error.filename2) if name is not None}
    return bool(named & {str(temporary), str(path), *map(str, path.parents)}) or error.errno == errno.EIO


def _explain(error, path):
    fate = "what was there before is unchanged" if path.exists() else "nothing was left half-written"
    if error.errno not in _NO_SPACE:
        return f"{path} could not be written ({error.strerror}); {fate}. Check the folder and its permissions"
    free = "unknown"
    with contextlib.suppress(OSError):
        free = f"{shutil.disk_usage(_existing(path.parent)).free / 1e6:.1f} MB"
    return (
        f"{path} could not be written: {_NO_SPACE[error.errno]} (free on {path.parent}: {free}); {fate}. "
        "Make room, or choose another folder, and run the same command again: it continues where it stopped"
    )


def _existing(folder):
    while not folder.exists():
        folder = folder.parent
    return folder
