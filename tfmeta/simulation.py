"""`Simulation`: one configuration, its data, its models and its tasks, each made when first asked for.

    with tfmeta.Simulation("auto", "smoke") as sim:
        attacked = sim.weights("attacked", case="a")
        print(sim.measure(attacked, case="a", user=2, defence="matching"))
"""

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfmeta import registry
from tfmeta.config import Config, changed_fields, fields, make_config, merged, resolve_all, tag_of
from tfmeta.config.cases import CASES
from tfmeta.datasets.opening import AUTO
from tfmeta.datasets.partition import check_fits
from tfmeta.errors import ConfigError, check_known
from tfmeta.estimate import Estimate, Work, estimate
from tfmeta.federated import rounds
from tfmeta.federated.opening import open_federation
from tfmeta.models import layer_names
from tfmeta.plugins.given import plugin_of, settings_of
from tfmeta.plugins.identity import identity
from tfmeta.run import Limits, Places, Run, open_run
from tfmeta.store.reuse import StoredFiles
from tfmeta.utils import progress, threads

if TYPE_CHECKING:
    import pandas as pd

    from tfmeta.attacks.triggers.base import Trigger
    from tfmeta.datasets.base import Dataset
    from tfmeta.defences.base import Defence
    from tfmeta.federated.client_data import ClientData
    from tfmeta.federated.clients import Setting
    from tfmeta.federated.in_process import InProcessFederation
    from tfmeta.federated.tff.federation import TffFederation
    from tfmeta.federated.timeline import Timeline
    from tfmeta.meta_learning.tasks import Tasks
    from tfmeta.models.base import PureModel

