"""`Plugin`: what plug-ins of all kinds have in common: a name, options, and the configuration that fills them in."""

import abc
import dataclasses
import functools
import inspect
import re
from typing import Any, ClassVar, Self, dataclass_transform

from tfmeta import registry
from tfmeta.config.config import GROUPS, Config
from tfmeta.config.fields import checked, number, restated, word
from tfmeta.errors import ConfigError, PluginError

_STATE = "state belongs in options: write `factor: float = ...` in the class"
_ASKED = "an option is an int, a float, a str or a bool; give it one of these types"
TYPES = {"int": int, "float": float, "str": str, "bool": bool}


def shared() -> Any:
    """Return an option that is the configuration's field of the same name, such as `defence.delta` for a defence.

    Its value is None until the plug-in is bound to a configuration, unless one is given: `Matching(delta=0.5)`.
    """
    return dataclasses.field(default=None, metadata={"shared": True})


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(number, word, shared))
@dataclasses.dataclass(frozen=True, kw_only=True)
class Plugin(abc.ABC):  # noqa: B024 - each kind's base class has abstract methods
    """Base of all plug-ins. A subclass becomes a frozen dataclass without a decorator; its fields are its options.

    Objects hold their options and nothing else, since objects with equal options are made anew where they are needed.

    Raises:
        PluginError: an option has no default, or one that it does not allow, or is not an int, float, str or bool; or
            the class makes its objects itself.
        ConfigError: an option's value is out of its range; raised when an object is made.
    """

    KIND: ClassVar[str] = ""  # a key of `registry.KINDS`; each kind's base class sets it
    NAME: ClassVar[str] = ""  # the file's, or a notebook class's own in snake case; of a data set with hyphens
    OPTIONS: ClassVar[dict[str, dataclasses.Field]] = {}

    def __init_subclass__(cls, **more: Any):
        super().__init_subclass__(**more)
        if cls.KIND not in registry.KINDS:
            bases = ", ".join(f"{kind.package}.base.{kind.base}" for kind in registry.KINDS.values())
            raise PluginError(f"{cls.__name__} is a plug-in of no kind: derive it from one of {bases}")
        _check_inherited(cls)
        _check_body(cls)
        doc = cls.__doc__
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        cls.__doc__ = doc  # where there is none, a dataclass has its signature
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

    def check_state(self) -> None:
        """Raise `PluginError` if the object holds anything but its options and what a cached property keeps."""
        for name in vars(self).keys() - self.OPTIONS.keys():
            if not isinstance(inspect.getattr_static(type(self), name, None), functools.cached_property):
                raise PluginError(f"an object of {type(self).__name__} holds {name}: {_STATE}")

    def bind(self, config: Config) -> Self:
        """Return a copy whose shared options that were not given have the configuration's values."""
        missing = {name: config[f"{self.group()}.{name}"] for name in self.OPTIONS if getattr(self, name) is None}
        return dataclasses.replace(self, **missing)

    def settings(self) -> dict[str, Any]:
        """Return the options that differ from what a configuration has by itself, by the field's full name."""
        given = {name: getattr(self, name) for name in self.OPTIONS}
        return {f"{self.group()}.{name}": value for name, value in given.items() if value != self.OPTIONS[name].default}


def option_of(kind: str, where: str, name: str, wanted: type | None, field: dataclasses.Field) -> dataclasses.Field:
    """Return an option's field with its type and complete metadata.

    Args:
        kind: The kind of the plug-in that has it.
        where: What a message calls it.
        name: Its name.
        wanted: Its type; None for a type that an option cannot have.
        field: The dataclass field as the plug-in defines it; for a shared option the metadata says "shared".

    Raises:
        PluginError: the option has no default or one that it does not allow, another type, or the group of the
            configuration has no such field to share.
    """
    about = registry.KINDS[kind]
    if field.metadata.get("shared"):
        of_group = {one.name: one for one in dataclasses.fields(GROUPS[about.group])}
        if name not in of_group:
            known = ", ".join(of_group)
            raise PluginError(f"{where}: the group {about.group} has no such field to share; it has {known}")
        own = restated(name, of_group[name].type, of_group[name], shared=True)
        own.default = None
        return own
    if wanted not in TYPES.values():
        raise PluginError(f"{where}: {_ASKED}")
    if field.default is dataclasses.MISSING:
        raise PluginError(f"{where}: an option needs a default, such as `{name}: {wanted.__name__} = ...`")
    # what a plug-in computes with its own options, and in which precision, is its own to say
    own = restated(name, wanted, field, stage=about.stage, float32=False)
    try:
        own.default = checked("its default", own, field.default)
    except ConfigError as error:
        raise PluginError(f"{where}: {error}") from error
    return own


def _name_of(cls):
    """Return the name of a plug-in: that of its file."""
    module = cls.__module__.rpartition(".")[2]
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower() if module == "__main__" else module
    return name.replace("_", "-") if cls.KIND == "datasets" else name


def _option(cls, field):
    """Return an option's field, its own or the inherited one."""
    if field.name not in inspect.get_annotations(cls):
        return _inherited(cls, field.name)
    wanted = field.type if isinstance(field.type, type) else TYPES.get(str(field.type).strip("'\""))
    return option_of(cls.KIND, f"{cls.__name__}.{field.name}", field.name, wanted, field)


def _inherited(cls, name):
    return next((one.OPTIONS[name] for one in cls.__mro__[1:] if name in getattr(one, "OPTIONS", {})), None)


def _check_inherited(cls):
    """Raise `PluginError` for an inherited option's new default without a type, which a dataclass would ignore."""
    for name in vars(cls).keys() - inspect.get_annotations(cls).keys():
        option = _inherited(cls, name)
        if option is not None:
            line = f"`{name}: {option.type.__name__} = ...`"
            raise PluginError(f"{cls.__name__}.{name} is an inherited option: write its new default as {line}")


def _check_body(cls):
    """Raise `PluginError` for a class that makes its objects itself, or has an option that a dataclass refuses."""
    own = {"__init__": "__init__" in vars(cls), "__new__": cls.__new__ is not object.__new__,
           "__post_init__": cls.__post_init__ is not Plugin.__post_init__}  # fmt: skip
    for name in (name for name, defined in own.items() if defined):
        raise PluginError(f"{cls.__name__} defines {name}, but a plug-in has options alone: {_STATE}")
    for name, annotation in inspect.get_annotations(cls).items():
        if isinstance(vars(cls).get(name), (list, dict, set)) and "ClassVar" not in str(annotation):
            raise PluginError(f"{cls.__name__}.{name}: {_ASKED}")
