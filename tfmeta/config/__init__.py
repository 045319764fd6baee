"""The configuration of a run: fields, profiles, and what the command line overrides."""

import dataclasses
import json

from tfmeta.config.fields import STAGES, Config, checked
from tfmeta.config.profiles import PROFILE_NAMES, PROFILES
from tfmeta.errors import ConfigError

__all__ = [
    "PROFILES",
    "PROFILE_NAMES",
    "STAGES",
    "Config",
    "describe",
    "difference",
    "make_config",
    "parse_settings",
    "tag",
]

# Python's keyword cannot be a field's name; on the command line it is the ledger's.
_ALIASES = {"lambda": "lambda_"}


def make_config(dataset, profile="quick", **overrides):
    """Return the ``Config`` of a profile on a data set, with single fields overridden.

    Raises ``ConfigError`` for an unknown data set, profile or field, and for a value out of its range.
    """
    if dataset not in PROFILES:
        raise ConfigError(f"unknown data set {dataset!r}: choose one of {', '.join(PROFILES)}")
    if profile not in PROFILES[dataset]:
        raise ConfigError(f"unknown profile {profile!r}: choose one of {', '.join(PROFILE_NAMES)}")
    fields = {field.name: field for field in dataclasses.fields(Config)}
    for name in overrides:
        if name not in fields:
            raise ConfigError(f"unknown field {name!r}: the fields are {', '.join(fields)}")
    return Config(**{**PROFILES[dataset][profile], **overrides})


def parse_settings(settings):
    """Read ``field=value`` words, as ``--set`` takes them, into a dict of overrides.

    Raises ``ConfigError`` that names the word, for an unknown field or a value of the wrong kind.
    """
    fields = {field.name: field for field in dataclasses.fields(Config)}
    overrides = {}
    for word in settings:
        name, equals, text = word.partition("=")
        name = _ALIASES.get(name.strip(), name.strip())
        if not equals:
            raise ConfigError(f"--set {word!r}: write it as field=value")
        if name not in fields:
            raise ConfigError(f"--set {word!r}: unknown field {name!r}; the fields are {', '.join(fields)}")
        overrides[name] = checked(fields[name], _parse(text.strip()))
    return overrides


def _parse(text):
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # also what is too long or too deep for Python to read
        return {"True": True, "False": False}.get(text, text)


def tag(dataset, profile, config):
    """Return the short tag of a run whose fields differ from its profile's, or None where none does."""
    return difference(make_config(dataset, profile), config)


def difference(plain, config):
    """Return what tells ``config`` from ``plain`` as one word for a file's name, or None where nothing does.

    Readable while it is short (``seed7``, ``lambda_5.0-seed7``), else a digest of the differences.
    """
    import hashlib

    plain = plain.to_dict()
    differing = {name: value for name, value in config.to_dict().items() if value != plain[name]}
    if not differing:
        return None
    words = "-".join(
        f"{name.rstrip('_')}{'_' if isinstance(value, (str, float)) else ''}{value}"
        for name, value in sorted(differing.items())
    )
    if len(words) <= 40 and all(c.isalnum() or c in "-_." for c in words):
        return words
    return "set" + hashlib.sha256(json.dumps(differing, sort_keys=True).encode()).hexdigest()[:10]


def describe(config):
    """Yield (name, value, meaning, source) of every field, for people."""
    for field in dataclasses.fields(config):
        yield field.name, getattr(config, field.name), field.metadata["doc"], field.metadata["source"]
