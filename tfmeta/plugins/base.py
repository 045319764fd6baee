"""`Plugin`: what plug-ins of all kinds have in common: a name, options, and the configuration that fills them in."""

import abc
import dataclasses
import inspect
import re
from typing import Any, ClassVar, Self, dataclass_transform

from tfmeta import registry
from tfmeta.config.config import Config
from tfmeta.config.fields import checked, number, restated, word
from tfmeta.errors import PluginError

_TYPES = {"int": int, "float": float, "str": str, "bool": bool}


def shared() -> Any:
    """Return an option that is the configuration's field of the same name, such as `defence.delta` for a defence.

    Its value is None until the plug-in is bound to a configuration, unless one is given: `Matching(delta=0.5)`.
    """
    return dataclasses.field(default=None, metadata={"shared": True})


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(number, word, shared))
@dataclasses.dataclass(frozen=True, kw_only=True)
class Plugin(abc.ABC):  # noqa: B024 - each kind's base class has abstract methods
    """Base of all plug-ins. A subclass is a frozen dataclass without asking; its fields are its options.

    Raises:
        PluginError: an option has no default, or is not a number, a word or true/false.
        ConfigError: an option's value is out of its range; raised when an object is made.
    """

    KIND: ClassVar[str] = ""  # a key of `registry.KINDS`; each kind's base class sets it
    NAME: ClassVar[str] = ""  # the file's name; of a class made in a notebook its own, in small letters
    OPTIONS: ClassVar[dict[str, dataclasses.Field]] = {}

    def __init_subclass__(cls, **more: Any):
        super().__init_subclass__(**more)
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        cls.NAME = _name_of(cls)
        cls.OPTIONS = {field.name: _option(cls, field) for field in dataclasses.fields(cls)}

    def __post_init__(self):
        for name, field in self.OPTIONS.items():
            value = getattr(self, name)
            if not (field.metadata.get("shared") and value is None):
                object.__setattr__(self, name, checked(f"{self.group()}.{name}", field, value))

    @classmethod
    def group(cls) -> str:
        """Return the configuration's group to which the options belong."""
        return registry.KINDS[cls.KIND].group

    def bind(self, config: Config) -> Self:
        """Return a copy whose shared options that were not given have the configuration's values."""
        missing = {name: config[f"{self.group()}.{name}"] for name in self.OPTIONS if getattr(self, name) is None}
        return dataclasses.replace(self, **missing)

    def settings(self) -> dict[str, Any]:
        """Return the options that differ from what a configuration has by itself, by the field's full name."""
        given = {name: getattr(self, name) for name in self.OPTIONS}
        return {f"{self.group()}.{name}": value for name, value in given.items() if value != self.OPTIONS[name].default}


def _name_of(cls):
    """Return the name of a plug-in: that of its file."""
    module = cls.__module__.rpartition(".")[2]
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower() if module == "__main__" else module
    return name.replace("_", "-") if cls.KIND == "datasets" else name


def _option(cls, field):
    """Return an option's field with its type and complete metadata."""
    if field.name not in inspect.get_annotations(cls):  # inherited
        return next(one.OPTIONS[field.name] for one in cls.__mro__[1:] if field.name in getattr(one, "OPTIONS", {}))
    wanted = field.type if isinstance(field.type, type) else _TYPES.get(str(field.type))
    if field.metadata.get("shared"):
        return _of_group(cls, field)
    where = f"{cls.__name__}.{field.name}"
    if wanted not in _TYPES.values():
        raise PluginError(f"{where}: an option is an int, a float, a str or a bool, not {field.type}; change its type")
    if field.default is dataclasses.MISSING:
        raise PluginError(f"{where}: an option needs a default, such as `{field.name}: {wanted.__name__} = ...`")
    return restated(field.name, wanted, field)


def _of_group(cls, field):
    """Return the field for a shared option: the configuration's own, with None as its default."""
    from tfmeta.config.config import GROUPS

    of_group = {one.name: one for one in dataclasses.fields(GROUPS[cls.group()])}
    if field.name not in of_group:
        known, where = ", ".join(of_group), f"{cls.__name__}.{field.name}"
        raise PluginError(f"{where}: the group {cls.group()} has no such field to share; it has {known}")
    own = restated(field.name, of_group[field.name].type, of_group[field.name], shared=True)
    own.default = None
    return own
