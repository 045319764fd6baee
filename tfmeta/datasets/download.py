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
from tfmeta.utils.progress import Bar

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
                bar = stack.enter_context(Bar(total=1, desc=target.name, unit="B", unit_scale=True, disable=None))
                get = pooch.HTTPDownloader(bar, 1 << 14, timeout=timeout, hooks={"response": _refuse})
                base, hashes = url.removesuffix(target.name), {target.name: known_hash}
                server = pooch.create(folder, base, registry=hashes, retry_if_failed=retries)
                path = Path(server.fetch(target.name, downloader=get))
                check(path)
                path.chmod(0o644)  # pooch's temporary file is for its owner alone
                path.replace(target)
    except (requests.RequestException, DataError, ValueError) as error:  # a ValueError if the hash is wrong
        hint = "check the network and the address (TFMETA_OMNIGLOT_URL), or put the file there yourself"
        raise DownloadError(f"{url}: could not be downloaded ({_reason(error)}), nothing was kept; {hint}") from error
    except OSError as error:
        hint = "make room, or name another folder with DATA_DIR (TFMETA_DATA)"
        raise StorageError(f"{target}: cannot be written ({error.strerror or error}); {hint}") from error


def _refuse(response: requests.Response, **_: object) -> None:
    """Raise an error that pooch does not retry, for an answer that will be the same next time."""
    if 400 <= response.status_code < 500 and response.status_code not in (408, 429):
        raise DataError(f"the server answered {response.status_code} {response.reason}")
    if response.status_code == 200 and "html" in response.headers.get("Content-Type", ""):
        raise DataError("the server sent a web page: does this network ask for a log-in?")


def _reason(error: BaseException) -> str:
    if "hash of downloaded file" in str(error):
        return "its sha256 is not that of the public release"
    while isinstance(inner := getattr(error, "reason", None) or next(iter(error.args), None), BaseException):
        error = inner  # the innermost cause: the text of the others is long
    return str(error) if isinstance(error, DataError) else str(error).split(" for url")[0].rsplit(": ", 1)[-1]
