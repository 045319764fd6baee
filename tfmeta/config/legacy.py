"""Fields that were added later: what runs count as that were stored before a field existed.

Such a field declares `legacy=`, what the code did before there was the field, whatever its default becomes. An option
of a plug-in needs none: it counts as its default, since a change of that is a change of the plug-in's code.
"""

from collections.abc import Mapping
from typing import Any

from tfmeta import registry
from tfmeta.config.config import fields


def values() -> dict[str, Any]:
    """Return what stored fields count as that are missing, by full name."""
    # not one that several plug-ins have with other defaults: what is stored does not say whose it was
    options = {name: field for name, field in registry.options().items() if _is_default_of_all(name, field)}
    declared = {name: field.metadata["legacy"] for name, field in fields().items() if "legacy" in field.metadata}
    return {name: field.default for name, field in options.items()} | declared


def _is_default_of_all(name, field):
    return all(other.default == field.default for other in registry.declared(name).values())


def completed(stored: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored configuration with the fields that it lacks, and that `here` has, at their legacy values.

    Args:
        stored: Values by full name, or by group.
        here: The same of the present configuration.
    """
    legacy, done = values(), dict(stored)
    for name, value in here.items():
        if isinstance(value, Mapping) and isinstance(stored.get(name, {}), Mapping):
            there = stored.get(name, {})
            missing = {key for key in value if key not in there and f"{name}.{key}" in legacy}
            if name in stored or missing:
                done[name] = {**there, **{key: legacy[f"{name}.{key}"] for key in sorted(missing)}}
        elif name not in stored and name in legacy:
            done[name] = legacy[name]
    return done


def without(fields_by_name: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields by full name without those that have their legacy value, as a run from before them has it."""
    legacy = values()
    return {name: value for name, value in fields_by_name.items() if name not in legacy or value != legacy[name]}


def complete(config: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a stored configuration, by group, with the declared legacy values of fields that its groups lack."""
    declared: dict[str, dict[str, Any]] = {}
    for name, field in fields().items():
        group, _, bare = name.partition(".")
        if "legacy" in field.metadata and group in config:
            declared.setdefault(group, {})[bare] = field.metadata["legacy"]
    return completed(config, declared)
