"""`tfmeta check-plugin`: import a file, check its plug-ins' contracts, and run each as a simulation does.

Everything runs on the stand-in data `glyphs` with tiny numbers, in this process, in seconds.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfmeta import registry
from tfmeta.config import make_config
from tfmeta.errors import ConfigError, PluginError, TfmetaError
from tfmeta.plugins import outside
from tfmeta.plugins.base import Plugin
from tfmeta.simulation import Simulation
from tfmeta.utils import progress, threads

# one meta-batch wherever episodes are counted
TINY = {
    "meta_learning.filters": 4, "meta_learning.inner_steps": 2, "federation.runtime": "inprocess",
    "federation.pretraining_rounds": 1, "federation.pretraining_episodes": 5, "federation.round_episodes": 5,
    "federation.rounds_after": 1, "attack.episodes": 5, "attack.checkpoint_episodes": 5, "attack.inner_steps": 2,
    "evaluation.tasks": 2, "evaluation.fine_tuning_steps": 3,
}  # fmt: skip
_POINTS = (0, 3)  # iterations
_IMAGES = {"omniglot": (28, 28, 1), "mini-imagenet": (84, 84, 3)}  # profiles of a data set -> shape of an image


def run(path: Path | str) -> Iterator[str]:
    """Check a file's plug-ins; yield a line after each check that went well, and "ok" at the end.

    Raises:
        PluginError: a check failed; the message names the file's line if it is known.
    """
    progress.quiet_tensorflow()
    path = Path(path).expanduser().resolve()
    plugins = outside.use_file(path)
    for plugin in plugins:
        what = f"{registry.KINDS[plugin.KIND].what} {plugin.NAME}"
        yield f"{what}: {plugin.__name__} keeps the contract; {_options(plugin)}"
        try:
            yield from (f"{what}: {line}" for line in _CHECKS[plugin.KIND](plugin))
        except TfmetaError as error:
            raise PluginError(str(error) if plugin.NAME in str(error) else f"{what}: {error}") from error
        except Exception as error:  # whatever a researcher's code raises
            raise PluginError(outside.failure(error, path, f"failed as {what}")) from error
    yield "ok"


def _options(plugin: type[Plugin]) -> str:
    return f"options: {', '.join(plugin.OPTIONS)}" if plugin.OPTIONS else "no options"


@contextlib.contextmanager
def _simulation(dataset: Any = "glyphs", **plugins: type[Plugin]) -> Iterator[Simulation]:
    with tempfile.TemporaryDirectory() as folder:
        with Simulation(dataset, "smoke", results=folder, **plugins, **TINY) as sim:
            yield sim


def _dataset(plugin: type[Plugin]) -> Iterator[str]:
    with _simulation(plugin) as sim:
        classes, examples, *shape = sim.bank.images.shape
        yield f"opens: {classes} classes of up to {examples} images of {'x'.join(map(str, shape))}"
        yield f"divides its images; target class {sim.bank.names[sim.partition.target_attacker.classes[0]]}"
        weights = sim.weights("attacked")
        yield "trains a tiny model, and attacks it"
        yield from _measures(sim, weights, "fine_tuning")


def _model(plugin: type[Plugin]) -> Iterator[str]:
    with _simulation(model=plugin) as sim:
        weights = sim.weights("pretrained")
        yield f"trains {sum(part.size for part in weights)} weights for a round"
        for defence in ("fine_tuning", "matching"):
            yield from _measures(sim, weights, defence)


def _aggregation(plugin: type[Plugin]) -> Iterator[str]:
    from tfmeta.aggregations.agreement import check_agreement

    threads.side_by_side()  # before TensorFlow's first operation
    check_agreement(plugin().bind(make_config("glyphs", "smoke")))
    yield "its TFF factory and its numpy rule agree"
    with _simulation(aggregation=plugin) as sim:
        sim.weights("attacked")
    yield "aggregates the rounds of a tiny run"


def _trigger(plugin: type[Plugin]) -> Iterator[str]:
    from tfmeta.attacks.triggers.base import tried

    fitting, refused = [], None
    for dataset, shape in _IMAGES.items():
        trigger, size = plugin().bind(make_config(dataset, "smoke")), "x".join(map(str, shape))
        try:
            share = tried(trigger, shape)
        except ConfigError as error:
            if isinstance(error, PluginError):
                raise
            refused = refused or error
            yield f"does not fit images of {size}: {error}"
            continue
        if not share:
            raise PluginError(f"the trigger {trigger.NAME}: stamp changes nothing: models could not see the trigger")
        fitting.append(size)
        yield f"stamps images of {size}; changes {share:.1%} of their pixels"
    if not fitting:
        raise refused


def _attack(plugin: type[Plugin]) -> Iterator[str]:
    with _simulation(attack=plugin) as sim:
        weights = sim.weights("attacked")
        yield "trains on a meta-batch of its episodes, and sends its update in an attacked round"
        yield from _measures(sim, weights, "fine_tuning")


def _defence(plugin: type[Plugin]) -> Iterator[str]:
    with _simulation() as sim:
        weights = sim.model.initial_weights(0)
        yield from _measures(sim, weights, plugin())
        first, second = (sim.accuracies(weights, "a", 2, plugin(), _POINTS) for _ in range(2))
        if any((first[name] != second[name]).any() for name in first):
            raise PluginError("adapt gives other answers the second time: draw everything from its argument seed")
        yield "gives the same answers again"


def _measures(sim: Simulation, weights: list[np.ndarray], defence: Any) -> Iterator[str]:
    """Measure a defence on a user's tasks and on meta-test tasks; yield a line that says so."""
    shares = [sim.accuracies(weights, "a", user, defence, _POINTS)["main"][-1].mean() for user in (2, None)]
    words = "main task {:.0%}, meta-test {:.0%}".format(*shares)
    yield f"{sim.defence(defence).NAME} adapts to tasks in {_POINTS[-1]} steps ({words})"


_CHECKS: dict[str, Callable[[type[Plugin]], Iterator[str]]] = {
    "datasets": _dataset, "models": _model, "aggregations": _aggregation, "triggers": _trigger, "attacks": _attack,
    "defences": _defence,
}  # fmt: skip
