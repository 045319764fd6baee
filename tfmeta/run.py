"""A run: one configuration with its data, opened and checked; what a simulation and its variants share."""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tfmeta import registry
from tfmeta.attacks.triggers.base import tried
from tfmeta.config import Config, make_config
from tfmeta.config.settings import merged
from tfmeta.datasets import ImageBank, check_name, default_cache_dir, open_dataset
from tfmeta.datasets.opening import AUTO
from tfmeta.datasets.partition import make_partition
from tfmeta.datasets.shares import Partition
from tfmeta.errors import ConfigError
from tfmeta.estimate import Shapes, refusal
from tfmeta.models import layer_names
from tfmeta.plugins.given import plugin_of
from tfmeta.plugins.identity import remember
from tfmeta.store.reuse import StoredFiles
from tfmeta.utils import threads

if TYPE_CHECKING:
    from tfmeta.datasets.base import Dataset
    from tfmeta.models.base import PureModel

REAL_DATA_ONLY = ("desk", "paper")  # profiles for which "auto" opens no stand-in


class Places(NamedTuple):
    """Folders: for results and models, with the user's data, and for decoded images."""

    results: Path | str
    data: Path | str | None
    cache: Path | str | None


class Limits(NamedTuple):
    """What a run may do on this machine; none of it changes a number.

    Attributes:
        workers: How many episodes or tasks run at once; None: as many as cores and memory allow.
        worker_timeout: Seconds without progress after which TFF's worker is ended; None: never.
        allow_open_port: Whether TFF's worker may listen on a network port where it cannot be shut off.
        allow_large: Whether the run may start although its estimate says that it does not fit this machine.
    """

    workers: int | None = None
    worker_timeout: float | None = None
    allow_open_port: bool = False
    allow_large: bool = False


@dataclasses.dataclass
class Run:
    """What a simulation and its variants share; `base` is the run's own configuration."""

    bank: ImageBank
    partition: Partition
    profile: str
    results: Path
    cache: Path
    base: Config
    limits: Limits = dataclasses.field(default_factory=Limits)
    stored: StoredFiles = dataclasses.field(default_factory=StoredFiles)
    federation: Any = None
    timelines: dict = dataclasses.field(default_factory=dict)
    tasks: dict = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def shapes(self) -> Shapes:
        """The shapes of the data, on which memory and time depend."""
        return Shapes.of(self.bank, self.partition)

    @property
    def cores(self) -> int:
        """How many operations run at once."""
        return self.limits.workers or threads.cores()

    def check_memory(self, config: Config, model: "PureModel | None" = None) -> None:
        """Raise `ConfigError` if a run (without a model: its tasks) needs more memory than is free, and may not."""
        if not self.limits.allow_large:
            if model is None:
                refusal.check_tasks(config, self.shapes)
            else:
                refusal.check_memory(config, model, self.shapes, self.cores)


def open_run(
    dataset: "str | Dataset", profile: str, settings: dict[str, Any], places: Places, paper_dataset: str
) -> Run:
    """Open the data of a run and divide it among the users; everything that needs no data is checked first.

    Args:
        dataset: "auto", a data set's name, or an object.
        profile: The profile's name.
        settings: Fields in which the run differs from its profile, by full name.
        places: Its folders.
        paper_dataset: The data set of the paper that "auto" stands for.

    Raises:
        ConfigError: a name or a value is wrong.
        DataError: the data is missing or damaged.
    """
    remember()
    if not isinstance(dataset, str):
        dataset = plugin_of("datasets", dataset)
        settings, dataset = merged(settings, dataset.settings()), dataset.NAME
    check_name(dataset)
    config = _checked(paper_dataset if dataset == AUTO else dataset, profile, settings)
    results, cache = Path(places.results).expanduser(), Path(places.cache or default_cache_dir()).expanduser().resolve()
    opened = AUTO if dataset == AUTO else registry.build("datasets", config, dataset)
    stand_in = profile not in REAL_DATA_ONLY
    bank = open_dataset(opened, places.data, cache, paper_dataset=paper_dataset, stand_in=stand_in)
    config = _checked(bank.dataset, profile, settings, bank.images.shape[2:])
    opened, federation = registry.build("datasets", config, bank.dataset), config.federation
    partition = make_partition(bank, opened, config.data.split_seed, federation.users, federation.attackers)
    return Run(bank, partition, profile, results, cache, config)


def _checked(
    dataset: str, profile: str, settings: dict[str, Any], shape: tuple[int, int, int] | None = None
) -> Config:  # fmt: skip
    """Return the configuration; raise `ConfigError` for everything that can be known without data.

    `shape` is that of an image, where only the data tell.
    """
    config = make_config(dataset, profile, **settings)
    layer_names.check_early(config.defence.mixed_layers, config.meta_learning.model)
    shape = shape or registry.find("datasets", dataset).image_shape
    _check_runtime(config)
    if shape is not None:
        tried(registry.build("triggers", config), shape)
    return config


def _check_runtime(config: Config) -> None:
    name, runtime = config.federation.aggregation, config.federation.runtime
    if runtime == "inprocess" and hasattr(registry.outside_class("aggregations", name), "GIVEN"):
        raise ConfigError(
            f"federation.runtime = inprocess: the aggregation {name} is a factory of TFF, which runs in TFF only; set "
            "federation.runtime = tff, or give an aggregation with a numpy_rule"
        )
