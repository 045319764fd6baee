"""Data sets as banks of pictures; `open_dataset` is the way in."""

import logging
import os
from pathlib import Path

import platformdirs

from tfmeta.data.bank import Bank
from tfmeta.errors import ConfigError, DownloadError, StorageError

__all__ = ["DATASETS", "Bank", "default_cache_dir", "default_data_dir", "open_dataset"]

DATASETS = ("auto", "omniglot", "glyphs", "mini-imagenet", "glyphs-color")
# `auto` asks whether the release can be reached before it waits for anything, so that a machine without a network
# falls back within this many seconds.
PROBE_SECONDS = 4.0

log = logging.getLogger(__name__)


def _at_home(path: Path | str) -> Path:
    """Put the home folder where a path begins with ~."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # ~name
        raise ConfigError(f"{path}: there is no such home folder; name the folder by its whole path") from error


def default_cache_dir() -> Path:
    """Folder for what can be made again: the variable TFMETA_CACHE, else the system's place for caches."""
    named = os.environ.get("TFMETA_CACHE")
    return _at_home(named) if named else Path(platformdirs.user_cache_dir("tfmeta"))


def default_data_dir() -> Path | None:
    """Folder with the user's own data: the variable TFMETA_DATA; None where it is not set."""
    named = os.environ.get("TFMETA_DATA")
    return _at_home(named) if named else None


def open_dataset(
    name: str,
    data_dir: Path | str | None = None,
    cache_dir: Path | str | None = None,
    download: bool = True,
    color: bool = False,
) -> Bank:
    """Open a data set by name: one of `DATASETS`.

    `auto` is Omniglot where it is found or can be fetched, else glyphs, with a warning; with `color` (which means
    nothing else) it is mini-ImageNet where it is found, else glyphs-color. Data that is found but is damaged is an
    error for `auto` too, and so is a `data_dir` that does not exist. `data_dir` defaults to `default_data_dir()`, else
    a folder in the cache; `cache_dir` to `default_cache_dir()`.

    Raises `ConfigError` (unknown name), `DataError`, `DownloadError`, `StorageError`.
    """
    if name not in DATASETS:
        raise ConfigError(f"dataset {name!r} is unknown; choose one of {', '.join(DATASETS)}")
    cache_dir = _at_home(cache_dir) if cache_dir else default_cache_dir()
    if name == "glyphs":
        return _glyphs(cache_dir)
    if name == "glyphs-color":
        return _glyphs_color(cache_dir)
    folder = _at_home(data_dir) if data_dir else default_data_dir() or _own_data(cache_dir)
    if name == "omniglot":
        return _omniglot(folder, cache_dir, download)
    if name == "mini-imagenet" or color:
        return _mini_imagenet(folder, cache_dir, instead=name == "auto")
    return _auto(folder, cache_dir, download)


def _auto(folder: Path, cache_dir: Path, download: bool) -> Bank:
    from tfmeta.data import omniglot
    from tfmeta.data.download import reachable

    found = omniglot.locate(folder)
    reason = f"there is no Omniglot in {folder}"
    if len(found) == len(omniglot.PARTS):
        return _say(omniglot.read_bank(found, cache_dir))
    if not download:
        reason += ", and downloading is off"
    elif not reachable(omniglot.public_url(), PROBE_SECONDS):
        reason += f", and {omniglot.public_url()} cannot be reached"
    else:
        try:
            found = omniglot.obtain(folder)
        except (DownloadError, StorageError) as error:
            reason += f", and fetching it failed: {error}"
        else:
            return _say(omniglot.read_bank(found, cache_dir))
    log.warning(
        "NO REAL OMNIGLOT: %s. Using the stand-in data set GLYPHS (drawn from fonts): results are not Omniglot's. "
        "For real data put images_background.zip and images_evaluation.zip into a folder and name it by DATA_DIR "
        "(TFMETA_DATA).",
        reason,
    )
    return _glyphs(cache_dir)


def _omniglot(folder: Path, cache_dir: Path, download: bool) -> Bank:
    from tfmeta.data import omniglot
    from tfmeta.errors import DataError

    found = omniglot.obtain(folder) if download else omniglot.locate(folder)
    if not found:
        raise DataError(
            f"{folder}: holds no Omniglot (looked for images_background and images_evaluation, .zip or folder, there "
            f"and in {folder}/omniglot); put them there, or allow the download (make data)"
        )
    return _say(omniglot.read_bank(found, cache_dir))


def _mini_imagenet(folder: Path, cache_dir: Path, instead: bool) -> Bank:
    """Open mini-ImageNet; where it is not there, `instead` says whether glyphs-color takes its place."""
    from tfmeta.data import mini_imagenet
    from tfmeta.errors import DataError

    found = mini_imagenet.locate(folder)
    if found:
        return _say(mini_imagenet.read_bank(found, cache_dir))
    missing = (
        f"{folder}: holds no mini-ImageNet (looked for train.csv, val.csv and test.csv with images.zip or a folder "
        f"images, and for mini-imagenet-cache-train.pkl and the like, in {folder}/mini-imagenet and there)"
    )
    if not instead:
        raise DataError(f"{missing}; put it there, or take glyphs-color. It cannot be downloaded")
    log.warning(
        "NO REAL MINI-IMAGENET: %s. Using the stand-in data set GLYPHS-COLOR (drawn from fonts): results are not "
        "mini-ImageNet's. For real data name its folder by DATA_DIR (TFMETA_DATA).",
        missing,
    )
    return _glyphs_color(cache_dir)


def _glyphs_color(cache_dir: Path) -> Bank:
    from tfmeta.data import color_glyphs

    return _say(color_glyphs.read_bank(cache_dir))


def _glyphs(cache_dir: Path) -> Bank:
    from tfmeta.data import glyphs

    return _say(glyphs.read_bank(cache_dir))


def _say(bank: Bank) -> Bank:
    log.info("data set %s: %s", bank.dataset, bank.source)
    return bank


def _own_data(cache_dir: Path) -> Path:
    """Make the place for data that is fetched where the user named none."""
    folder = cache_dir / "data"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be made ({error.strerror}); set TFMETA_CACHE to a folder that can be written to"
        ) from error
    return folder
