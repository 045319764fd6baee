"""`Config`: all fields of an experiment, in groups, immutable and checked together."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from tfmeta import registry
from tfmeta.config.attack import FIRST_ROUND, AttackConfig, attack_rounds
from tfmeta.config.data import DataConfig
from tfmeta.config.defence import EXPERIMENT, DefenceConfig
from tfmeta.config.evaluation import EvaluationConfig
from tfmeta.config.federation import FederationConfig
from tfmeta.config.fields import STAGES, checked, lost_in_float32
from tfmeta.config.meta_learning import MetaLearningConfig
from tfmeta.config.trigger import TriggerConfig
from tfmeta.errors import ConfigError, check_known


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The configuration of one experiment.

    Beside the fields in groups it holds `options`: those of plug-ins' own options that were set, as pairs of full name
    and value, sorted by name.

    Raises:
        ConfigError: fields of different groups do not fit together; the message names them.
    """

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    meta_learning: MetaLearningConfig = dataclasses.field(default_factory=MetaLearningConfig)
    federation: FederationConfig = dataclasses.field(default_factory=FederationConfig)
    attack: AttackConfig = dataclasses.field(default_factory=AttackConfig)
    trigger: TriggerConfig = dataclasses.field(default_factory=TriggerConfig)
    defence: DefenceConfig = dataclasses.field(default_factory=DefenceConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    options: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "options", _own_options(self))
        size = self.meta_learning.meta_batch_size
        for name in self.names():
            if fields()[name].metadata["whole_meta_batches"] and self[name] % size:
                raise ConfigError(
                    f"{name} = {self[name]} is not a multiple of meta_batch_size = {size}: a meta step takes whole "
                    "meta-batches; choose a multiple"
                )
        shots, triggered, target = self.meta_learning.shots, self.attack.triggered_shots, self.attack.target_shots
        if triggered + target != shots:
            raise ConfigError(
                f"attack.triggered_shots = {triggered} and attack.target_shots = {target} must add up to shots = "
                f"{shots}: together they fill the target class of a poisoned episode"
            )
        last = FIRST_ROUND + self.federation.rounds_after
        if (attack := attack_rounds(self.attack.rounds, last)[-1]) > last:
            raise ConfigError(
                f"attack.rounds = {self.attack.rounds!r} names round {attack}, but the last round is {last} "
                f"(federation.rounds_after after round {FIRST_ROUND}): set rounds_after to at least "
                f"{attack - FIRST_ROUND}"
            )
        boost, replacement = self.attack.boost, self.attack.replacement
        if replacement and boost != _group_fields()["attack.boost"].default:
            raise ConfigError(
                f"attack.boost = {boost} would change nothing, because attack.replacement = {replacement} sets the "
                "boost: set one of the two"
            )
        if wrong := lost_in_float32(boost_of(self)):
            raise ConfigError(
                f"attack.replacement = {replacement} over federation.alpha = {self.federation.alpha} makes a boost of "
                f"{boost_of(self):.3g}: {wrong}"
            )
        if self.evaluation.users > len(self.federation.benign):
            raise ConfigError(
                f"evaluation.users = {self.evaluation.users}: the federation has {len(self.federation.benign)} benign "
                "users; choose at most that many"
            )
        if self.evaluation.backdoor_classes_in_task > self.meta_learning.ways - 1:
            raise ConfigError(
                f"backdoor_classes_in_task = {self.evaluation.backdoor_classes_in_task} leaves no room for the target "
                f"class in ways = {self.meta_learning.ways}: choose fewer"
            )
        if self.defence.queries == "split" and self.defence.split_queries >= self.evaluation.task_shots:
            raise ConfigError(
                f"split_queries = {self.defence.split_queries} leaves no support example of the "
                f"{self.evaluation.task_shots} per class (task_shots): choose fewer"
            )

    def __getitem__(self, name: str) -> Any:
        """Return the value of a field or of a plug-in's option by its full name, such as `defence.delta`."""
        if name in _group_fields():
            group, _, field = name.partition(".")
            return getattr(getattr(self, group), field)
        return dict(self.options)[name] if name in dict(self.options) else _option(self, name).default

    def replace(self, settings: Mapping[str, Any]) -> "Config":
        """Return a copy with other values; `settings` maps full field names to values.

        Where settings select another plug-in, the options of the one before are left out.
        """
        groups: dict[str, dict[str, Any]] = {}
        options = {name: value for name, value in self.options if not _replaces_owner(self, name, settings)}
        for name, value in settings.items():
            check_known("field", name, fields())
            group, _, field = name.partition(".")
            owner = groups.setdefault(group, {}) if name in _group_fields() else options
            owner[field if owner is not options else name] = allowed_value(name, value)
        changed = {group: dataclasses.replace(getattr(self, group), **values) for group, values in groups.items()}
        return dataclasses.replace(self, **changed, options=tuple(sorted(options.items())))

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the whole configuration as JSON-ready values, by group; plug-ins' options that were set among them."""
        found = {group: dataclasses.asdict(getattr(self, group)) for group in GROUPS}
        for name, value in self.options:
            group, _, option = name.partition(".")
            found[group][option] = value
        return found

    def names(self) -> list[str]:
        """Return the full names of the fields in groups and of the plug-ins' options that were set."""
        return [*_group_fields(), *dict(self.options)]

    def upto(self, stage: str) -> dict[str, Any]:
        """Return the fields, by full name, that decide a stage: its own and those of earlier stages."""
        last = STAGES.index(stage)
        stages = {name: fields()[name].metadata["stage"] for name in self.names()}
        return {name: self[name] for name, of in stages.items() if STAGES.index(of) <= last}


