"""Open a data set, by name or as an object; `auto` opens the real one if it is there, otherwise its stand-in."""

import dataclasses
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from tfmeta import registry
from tfmeta.datasets import cache
from tfmeta.datasets.checks import check_bank
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.errors import ConfigError, StorageError, unknown
from tfmeta.plugins import sources

if TYPE_CHECKING:
    from tfmeta.datasets.base import Dataset

AUTO = "auto"

log = logging.getLogger(__name__)


def default_cache_dir() -> Path:
    """Return the folder for decoded images: the variable TFMETA_CACHE, otherwise the system's cache folder."""
    return _expanded(os.environ.get("TFMETA_CACHE")) or Path(platformdirs.user_cache_dir("tfmeta"))


def default_data_dir() -> Path | None:
    """Return the folder with the user's own data: the variable TFMETA_DATA, or None if it is not set."""
    return _expanded(os.environ.get("TFMETA_DATA"))


def check_name(name: str) -> None:
    """Raise `ConfigError` unless `name` is a data set or `auto`."""
    if name != AUTO and name not in registry.names("datasets"):
        raise ConfigError(unknown("data set", name, (AUTO, *registry.names("datasets"))))


def open_dataset(
    dataset: "str | Dataset", data_dir: Path | str | None = None, cache_dir: Path | str | None = None,
    download: bool = True, paper_dataset: str = "omniglot", stand_in: bool = True,
) -> ImageBank:  # fmt: skip
    """Open a data set.

    `auto` opens the paper's data set if it is found or can be downloaded, otherwise its stand-in, with a warning. Data
    that is there but damaged is an error for `auto` too, and so is a `data_dir` that does not exist.

    Args:
        dataset: A data set's name; "auto"; or an object such as `ImageFolder(folder="photos")`, which has its options.
        data_dir: Folder with the data; by default `default_data_dir()`, or a folder in the cache if that is None.
        cache_dir: Folder for decoded images; by default `default_cache_dir()`.
        download: Whether missing data may be downloaded.
        paper_dataset: What "auto" looks for: "omniglot" or "mini-imagenet".
        stand_in: Whether "auto" may open a stand-in.

    Raises:
        ConfigError: the name is unknown, an option of the data set is wrong, or "auto" found no real data and
            `stand_in` is false.
        DataError: the data is missing, incomplete or damaged, or the data set returns no image bank.
        DownloadError: a download failed.
        StorageError: a folder cannot be written to.
    """
    if isinstance(dataset, str):
        check_name(dataset)
    cache_dir = _expanded(cache_dir) or default_cache_dir()
    data_dir = _expanded(data_dir) or default_data_dir() or _data_in_cache(cache_dir)
    if dataset == AUTO:
        dataset = _available(paper_dataset, data_dir, download, stand_in)
    if isinstance(dataset, str):
        dataset = registry.find("datasets", dataset)()
    bank = _opened(dataset, data_dir, cache_dir, download)
    log.info("data set %s%s", bank.dataset, f": {bank.source}" if bank.source else "")
    return bank


def _opened(dataset: "Dataset", data_dir: Path, cache_dir: Path, download: bool) -> ImageBank:
    """Return a data set's bank. The digest of one from outside is taken of what it returns, whatever it says itself."""
    name = dataset.NAME
    if registry.is_built_in("datasets", name) and registry.find("datasets", name) is type(dataset):
        return check_bank(name, dataset.open(data_dir, cache_dir, download))
    options = {option: getattr(dataset, option) for option in dataset.OPTIONS}
    with cache.made_by({"code": sources.digest_of(type(dataset)).digest, "options": options}):
        bank = check_bank(name, dataset.open(data_dir, cache_dir, download))
    return dataclasses.replace(bank, digest="")  # which makes the bank take it


def _available(name: str, data_dir: Path, download: bool, stand_in: bool) -> str:
    """Return the data set's name if it is there, otherwise its stand-in's."""
    paper = registry.find("datasets", name)()
    reason = paper.missing(data_dir, download)
    if reason is None:
        return name
    instead = registry.standing_for(name)[1]
    advice = "To use real data, put it into a folder and name that folder with DATA_DIR (--data-dir, TFMETA_DATA)"
    if not stand_in:
        advice = f"{advice}, or ask for the stand-in by name (DATASET={instead})"
        raise ConfigError(f"no real {paper.display_name}: {reason}. This profile is for real data. {advice}")
    log.warning(
        "NO REAL %s: %s. Using the stand-in data set %s (drawn from fonts): results are not %s's. %s.",
        paper.display_name.upper(), reason, instead.upper(), paper.display_name, advice,
    )  # fmt: skip
    return instead


def _expanded(path: Path | str | None) -> Path | None:
    """Expand ~ at the start of a path; return None if there is none."""
    try:
        return Path(path).expanduser() if path else None
    except RuntimeError as error:  # ~name
        raise ConfigError(f"{path}: there is no such home folder; give the folder's whole path") from error


def _data_in_cache(cache_dir: Path) -> Path:
    """Make the folder for downloaded data, used if the user named no data folder."""
    folder = cache_dir / "data"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        advice = "set TFMETA_CACHE to a folder that can be written to"
        raise StorageError(f"{folder}: cannot be made ({error.strerror}); {advice}") from error
    return folder
