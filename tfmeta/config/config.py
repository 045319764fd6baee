"""`Config`: all fields of an experiment, in groups, immutable and checked together."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from tfmeta.config.attack import FIRST_ROUND, AttackConfig, attack_rounds
from tfmeta.config.data import DataConfig
from tfmeta.config.defence import DefenceConfig
from tfmeta.config.evaluation import EvaluationConfig
from tfmeta.config.federation import FederationConfig
from tfmeta.config.fields import STAGES, checked
from tfmeta.config.meta_learning import MetaLearningConfig
from tfmeta.config.trigger import TriggerConfig
from tfmeta.errors import ConfigError, check_known


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The configuration of one experiment.

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

    def __post_init__(self):
        size = self.meta_learning.meta_batch_size
        for name, field in fields().items():
            if field.metadata["whole_meta_batches"] and self[name] % size:
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
        """Return the value of a field by its full name, such as `defence.delta`."""
        group, _, field = name.partition(".")
        return getattr(getattr(self, group), field)

    def replace(self, settings: Mapping[str, Any]) -> "Config":
        """Return a copy with other values; `settings` maps full field names to values."""
        groups: dict[str, dict[str, Any]] = {}
        for name, value in settings.items():
            check_known("field", name, fields())
            group, _, field = name.partition(".")
            groups.setdefault(group, {})[field] = checked(name, fields()[name], value)
        changed = {group: dataclasses.replace(getattr(self, group), **values) for group, values in groups.items()}
        return dataclasses.replace(self, **changed)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the whole configuration as JSON-ready values, by group."""
        return dataclasses.asdict(self)

    def upto(self, stage: str) -> dict[str, Any]:
        """Return the fields, by full name, that decide a stage: its own and those of earlier stages."""
        last = STAGES.index(stage)
        return {name: self[name] for name, field in fields().items() if STAGES.index(field.metadata["stage"]) <= last}


GROUPS: dict[str, type] = {field.name: field.type for field in dataclasses.fields(Config)}


@functools.cache
def fields() -> dict[str, dataclasses.Field]:
    """Return every field by its full name, such as `defence.delta`."""
    return {f"{group}.{field.name}": field for group, kind in GROUPS.items() for field in dataclasses.fields(kind)}
