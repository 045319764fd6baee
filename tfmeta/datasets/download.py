"""Download a file with pooch: it arrives whole and verified, or not at all."""

import contextlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import filelock
import pooch
import requests

from tfmeta.errors import DataError, DownloadError, StorageError
from tfmeta.store import atomic
from tfmeta.utils.progress import Bar

LARGEST = 256 << 20  # bytes of a file; Omniglot's largest has 9.5 MB
pooch.get_logger().setLevel("WARNING")  # our own log says what is downloaded


def fetch(url: str, target: Path, known_hash: str | None = None, check: Callable[[Path], None] = lambda path: None,
          retries: int = 3, timeout: tuple[float, float] = (10, 30)) -> None:  # fmt: skip
    """Download `url`, which ends in the name of `target`, unless `target` is there; one process does, others wait.

    `target` appears once the file has the sha256 `known_hash` (if not None) and `check(path)` raises no `DataError`.
    `timeout` is in seconds: to connect, and without a single byte. Raises `DownloadError` or `StorageError`.
    """
    folder = target.with_name(f".{target.name}.download")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(target.with_name(f".{target.name}.lock")), contextlib.ExitStack() as stack:
            if not target.exists():  # else another process has just downloaded it
                logging.getLogger(__name__).info("downloading %s to %s", url, target)
                shutil.rmtree(folder, ignore_errors=True)  # left by a killed process
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                server = pooch.Pooch(folder, url.removesuffix(target.name), {target.name: known_hash}, None, retries)
                path = Path(server.fetch(target.name, downloader=lambda *request: _get(timeout, *request)))
                check(path)
                atomic.write_bytes(path, path.read_bytes())  # now it is on the disk, and not for its owner alone
                path.replace(target)
    except (requests.RequestException, DataError, ValueError) as error:  # a ValueError if the hash is wrong
        hint = "check the network and the address (TFMETA_OMNIGLOT_URL), or put the file there yourself"
        raise DownloadError(f"{url}: could not be downloaded ({_reason(error)}), nothing was kept; {hint}") from error
    except OSError as error:
        hint = "make room, or name another folder with DATA_DIR (--data-dir, TFMETA_DATA)"
        raise StorageError(f"{target}: cannot be written ({error.strerror or error}); {hint}") from error


def _get(timeout: tuple[float, float], url: str, path: str, _: pooch.Pooch) -> None:
    """Write an answer to `path`. What will be the same next time raises a `DataError`, which pooch does not retry."""
    with requests.get(url, stream=True, timeout=timeout) as response, open(path, "wb") as file:
        status, size = response.status_code, int(response.headers.get("Content-Length", 0))
        if 400 <= status < 500 and status not in (408, 429):
            raise DataError(f"the server answered {status} {response.reason}")
        if status == 200 and "html" in response.headers.get("Content-Type", ""):
            raise DataError("the server sent a web page: does this network ask for a log-in?")
        response.raise_for_status()
        with Bar(total=size, desc=url.rpartition("/")[2], unit="B", unit_scale=True, disable=None) as bar:
            for chunk in response.iter_content(1 << 14):
                bar.update(file.write(chunk))
                if max(size, file.tell()) > LARGEST:
                    raise DataError(f"the file is larger than {LARGEST >> 20} MB")


def _reason(error: BaseException) -> str:
    if "hash of downloaded file" in str(error):
        return "its sha256 is not that of the public release"
    while isinstance(inner := getattr(error, "reason", None) or next(iter(error.args), None), BaseException):
        error = inner  # the innermost cause: the text of the others is long
    return str(error) if isinstance(error, DataError) else str(error).split(" for url")[0].rsplit(": ", 1)[-1]