GROUPS: dict[str, type] = {field.name: field.type for field in dataclasses.fields(Config) if field.name != "options"}


def fields() -> dict[str, dataclasses.Field]:
    """Return every field by its full name, such as `defence.delta`; plug-ins' own options come last."""
    return _group_fields() | registry.options()


@functools.cache
def _group_fields() -> dict[str, dataclasses.Field]:
    return {f"{group}.{field.name}": field for group, kind in GROUPS.items() for field in dataclasses.fields(kind)}


def boost_of(config: Config) -> float:
    """Return an attacker's boost, lambda: `attack.boost`, or what `attack.replacement` asks for.

    All attackers take part in a round of the attack, so lambda times alpha is then `replacement` over all of them.
    """
    federation, replacement = config.federation, config.attack.replacement
    return replacement / (federation.alpha * federation.attackers) if replacement else config.attack.boost


def allowed_value(name: str, value: Any) -> Any:
    """Return a value in the type of a field or option, given by its full name.

    Several plug-ins may have an option of one name. Then one of them must allow the value, which stays as it is:
    `Config` knows which plug-in is chosen.

    Raises:
        ConfigError: the value does not fit type, range or choices.
    """
    if name in _group_fields():
        return checked(name, _group_fields()[name], value)
    refused, owners = None, registry.declared(name)
    for field in owners.values():
        try:
            converted = checked(name, field, value)
            return converted if len(owners) == 1 else value
        except ConfigError as error:
            refused = refused or error
    raise refused or ConfigError(f"no plug-in has an option {name}")


def _option(config: Config, name: str) -> dataclasses.Field:
    """Return an option as the selected plug-in defines it; if it has no such option, as any other does."""
    kind, of_plugin = _kind_of(name), registry.declared(name)
    selector = registry.KINDS[kind].selector
    return of_plugin.get(config[selector] if selector in _group_fields() else None) or next(iter(of_plugin.values()))


def _own_options(config: Config) -> tuple[tuple[str, Any], ...]:
    """Return the options that were set to other values than their defaults, in their types, sorted by full name.

    Raises:
        ConfigError: the selected plug-in does not have an option, or does not allow its value.
    """
    found = {}
    for name, value in config.options:
        about = registry.KINDS[_kind_of(name)]
        # a data set is selected elsewhere, and a defence may be the experiment's own
        plugin = config[about.selector] if about.selector in _group_fields() else None
        if plugin in registry.names(_kind_of(name)) and plugin not in registry.declared(name):
            known = ", ".join(registry.options_of(_kind_of(name), plugin)) or "none"
            owners = f"{' and '.join(registry.declared(name))} has it (choose it with {about.selector})"
            raise ConfigError(
                f"{name}: the {about.what} {plugin} has no such option (its own options: {known}); {owners}"
            )
        owners = registry.declared(name)
        if plugin == EXPERIMENT and not any(registry.is_built_in("defences", owner) for owner in owners):
            raise ConfigError(not_chosen(name))  # the defence of an experiment is a built-in one
        value = checked(name, _option(config, name), value)
        if value != _option(config, name).default or plugin not in registry.declared(name):
            found[name] = value
    return tuple(sorted(found.items()))


def not_chosen(name: str) -> str:
    """Return the message about an option, by full name, of a plug-in that is not chosen: it would change nothing."""
    about, owner = registry.KINDS[_kind_of(name)], next(iter(registry.declared(name)))
    argument = about.group if about.selector else "dataset"
    return (
        f"{name} is an option of the {about.what} {owner}, which is not chosen: add --{argument} {owner} (in Python "
        f"{argument}={owner!r})"
    )


def _replaces_owner(config: Config, name: str, settings: Mapping[str, Any]) -> bool:
    """Return whether settings select another plug-in than the one whose option `name` is set in a configuration."""
    selector = registry.KINDS[_kind_of(name)].selector
    return selector in settings and settings[selector] != config[selector] != EXPERIMENT


def _kind_of(name: str) -> str:
    """Return the kind of the plug-ins whose options are in the group of a full name."""
    return next(kind for kind, about in registry.KINDS.items() if about.group == name.partition(".")[0])
