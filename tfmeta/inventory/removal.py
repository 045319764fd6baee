"""Removal of stored files, so that no running run loses any and nothing half-removed counts as whole."""

import contextlib
import secrets
from pathlib import Path

from tfmeta.errors import BusyError
from tfmeta.inventory import folders, models
from tfmeta.inventory.entries import Entry
from tfmeta.store import last_use, lock


def remove(entry: Entry) -> str | None:
    """Remove an entry; return None, or why it was kept.

    It is kept if a run holds its lock, or if it was used or changed since it was listed.

    Raises:
        OSError: the system refuses; what is left does not count as whole.
    """
    try:
        with lock.to_remove(entry.lock) if entry.lock else contextlib.nullcontext():
            if _used_since(entry):
                return "used by a run meanwhile"
            if entry.kind == models.KIND and not entry.paths[0].is_file():
                return _remove_folder(entry.paths[0])
            for path in (*entry.paths, *([entry.lock] if entry.lock else [])):
                path.unlink(missing_ok=True)
    except BusyError as error:
        return str(error)
    except FileNotFoundError:  # its folder, before it could be locked
        return None
    return None


def _used_since(entry: Entry) -> bool:
    paths = [item.path for path in entry.paths for item in folders.inside(path)]
    paths += [path for path in entry.paths if not path.is_dir()]
    held = []
    for path in paths:
        if path.suffix != lock.LOCK and path.name != lock.LOCK:  # which taking the lock may just have made
            with contextlib.suppress(FileNotFoundError):
                held.append(path.lstat())
    return any(last_use.of(status) > entry.last_used for status in held)


def _remove_folder(folder: Path) -> str | None:
    """Remove a folder of models and what is in it; return why it was kept, or None.

    It loses its name first, so that no run goes on from half of it.
    """
    odd = models.not_ours(folders.inside(folder))
    if odd:
        return f"it holds {odd[0].name}, which is no file of tfmeta"
    if (beside := models.run_beside(folder)) is not None:
        return f"a run works in {beside}{lock.holder_of(beside)}"
    if not folder.name.startswith(models.REMOVED):
        nameless = folder.with_name(f"{models.REMOVED}{folder.name}-{secrets.token_hex(4)}")
        folder.rename(nameless)
        folder = nameless
    held = folders.inside(folder)
    # the lock last: a run that waits for it then sees that it is gone
    for item in sorted(held, key=lambda item: item.name == lock.LOCK):
        item.path.unlink(missing_ok=True)
    folder.rmdir()
    return None
