"""Fields as people write them (`delta=0.5`, `lambda=5`, `attack.episodes=100`), and configurations made of them."""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from tfmeta import registry
from tfmeta.config.config import GROUPS, Config, allowed_value, fields, not_chosen
from tfmeta.config.profiles import PROFILE_NAMES, profile_settings
from tfmeta.errors import ConfigError, check_known


def make_config(dataset: str, profile: str = "quick", /, **overrides: Any) -> Config:
    """Return the configuration of a profile on a data set, with some fields overridden.

    Where `federation.clients_per_round` is given and `federation.alpha` is not, alpha is 1 / clients_per_round.

    Args:
        dataset: A data set's name.
        profile: One of `PROFILE_NAMES`.
        **overrides: Values by field name, in any form that `resolve` understands.

    Raises:
        ConfigError: the data set, profile or field is unknown, a value is out of its range, or an option of a plug-in
            is set that is not chosen.
    """
    check_known("profile", profile, PROFILE_NAMES)
    given = {**profile_settings(dataset, profile), **resolve_all(overrides)}
    config = Config().replace(given)
    if "federation.clients_per_round" in given and "federation.alpha" not in given:
        config = config.replace({"federation.alpha": 1 / config.federation.clients_per_round})
    for name, _ in config.options:
        if name.partition(".")[0] == registry.KINDS["datasets"].group and dataset not in registry.declared(name):
            raise ConfigError(not_chosen(name))
    return config


def resolve(name: str) -> str:
    """Return a field's full name.

    Args:
        name: The full name (`attack.episodes`), the same as a Python keyword (`attack_episodes`), the bare name where
            only one group has it (`delta`), the paper's symbol where it is unique (`lambda`), or `attack` and `defence`
            for the plug-in's name.

    Raises:
        ConfigError: no field, or more than one, has that name.
    """
    if name in fields():
        return name
    for found in (
        [full for full in fields() if full.replace(".", "_") == name],
        [full for full in fields() if full.partition(".")[2] == name],
        [full for full, field in fields().items() if name and field.metadata["symbol"] == name],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(f"field {name!r} is ambiguous: write {' or '.join(found)}")
    if f"{name}.name" in fields():  # the plug-in itself: attack=neurotoxin
        return f"{name}.name"
    if name in GROUPS:
        inside = ", ".join(full for full in fields() if full.startswith(f"{name}."))
        raise ConfigError(f"{name!r} is a group of fields, not a field: name one of {inside}")
    near = difflib.get_close_matches(name, [*fields(), *(full.partition(".")[2] for full in fields())], n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(f"unknown field {name!r}: {meant}`tfmeta config` lists all fields")


def resolve_all(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with every name resolved to its full name.

    Raises:
        ConfigError: a name is unknown or ambiguous, or two names mean one field and have different values.
    """
    return merged(*({resolve(name): value} for name, value in settings.items()))


def merged(*settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by full name in one mapping; `ConfigError` if two give one field different values."""
    found: dict[str, Any] = {}
    for full, value in (item for mapping in settings for item in mapping.items()):
        if full in found and found[full] != value:
            raise ConfigError(f"{full} is given twice, as {found[full]!r} and as {value!r}: give it once")
        found[full] = value
    return found


def parse_settings(words: Iterable[str]) -> dict[str, Any]:
    """Read `field=value` words, as `--set` takes them, into values by full field name.

    Raises:
        ConfigError: a word has no `=`, its field is unknown or ambiguous, or its value is wrong; quotes the word.
    """
    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(f"--set {word!r}: write it as field=value, such as delta=0.5")
        try:
            full = resolve(name.strip())
            found[full] = allowed_value(full, _value(text.strip()))
        except ConfigError as error:
            raise ConfigError(f"--set {word!r}: {error}") from error
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # a word, or what is too long or too deep for Python to read
        return {"True": True, "False": False}.get(text, text)
