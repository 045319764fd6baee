"""Refusing a run that does not fit the machine, in a sentence that says what to lower."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tfmeta.config import Config, fields
from tfmeta.errors import ConfigError
from tfmeta.estimate import Estimate, Shapes, estimate
from tfmeta.utils import memory as machine

if TYPE_CHECKING:
    from tfmeta.models.base import PureModel

LONGEST = 7 * 24 * 3600.0  # seconds that a run may take before it has to be asked for
LONG = 3600.0  # seconds from which on a run says how long it takes
_UNITS = ((7 * 24 * 3600.0, "weeks"), (24 * 3600.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
_ANYWAY = "start it anyway with --yes (YES=1 for make, allow_large=True in Python)"
_TASKS = "images of the tasks"
_log = logging.getLogger(__name__)


def check_memory(config: Config, model: "PureModel", shapes: Shapes, cores: int) -> None:
    """Raise `ConfigError` if a run needs more memory than is free; arguments as in `estimate`."""
    from tfmeta.estimate import memory  # here and below, since it imports TensorFlow

    alone = {"weights": memory.weights(config, model), _TASKS: shapes.of_tasks(config)}
    _refuse_memory(config, alone)  # first what needs no graph: TensorFlow traces no weights beyond 32 bits
    _refuse_memory(config, estimate(config, model, shapes, cores).memory)


def check_tasks(config: Config, shapes: Shapes) -> None:
    """Raise `ConfigError` if a run's tasks alone need more memory than is free."""
    _refuse_memory(config, {_TASKS: shapes.of_tasks(config)})


def check_time(config: Config, found: Estimate, allowed: bool) -> None:
    """Say how long a long run takes, and raise `ConfigError` for one of over a week unless it is `allowed`."""
    from tfmeta.estimate import time

    total = found.total_seconds
    words = f"about {duration(total)} on this machine (within a factor of two): {_listed(found.seconds, duration)}"
    if total > LONGEST and not allowed:
        raise ConfigError(f"this run would take {words}. {_advice(config, found.seconds, time.PARTS)}, or {_ANYWAY}")
    if total > LONG:
        _log.info("this run takes %s", words)


def duration(seconds: float) -> str:
    """Return a duration in words, such as "3 hours" or "1.5 weeks"."""
    size, unit = next((row for row in _UNITS if seconds >= row[0]), _UNITS[-1])
    number = seconds / size
    shown = f"{number:.1f}".removesuffix(".0") if number < 10 else f"{number:,.0f}"
    return f"{shown} {unit.removesuffix('s') if shown == '1' else unit}"


def size(number: float) -> str:
    """Return a number of bytes in words, such as "1.5 GB"."""
    billions = number / 1e9
    return f"{billions:.1f} GB" if billions < 100 else f"{billions:,.0f} GB"


def _refuse_memory(config, parts):
    from tfmeta.estimate import memory

    needed, free = sum(parts.values()), machine.free()
    if needed > free:
        raise ConfigError(
            f"this run needs about {size(needed)} of memory, and {size(free)} are free: {_listed(parts, size)}. "
            f"{_advice(config, parts, memory.PARTS)}, or {_ANYWAY}"
        )


def _listed(parts, words):
    """Return the parts that matter, the largest first."""
    total = sum(parts.values())
    largest = sorted(parts.items(), key=lambda item: -item[1])
    return ", ".join(f"{words(value)} for {name}" for name, value in largest if value >= 0.1 * total)


def _advice(config: Config, parts: Mapping[str, float], deciding: Mapping[str, Sequence[str]]) -> str:
    """Return which field to lower: of those that decide the largest part, the furthest above its default."""
    largest = next((name for name in sorted(parts, key=parts.get, reverse=True) if deciding[name]), None)
    names = deciding[largest] if largest else ()
    excess = {name: config[name] / max(fields()[name].default, 1) for name in names}
    name = max(excess, key=excess.get, default=None)
    if name is None or excess[name] <= 1:
        return "Choose a smaller network (meta_learning.model and its options) or a smaller profile"
    return f"Lower {name} (now {config[name]})"
