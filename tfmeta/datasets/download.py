"""Fetching a file over HTTP so that it is whole, the right one, or not there at all.

Bytes go to `<name>.part`, which is continued after a broken connection and by the next run; the file gets its name
only after its content was checked.
"""

import contextlib
import itertools
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock
import requests
import tenacity

from tfmeta.errors import DataError, DownloadError, StorageError
from tfmeta.utils.progress import Bar

CHUNK = 8 << 10  # what a broken connection can cost

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds, and how often to try."""

    connect: float = 10.0
    read: float = 30.0  # without a single byte
    tries: int = 6  # in a row that bring nothing new
    first_tries: int = 3  # while the server was never reached
    wait: float = 1.0  # before the second try; then twice as long each time
    longest_wait: float = 30.0


PATIENT = Patience()
LARGEST = 256 << 20  # bytes; more than any file fetched here, less than would fill a disk


class _BrokenError(Exception):
    """This try failed; another may not."""


@dataclass
class _Transfer:
    """One file on its way."""

    url: str
    part: Path
    magic: bytes
    patience: Patience
    reached: bool = False  # the server has answered at least once
    fruitless: int = 0  # tries in a row that brought nothing new

    def size(self) -> int:
        """Bytes that have arrived, in this run or an earlier one."""
        return self.part.stat().st_size if self.part.exists() else 0


def fetch(
    url: str, target: Path, check: Callable[[Path], None], patience: Patience = PATIENT, magic: bytes = b"PK\x03\x04"
) -> None:
    """Fetch `url` to `target`; `check(path)` raises `DataError` where the content is not the right one.

    Continues what an earlier run left in `<target>.part`. Of several processes one fetches and the others wait. Raises
    `DownloadError` (no connection, an answer such as 404, not a file that starts with `magic`, not the right content)
    or `StorageError`; then `target` is not there, and bytes that may still be of use stay in `<target>.part`.
    """
    part = target.with_name(target.name + ".part")
    with _alone(target):
        if target.exists():  # another process was quicker
            return
        resumed = part.exists()
        _transfer(_Transfer(url, part, magic, patience))
        try:
            check(part)
        except DataError as error:
            part.unlink()
            if not resumed:
                raise DownloadError(f"{url}: what came is not the data set: {error}; nothing was kept") from error
            log.warning("%s: what an earlier run had fetched does not fit; starting over", url)
            _transfer(_Transfer(url, part, magic, patience))
            try:
                check(part)
            except DataError as again:
                part.unlink()
                raise DownloadError(f"{url}: what came is not the data set: {again}; nothing was kept") from again
        with _writing(target):
            part.replace(target)
    log.info("fetched %s to %s", url, target)


def reachable(url: str, seconds: float) -> bool:
    """Tell within a set time whether any HTTP answer comes from `url`.

    The time-outs of the socket do not bound the look-up of a name, nor the sum over a host's addresses; this does.
    """
    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(requests.RequestException):
            requests.head(url, timeout=seconds).close()
            answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()


def _transfer(transfer: _Transfer) -> None:
    """Fill the part file, trying again where that may help."""

    def give_up(state: tenacity.RetryCallState) -> bool:
        patience = transfer.patience
        return transfer.fruitless >= (patience.tries if transfer.reached else patience.first_tries)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_BrokenError),
        wait=tenacity.wait_exponential_jitter(
            multiplier=transfer.patience.wait, max=transfer.patience.longest_wait, jitter=transfer.patience.wait
        ),
        stop=tenacity.stop_any(give_up, tenacity.stop_after_attempt(100)),
        before_sleep=lambda state: log.info("%s: %s; trying again", transfer.url, state.outcome.exception()),
        reraise=True,
    )
    try:
        retrying(_attempt, transfer)
    except _BrokenError as error:
        kept = f"{transfer.size()} bytes are kept, and the same command continues there" if transfer.size() else ""
        hint = kept or "check the network connection, or put the file there yourself"
        raise DownloadError(f"{transfer.url}: could not be fetched ({error}); {hint}") from error


def _attempt(transfer: _Transfer) -> None:
    """Try once; `_BrokenError` where another try may help."""
    before = transfer.size()
    try:
        _request(transfer, before)
    except _BrokenError:
        transfer.fruitless = 0 if transfer.size() > before else transfer.fruitless + 1
        raise


def _request(transfer: _Transfer, have: int) -> None:
    headers = {"Accept-Encoding": "identity"}  # else lengths and ranges would be those of the packed stream
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = requests.get(
            transfer.url,
            headers=headers,
            stream=True,
            timeout=(transfer.patience.connect, transfer.patience.read),
        )
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _BrokenError(f"no answer: {_short(error)}") from error
    except requests.RequestException as error:  # not an address, too many redirections
        raise DownloadError(f"{transfer.url}: cannot be asked for ({error}); check the address") from error
    transfer.reached = True
    with response:
        if not _complete_already(transfer, response, have):
            _receive(transfer, response, have)


def _complete_already(transfer: _Transfer, response: requests.Response, have: int) -> bool:
    """Judge the status; true where the server says that nothing is left to send."""
    status = response.status_code
    if status == 416 and have:
        if response.headers.get("Content-Range", "").endswith(f"/{have}"):
            return True
        transfer.part.unlink()
        raise _BrokenError("what an earlier run fetched does not fit")
    if status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        transfer.part.unlink(missing_ok=True)
        raise _BrokenError("the server sent another range than was asked for")
    if status in (408, 429) or status >= 500:
        raise _BrokenError(f"the server answered {status} {response.reason}")
    if status not in (200, 206):
        raise DownloadError(
            f"{transfer.url}: the server answered {status} {response.reason}; check the address "
            "(TFMETA_OMNIGLOT_URL), or put the file there yourself"
        )
    return False


def _receive(transfer: _Transfer, response: requests.Response, have: int) -> None:
    """Append to the part file, or begin it again where the server does not continue."""
    have = have if response.status_code == 206 else 0
    length = response.headers.get("Content-Length", "")
    total = have + int(length) if length.isdigit() else None
    chunks = _chunks(response)
    first = next(chunks, b"")
    if not have:  # before the part file is touched: what is in it may still be good
        _recognize(transfer, response, first)
    with (
        _writing(transfer.part),
        transfer.part.open("ab" if have else "wb") as file,
        Bar(total=total, initial=have, desc=transfer.part.stem, unit="B", unit_scale=True, disable=None) as bar,
    ):
        for chunk in itertools.chain([first], chunks):
            file.write(chunk)
            have += len(chunk)
            if have > LARGEST:
                raise DownloadError(f"{transfer.url}: does not end after {have} bytes; this is not the data set")
            bar.update(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    if total is not None and have < total:
        raise _BrokenError(f"the connection ended after {have} of {total} bytes")


def _chunks(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_content(CHUNK)
    except requests.RequestException as error:
        raise _BrokenError(f"the connection broke: {_short(error)}") from error


def _recognize(transfer: _Transfer, response: requests.Response, start: bytes) -> None:
    """Raise `DownloadError` at the first bytes of something else, such as a log-in page."""
    if not start.startswith(transfer.magic):
        kind = response.headers.get("Content-Type", "unknown type")
        page = " (a web page: does this network ask for a log-in?)" if "html" in kind else ""
        raise DownloadError(
            f"{transfer.url}: the server sent {kind}{page} instead of a {Path(transfer.part.stem).suffix} file"
        )


def _short(error: BaseException) -> str:
    """Return the innermost cause of an error of requests, whose own text is long."""
    while isinstance(inner := getattr(error, "reason", None) or next(iter(error.args), None), BaseException):
        error = inner
    return str(inner or error).rsplit(": ", 1)[-1]


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write into a `StorageError`."""
    try:
        yield
    except requests.RequestException:
        raise
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); make room, or name another folder by DATA_DIR "
            "(TFMETA_DATA)"
        ) from error


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold the lock of one download; the lock of a killed process is free."""
    lock = filelock.FileLock(target.with_name(f".{target.name}.lock"))
    with _writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
