"""Find or download Omniglot's files: the two zips of the public release, or the folders that come out of them."""

import contextlib
import functools
import os
import threading
from pathlib import Path

from tfmeta.datasets import archives
from tfmeta.datasets.omniglot.layout import PARTS, Digest, Part
from tfmeta.datasets.omniglot.reader import read_part
from tfmeta.errors import DataError
from tfmeta.utils import progress

PUBLIC = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
_PLACES = ("", "omniglot", "omniglot/python", "python", "omniglot-py", "omniglot-master/python")


def public_url() -> str:
    """Return where the release is downloaded from: the variable TFMETA_OMNIGLOT_URL, otherwise its public home."""
    return os.environ.get("TFMETA_OMNIGLOT_URL") or PUBLIC


def reachable(url: str, seconds: float) -> bool:
    """Return whether any HTTP answer comes from `url` in time."""
    import requests  # here, since it is slow to import

    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(requests.RequestException):
            requests.head(url, timeout=seconds).close()
            answered.set()

    # a thread, since time-outs of sockets limit neither the look-up of a name nor several addresses in all
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()


def locate(data_dir: Path, parts: tuple[Part, ...] = PARTS) -> dict[str, Path]:
    """Return {split: zip or folder} of the parts in a data folder; if there are both, the zip.

    Parts that are not there are left out. Raises `DataError` if `data_dir` cannot be read.
    """
    archives.check_folder(data_dir)
    most: dict[str, Path] = {}
    for folder in (data_dir / place for place in _PLACES):
        paths = [(part.split, folder / f"{part.folder}{suffix}") for part in parts for suffix in ("", ".zip")]
        try:
            most = max(most, {split: path for split, path in paths if path.exists()}, key=len)  # of equals the first
        except OSError as error:  # no permission to search the folder
            raise DataError(archives.unreadable(folder, error)) from error
    return most


def obtain(
    data_dir: Path, url: str | None = None, parts: tuple[Part, ...] = PARTS, **options: object
) -> dict[str, Path]:
    """Find the parts like `locate`, and download those that are missing beside the others.

    The zips of the public release are known by their sha256. A mirror may pack the same images in another way, so what
    it sends is verified by the decoded images.

    If `data_dir` has no part, the download goes to its subfolder `omniglot`. It comes from `url`, by default
    `public_url()`; `options` are those of `download.fetch`. Raises `DownloadError` if a part cannot be downloaded or is
    not that of the public release, and `StorageError` if the folder cannot be written to.
    """
    from tfmeta.datasets import download  # here, since it is slow to import

    found = locate(data_dir, parts)
    url = (url or public_url()).rstrip("/")
    for part in parts:
        if part.split not in found:
            folder = next(iter(found.values())).parent if found else data_dir / "omniglot"
            target = folder / f"{part.folder}.zip"
            known = {"known_hash": part.sha256} if url == PUBLIC else {"check": functools.partial(_verify, part)}
            download.fetch(f"{url}/{target.name}", target, **known, **options)
            found[part.split] = target
    return found


def _verify(part: Part, path: Path) -> None:
    """Raise `DataError` unless the images in a zip are those of the public release."""
    digest = Digest()
    with progress.bar(len(part.characters), f"verifying {part.folder}", "character") as bar:
        for name, drawings in read_part(path, part):
            digest.add(name, drawings)
            bar.update(1)
    if digest.hexdigest() != part.digest:
        raise DataError(f"its images are not those of the public release (content digest {digest.hexdigest()[:12]})")
