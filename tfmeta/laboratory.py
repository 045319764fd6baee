"""The laboratory: one configuration, its data, its models and its tasks, each made when first asked for.

::

    with tfmeta.Laboratory("auto", "smoke") as lab:
        attacked = lab.model("a", 2)
        for method in ("softmax", "matching"):
            print(method, {name: values[-1].mean() for name, values in lab.measure(attacked, "a", 2, method).items()})
"""

import copy
import dataclasses
import functools
import logging
from pathlib import Path

import numpy as np

from tfmeta import progress, threads
from tfmeta.config import difference, make_config, tag
from tfmeta.data import default_cache_dir, open_dataset
from tfmeta.data.partition import check_fits, make_partition
from tfmeta.errors import ConfigError

_log = logging.getLogger(__name__)


class Laboratory:
    """Everything that experiments of one configuration share.

    Args:
      dataset: "auto", "omniglot", "glyphs", "mini-imagenet" or "glyphs-color".
      profile: "smoke", "quick", "desk" or "paper".
      results: folder for results and models.
      data_dir: folder with the data sets (default: TFMETA_DATA).
      cache_dir: folder for decoded pictures (default: TFMETA_CACHE, else the user's cache).
      color: whether "auto" stands for mini-ImageNet (or glyphs-color), not Omniglot (or glyphs).
      workers: how many episodes or tasks run at once (default: one a core).
      overrides: fields of ``Config`` other than the profile's.

    Raises ``ConfigError`` and ``DataError`` before anything is computed.
    """

    def __init__(
        self, dataset="auto", profile="quick", *, results="results", data_dir=None, cache_dir=None, color=False,
        workers=None, **overrides,
    ):  # fmt: skip
        progress.quiet_tensorflow()  # before anything here imports it
        if dataset != "auto":
            make_config(dataset, profile, **overrides)  # complain about the configuration before reading data
        self.results = Path(results)
        self.cache = Path(cache_dir or default_cache_dir()).resolve()
        self.bank = open_dataset(dataset, data_dir and Path(data_dir), self.cache, color=color)
        self.profile = profile
        self.config = make_config(self.bank.dataset, profile, **overrides)
        self.partition = make_partition(self.bank, self.config.split_seed)
        check_fits(self.config, self.partition)
        self._base = self.config
        self._workers = workers
        self._shared = {"federation": None}  # also by variants: one worker for all
        # raises here, not minutes later, where key and pictures do not fit
        self.trigger.stamp(np.zeros(self.bank.images.shape[2:], np.uint8))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End TFF's worker, if one was started; the laboratory can go on being used."""
        if self._shared["federation"] is not None:
            self._shared["federation"].close()
            self._shared["federation"] = None

    # --- what it is made of ---------------------------------------------------------------------------

    @property
    def tag(self):
        """The run's tag, None where no field differs from the profile's; a variant has its run's."""
        return tag(self.bank.dataset, self.profile, self._base)

    @property
    def variation(self):
        """What tells a variant from its run, a word for files' names; None for the run itself."""
        return difference(self._base, self.config)

    def variant(self, **overrides):
        """Return this laboratory with other fields of stage "evaluation".

        It shares data, models, worker and results' folder: an ablation is part of the run that it is of. Raises
        ``ConfigError`` for a field that decides a model, and for a bad value.
        """
        stages = {field.name: field.metadata["stage"] for field in dataclasses.fields(self.config)}
        for name in overrides:
            if stages.get(name) != "evaluation":
                raise ConfigError(f"{name}: a variant changes fields of stage 'evaluation' only; make a new Laboratory")
        other = copy.copy(self)
        other.config = dataclasses.replace(self.config, **overrides)
        check_fits(other.config, other.partition)
        return other

    def without_mix(self):
        """Return the variant for weights that were mixed before extra meta-training: fine-tuning does not mix again."""
        return self.variant(delta=1.0) if self.config.extra_place == "after-mix" else self

    @functools.cached_property
    def model_shape(self):
        """The ``Conv4`` of this configuration."""
        progress.quiet_tensorflow("tensorflow")
        from tfmeta.models.conv4 import Conv4

        threads.side_by_side(self._workers)
        return Conv4(self.bank.images.shape[2:], self.config.ways, self.config.filters, self.config.downsample)

    @functools.cached_property
    def trigger(self):
        """The key (ledger 34)."""
        from tfmeta.trigger import Trigger

        config = self.config
        return Trigger(
            config.trigger_pattern, config.trigger_size, config.trigger_margin, config.trigger_corner,
            config.trigger_cell, config.trigger_color,
        )  # fmt: skip

    @functools.cached_property
    def banks(self):
        """The users' banks, as files."""
        from tfmeta.users import Banks

        return Banks(self.bank, self.partition, self.trigger, self.config, self.cache / "pools")

    @functools.cached_property
    def setting(self):
        """The ``client.Setting`` of all clients."""
        from tfmeta.client import Setting

        return Setting(self.model_shape, self.banks.capacity, self.config)

    def federation(self):
        """Return the federation, starting TFF's worker if it is to run there and does not run yet."""
        if self._shared["federation"] is None:
            if self.config.runtime == "tff":
                progress.quiet_tensorflow("tensorflow_federated")
                from tfmeta.federated.federation import TffFederation

                log = self.results / "logs" / "tff-worker.log"
                opened = TffFederation(self.setting, log, threads=self._workers or threads.cores())
            else:
                from tfmeta.inprocess import InProcessFederation

                opened = InProcessFederation(self.setting)
            self._shared["federation"] = opened
        return self._shared["federation"]

    # --- models and measurements ----------------------------------------------------------------------

    @functools.cache  # noqa: B019 - a laboratory lives as long as its process or notebook
    def timeline(self, knows_backdoor):
        """Return the ``training.Timeline`` of cases (b) and (c) (True) or (a) (False)."""
        from tfmeta.training import Timeline

        identity = {"dataset": self.bank.dataset, "digest": self.bank.digest}
        return Timeline(self.setting, self.banks, identity, self.results / "models", self.federation, knows_backdoor)

    def timeline_of(self, case):
        """Return the timeline of a case's models."""
        from tfmeta.tasks import knows_backdoor

        return self.timeline(knows_backdoor(case))

    def model(self, case, x):
        """Return theta_G of a case at ``x`` (0 pre-trained, 1 before the attack, 2 attacked); train what is missing."""
        return self.timeline_of(case).model(x)

    @functools.cache  # noqa: B019
    def tasks(self, case, user):
        """Return a benign user's ``Tasks`` in a case; user None: meta-test tasks."""
        from tfmeta import tasks

        if user is None:
            return tasks.meta_test_tasks(self.bank, self.partition, self.config)
        return tasks.user_tasks(self.bank, self.partition, self.trigger, self.config, user, case)

    def measure(self, weights, case, user, method="softmax", points=None, **more):
        """Fine-tune ``weights`` on a user's tasks and return accuracies float32 [points, n] by metric.

        Args:
          weights: list of arrays.
          case: "a", "b" or "c"; with user None (meta-test) it does not matter.
          user: 2, 3, 4 or None.
          method: "softmax" (supervised), "matching" (the defence), or another of ``evaluation.METHODS``.
          points: iterations to measure at; default: ``evaluation.points_upto(config.finetune_steps)``.
          more: ``report`` of ``evaluation.measure``.
        """
        from tfmeta import evaluation

        points = points or evaluation.points_upto(self.config.finetune_steps)
        tasks = self.tasks(case, user)
        return evaluation.measure(self.model_shape, self.config, weights, tasks, points, method, **more)

    def bar(self, total, description, unit="task", initial=0):
        """Return a progress bar (``progress.bar``)."""
        return progress.bar(total, description, unit, initial=initial)
