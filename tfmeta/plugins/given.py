"""Plug-ins given as objects: what they mean as settings of a configuration."""

import logging
import re
from typing import Any

from tfmeta import registry
from tfmeta.errors import ConfigError
from tfmeta.plugins import outside
from tfmeta.plugins.base import Plugin

_log = logging.getLogger(__name__)


def settings_of(kind: str, given: Any) -> dict[str, Any]:
    """Return the settings, by full field name, that select a plug-in.

    Args:
        kind: A key of `registry.KINDS`, but not "datasets", which no field selects.
        given: A name; a plug-in's class or object; or what `plugin_of` turns into one.

    Raises:
        ConfigError: it is none of these.
    """
    selector = registry.KINDS[kind].selector
    if isinstance(given, str):
        return {selector: given}
    plugin = plugin_of(kind, given)
    return {selector: plugin.NAME, **plugin.settings()}


def plugin_of(kind: str, given: Any) -> Plugin:
    """Return a plug-in as an object, and register its class if nobody did.

    Args:
        kind: A key of `registry.KINDS`.
        given: A plug-in's object or class; for a defence also a function with the parameters of `Defence.adapt`
            without `self`; for an aggregation also an unweighted `tff.aggregators` factory; for a model also a Keras
            model.

    Raises:
        ConfigError: it is none of these.
        PluginError: it does not keep its kind's contract.
    """
    if isinstance(given, type) and issubclass(given, Plugin):
        given = given()
    if not isinstance(given, Plugin):
        given = _wrapped(kind, given)()
    about = registry.KINDS[kind]
    if kind != given.KIND:
        raise ConfigError(f"{type(given).__name__} is a {registry.KINDS[given.KIND].what}, not a {about.what}")
    known = given.NAME in registry.names(kind) and registry.find(kind, given.NAME) is type(given)
    if not known:
        outside.register(type(given), name=given.NAME)
    return given


def _wrapped(kind, given):
    """Return a plug-in's class that is made of an object of another sort."""
    if kind == "defences" and callable(given):
        from tfmeta.defences.base import Defence

        def adapt(self, model, evaluation, weights, support, labels, query_groups, seed, points):
            return given(model, evaluation, weights, support, labels, query_groups, seed, points)

        return _class(Defence, given, adapt=adapt)
    if kind == "aggregations" and hasattr(given, "create"):
        from tfmeta.aggregations.base import Aggregation

        def numpy_rule(self, updates):
            raise ConfigError(f"{type(given).__name__} runs in TFF only: leave out runtime=inprocess")

        return _class(Aggregation, given, tff_factory=lambda self: given, numpy_rule=numpy_rule)
    if kind == "models" and hasattr(given, "trainable_weights"):
        from tfmeta.models.architecture import plugin_of_keras

        return plugin_of_keras(given)
    what = registry.KINDS[kind]
    raise ConfigError(f"{given!r} is no {what.what}: give a name, or an object of a class derived from {what.base}")


def _class(base, given, **methods):
    """Return a new plug-in's class named after what it is made of."""
    name = getattr(given, "__name__", type(given).__name__)
    name = re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).strip("_").lower() or "given"
    made = type(base)(name, (base,), {"__module__": "__main__", "__doc__": getattr(given, "__doc__", None), **methods})
    made.GIVEN = given  # what its code is judged by
    return made