class Simulation:
    """Everything that experiments of one configuration share.

    Args:
        dataset: "auto", a data set's name, or an object.
        profile: "smoke", "quick", "desk" or "paper".
        attack: The attack: a name, or an object such as `MyAttack(strength=2)`; by default the configuration's.
        defence: The defence, a name or an object, or a function like `Defence.adapt`. By default each experiment uses
            the one that it is about, and `measure` uses "matching".
        trigger: The trigger, a name or an object.
        aggregation: The aggregation, a name or an object, or an unweighted `tff.aggregators` factory.
        model: The network, a name or an object, or a Keras model.
        results: Folder for results and models.
        data_dir: Folder with the data sets; by default the variable TFMETA_DATA.
        cache_dir: Folder for decoded images; by default TFMETA_CACHE, else the user's cache.
        paper_dataset: The data set of the paper that "auto" stands for.
        workers: How many episodes or tasks run at once; by default as many as cores and memory allow.
        stored: What to do with stored files that other code of the package computed: "check" stops there, "fresh"
            computes them again, "keep" accepts them, and results say so.
        worker_timeout: Seconds without progress after which TFF's worker is ended; by default it is never.
        allow_open_port: Whether TFF's worker may listen on a network port where it cannot be shut off from the network.
        allow_large: Whether to start a run that is estimated to need more memory than there is.
        **overrides: Fields in which the run differs from its profile, such as `delta=0.5` or `attack_episodes=100`.

    Raises:
        ConfigError: a name or a value is wrong; raised before any data is read.
        DataError: the data is missing or damaged.
    """

    def __init__(
        self, dataset: "str | Dataset" = AUTO, profile: str = "quick", *, attack: Any = None, defence: Any = None,
        trigger: Any = None, aggregation: Any = None, model: Any = None, results: Path | str = "results",
        data_dir: Path | str | None = None, cache_dir: Path | str | None = None, paper_dataset: str = "omniglot",
        workers: int | None = None, stored: str = "check", worker_timeout: float | None = None,
        allow_open_port: bool = False, allow_large: bool = False, **overrides: Any,
    ):  # fmt: skip
        progress.quiet_tensorflow()  # before anything here imports it
        given = dict(attacks=attack, defences=defence, triggers=trigger, aggregations=aggregation, models=model)
        settings = [settings_of(kind, plugin) for kind, plugin in given.items() if plugin is not None]
        places = Places(results, data_dir, cache_dir)
        run = open_run(dataset, profile, merged(resolve_all(overrides), *settings), places, paper_dataset)
        run.limits, run.stored = Limits(workers, worker_timeout, allow_open_port, allow_large), StoredFiles(stored)
        self._set(run, run.base)

    def _set(self, run: Run, config: Config) -> None:
        """Set up a run or a variant of it; everything that depends on the configuration is made anew for each."""
        self._run, self.config = run, config
        self.bank, self.partition, self.profile = run.bank, run.partition, run.profile
        self.results, self.cache, self.stored = run.results, run.cache, run.stored
        # raises now, and not minutes later, where they do not fit together
        check_fits(config, run.partition, run.bank.names, run.bank.dataset)

    def __enter__(self) -> "Simulation":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End TFF's worker, if one was started. The simulation can still be used."""
        if self._run.federation is not None:
            self._run.federation.close()
            self._run.federation = None

    @property
    def changed(self) -> dict[str, Any]:
        """The fields, by full name, in which the run differs from its profile; a variant has its run's."""
        return changed_fields(make_config(self.bank.dataset, self.profile), self._run.base)

    @property
    def tag(self) -> str | None:
        """What to call the run's changed fields in a folder's name; None where nothing changed."""
        return tag_of(self.changed)

    @property
    def variation(self) -> str | None:
        """What to call the fields in which a variant differs from its run; None for the run itself."""
        return tag_of(changed_fields(self._run.base, self.config))

    def variant(self, *, defence: Any = None, **overrides: Any) -> "Simulation":
        """Return this simulation with other fields of the evaluation; it shares data, models, worker and results.

        Args:
            defence: Another defence: a name, an object or a function.
            **overrides: Fields that decide how tasks are evaluated.

        Raises:
            ConfigError: a field decides a model, or a value is wrong.
        """
        given = merged(resolve_all(overrides), {} if defence is None else settings_of("defences", defence))
        for name in given:
            if fields()[name].metadata["stage"] != "evaluation":
                raise ConfigError(
                    f"{name}: a variant changes only how tasks are evaluated, and this field decides a model; make a "
                    "new Simulation"
                )
        config = self.config.replace(given)
        layer_names.check_early(config.defence.mixed_layers, config.meta_learning.model)
        other = type(self).__new__(type(self))
        other._set(self._run, config)
        return other

    @functools.cached_property
    def trigger(self) -> "Trigger":
        """The attacker's trigger (ledger 34)."""
        return registry.build("triggers", self.config)

    def defence(self, given: Any = None) -> "Defence":
        """Return a defence with this simulation's options.

        Args:
            given: A name, an object or a function; by default the defence that the simulation was made with, or
                "matching".
        """
        if given is None:
            return self.chosen_defence("matching")
        if isinstance(given, str):
            return registry.build("defences", self.config, given)
        return plugin_of("defences", given).bind(self.config)

    def chosen_defence(self, otherwise: str) -> "Defence":
        """Return the defence that the simulation was made with; if it was made with none, the one of that name."""
        own = self.config.defence.name
        return registry.build("defences", self.config, otherwise if own == "experiment" else own)

    @functools.cached_property
    def model(self) -> "PureModel":
        """The network; raises `ConfigError` if the run needs more memory than there is (see `allow_large`)."""
        progress.quiet_tensorflow("tensorflow")
        threads.side_by_side(self._run.limits.workers)
        plugin, shape = registry.build("models", self.config), self.bank.images.shape[2:]
        plugin.check_size(shape)
        model = plugin.pure(shape, self.config.meta_learning.ways)
        layer_names.chosen(self.config.defence.mixed_layers, model.weight_names)
        self._run.check_memory(self.config, model)
        return model

    def estimate(self, work: Work | None = None) -> Estimate:
        """Return the memory that the run needs, and the time that `work` takes; see `tfmeta.estimate`."""
        return estimate(self.config, self.model, self._run.shapes, self._run.cores, work)

    @functools.cached_property
    def client_data(self) -> "ClientData":
        """The clients' images, as shards."""
        from tfmeta.federated.client_data import ClientData

        return ClientData(self.bank, self.partition, self.trigger, self.config, self.cache / "shards")

    @functools.cached_property
    def setting(self) -> "Setting":
        """What all clients share."""
        model = self.model  # first, so that TensorFlow is imported quietly
        from tfmeta.federated.clients import Setting

        return Setting(model, self.client_data.capacity, self.config)

    def federation(self) -> "TffFederation | InProcessFederation":
        """Return the federation; start TFF's worker if it is needed and does not run yet."""
        if self._run.federation is None:
            log = self.results / "logs" / "tff-worker.log"
            self._run.federation = open_federation(self.setting, log, self._run.limits)
        return self._run.federation

    @property
    def measured_users(self) -> tuple[int, ...]:
        """The benign users whose tasks experiments measure: the first `evaluation.users`."""
        return self.partition.benign[: self.config.evaluation.users]

    def timeline(self, case: str) -> "Timeline":
        """Return the timeline of a case's models; cases (b) and (c) share one."""
        check_known("case", case, CASES)
        known = rounds.knows_backdoor(case)
        if known not in self._run.timelines:
            setting, models, about = self.setting, self.results / "models", functools.cache(self.identity)
            from tfmeta.federated.timeline import Timeline

            self._run.timelines[known] = Timeline(
                setting, self.client_data, about, models, self.federation, known, self.stored
            )
        return self._run.timelines[known]

    def identity(self, stage: str, defence: "Defence | None" = None) -> dict[str, Any]:
        """Return what decides a stage's numbers beside the configuration, for manifests.

        Args:
            stage: A stage's name.
            defence: The defence that is measured, if one is.
        """
        data = {"dataset": self.bank.dataset, "digest": self.bank.digest}
        return data | identity(self.config, stage, self.bank.dataset, self.partition.digest, defence)

    def weights(self, model: str | int = "attacked", *, case: str = "a") -> list[np.ndarray]:
        """Return the weights (float32 arrays) of a model of the timeline, training what is missing up to it.

        `model` is "pretrained", "before_attack", "attacked", or a round's number; `case` is "a", "b" or "c".
        """
        return self.timeline(case).weights(rounds.number_of(model, self.config))

    def tasks(self, case: str, user: int | None) -> "Tasks":
        """Return a benign user's tasks in a case; `user` None: the meta-test tasks. Variants share what is the same."""
        check_known("case", case, CASES)
        from tfmeta.meta_learning import tasks

        key = (self.config.evaluation, user, user is not None and case == "c")  # cases (a) and (b) have the same tasks
        if key not in self._run.tasks:
            self._run.check_memory(self.config)
            self._run.tasks[key] = tasks.of(self.bank, self.partition, self.trigger, self.config, user, case)
        return self._run.tasks[key]

    def accuracies(
        self, weights: list[np.ndarray] | np.ndarray, case: str, user: int | None,
        defence: Any = None, points: Sequence[int] | None = None,
        report: Callable[[int], None] = lambda done: None,
    ) -> dict[str, np.ndarray]:  # fmt: skip
        """Adapt weights to a user's tasks; return accuracies float32 [points, tasks] by metric.

        Args:
            weights: The meta-model's weights; or float32 [tasks, size], a vector for each task.
            case: "a", "b" or "c"; it does not matter for the meta-test tasks.
            user: A benign user's number, such as 2; or None for the meta-test tasks.
            defence: A defence: a name, an object, or a function like `Defence.adapt`; by default the simulation's.
            points: Iterations to measure at; by default `evaluation.points_upto(fine_tuning_steps)`.
            report: Called with the number of tasks done since the last call.
        """
        model = self.model
        from tfmeta.meta_learning import evaluation
        from tfmeta.meta_learning.adaptation import AdaptationSettings

        settings, tasks, points = AdaptationSettings.of(self.config), self.tasks(case, user), points or self._points()
        given = settings, weights, tasks, points, self.defence(defence), report, self._run.limits.workers
        return evaluation.measure(model, *given)

    def measure(
        self, weights: list[np.ndarray], *, case: str = "a", user: int | None = 2,
        defence: Any = None, points: Sequence[int] | None = None,
    ) -> "pd.DataFrame":  # fmt: skip
        """Adapt weights to a user's tasks; return a tidy table, one row per iteration, task and metric.

        Arguments as in `accuracies`. The columns are case, user, defence, iteration, task, metric and accuracy.
        """
        from tfmeta.meta_learning.evaluation import table

        points, used = points or self._points(), self.defence(defence)
        found = self.accuracies(weights, case, user, used, points)
        found = {"meta_test": found["main"]} if user is None else found
        return table(found, points, case=case, user=user, defence=used.NAME)

    def _points(self):
        from tfmeta.meta_learning.evaluation import points_upto

        return points_upto(self.config.evaluation.fine_tuning_steps)

    def bar(self, total: int, description: str, unit: str = "task", initial: int = 0) -> AbstractContextManager:
        """Return a progress bar; see `progress.bar`."""
        return progress.bar(total, description, unit, initial=initial)
