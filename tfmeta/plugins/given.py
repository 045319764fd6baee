"""Plug-ins given as objects: what they mean as settings of a configuration."""

import inspect
import re
import sys
from typing import Any

from tfmeta import registry
from tfmeta.errors import ConfigError, PluginError
from tfmeta.plugins import installed, outside
from tfmeta.plugins.base import Plugin

_made: dict[int, tuple[Any, type[Plugin]]] = {}  # by the identity of what it is made of, which is kept alive


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
        PluginError: it does not keep its kind's contract, or is an object that holds more than its options.
        ModelError: it is a Keras model that cannot be used.
    """
    if isinstance(given, type) and issubclass(given, Plugin):
        given = given()
    about = registry.KINDS[kind]
    if isinstance(given, Plugin):
        if kind != given.KIND:
            other = registry.KINDS[given.KIND].what
            raise ConfigError(f"{type(given).__name__} is of another kind: {other}, where {about.what} is asked for")
        given.check_state()
        _register(type(given))
        return given
    if id(given) not in _made:
        made = _wrapped(kind, given)
        # the name of a Keras model tells its architecture, so two of one name are the same
        outside.register(made, name=made.NAME if kind == "models" else _free(kind, made.NAME))
        _made[id(given)] = given, made
    return _made[id(given)][1]()


def _register(plugin):
    """Register a class unless it is built in or registered already."""
    kind, name = plugin.KIND, plugin.NAME
    package = registry.KINDS[kind].package
    if plugin.__module__.startswith(f"{package}.") and registry.is_built_in(kind, name):
        return
    name = installed.name_of(kind, plugin.__module__, plugin.__qualname__) or name
    if registry.outside_class(kind, name) is not plugin:
        if installed.points(kind).get(name):
            installed.load(kind, name)
        else:
            # one of a function's body may be another each time that the function is called
            outside.register(plugin, name=_free(kind, name) if "<locals>" in plugin.__qualname__ else name)


def _free(kind, name):
    """Return a name that no other plug-in has: the given one, or that with a number."""
    number, free = 1, name
    while registry.owner(kind, free):
        number += 1
        free = f"{name}_{number}"
    return free


def _wrapped(kind, given):
    """Return a plug-in's class that is made of an object of another sort."""
    if kind == "defences" and callable(given):
        return _of_function(given)
    if kind == "aggregations" and hasattr(given, "create"):
        return _of_factory(given)
    if kind == "models" and _is_keras_model(given):
        from tfmeta.models.architecture import plugin_of_keras

        return plugin_of_keras(given)
    what = registry.KINDS[kind]
    raise ConfigError(f"{given!r} is no {what.what}: give a name, or an object of a class derived from {what.base}")


def _is_keras_model(given):
    """Tell a Keras model by the names of its classes, so that no other object loads TensorFlow."""
    names = {(one.__module__.partition(".")[0], one.__name__) for one in type(given).__mro__}
    return ("keras", "Model") in names


def _of_function(given):
    """Return the class of a defence that calls a function."""
    from tfmeta.defences.base import Defence

    asked = list(inspect.signature(Defence.adapt).parameters)[1:]
    try:
        inspect.signature(given).bind(*asked)
    except (TypeError, ValueError) as error:
        raise PluginError(f"{given!r} is no defence ({error}); a function needs {', '.join(asked)}") from error

    def adapt(self, model, evaluation, weights, support, labels, query_groups, seed, points):
        return given(model, evaluation, weights, support, labels, query_groups, seed, points)

    return _class(Defence, given, adapt=adapt)


def _of_factory(given):
    """Return the class of an aggregation that is a factory of TFF."""
    from tfmeta.aggregations.base import Aggregation

    wanted = sys.modules["tensorflow_federated"].aggregators.UnweightedAggregationFactory
    if not isinstance(given, wanted):
        raise PluginError(f"{type(given).__name__} is not an unweighted aggregation factory of TFF: give one")

    def numpy_rule(self, updates):
        raise ConfigError(f"{type(given).__name__} runs in TFF only: leave out runtime=inprocess")

    return _class(Aggregation, given, tff_factory=lambda self: given, numpy_rule=numpy_rule)


def _class(base, given, **methods):
    """Return a new plug-in's class named after what it is made of; its `GIVEN` is that."""
    name = getattr(given, "__name__", type(given).__name__)
    name = re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name), flags=re.ASCII).strip("_").lower()
    name = name[:30] if name[:1].isalpha() else "given"
    body = {"__module__": "__main__", "__doc__": getattr(given, "__doc__", None), "GIVEN": given, **methods}
    return type(base)(name, (base,), body)
