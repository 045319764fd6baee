"""What a configuration field knows about itself: meaning, paper symbol, source, range, and the stage it decides."""

import dataclasses
import difflib
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from tfmeta.errors import ConfigError

# The stages of a run, in order. A model is stored under the fields of its own and of earlier stages, so changing how
# tasks are evaluated never trains a model again.
STAGES = ("partition", "pretraining", "attack", "rounds", "evaluation")
# The sizes of numbers, beside 0, that float32 holds in full. TensorFlow takes smaller ones for 0, which numpy does not.
SMALLEST, LARGEST = 2.0**-126, (2 - 2**-23) * 2.0**127
LARGEST_SEED = 2**31 - 1  # Keras initializers take seeds up to a thousand times this
_BITS = 63  # of the largest integer of numpy and TensorFlow, beside its sign


def number(default: float, doc: str, low: float, high: float | None = None, **about: Any) -> Any:
    """Return a dataclass field for a number from `low` to `high`; see `_field` for the rest."""
    return _field(default, doc, low=low, high=high, **about)


def word(default: Any, doc: str = "", choices: Sequence[str] | Callable[[], Sequence[str]] = (), **about: Any) -> Any:
    """Return a dataclass field for a word (or true/false); `choices` of plug-ins are a function."""
    return _field(default, doc, choices=choices, **about)


def _field(
    default, doc, *, source="ours", stage="", symbol="", above=False, below=False, multiple_of_meta_batch=False,
    **limits,
):  # fmt: skip
    """Make a field with its metadata: meaning, source, stage it decides, symbol in the paper, and limits.

    `above` excludes the lowest value itself, `below` the highest. An option of a plug-in decides the stage of its kind,
    whatever it says.
    `float32` says whether the run computes with it in float32, as it does with all fields but plug-ins' own options.
    A field that is added later gives `legacy`, what the code did before: see `tfmeta.config.legacy`.
    """
    meta = dict(doc=doc, source=source, stage=stage, symbol=symbol, above=above, below=below)
    meta |= dict(whole_meta_batches=multiple_of_meta_batch, low=None, high=None, choices=(), float32=True) | limits
    return dataclasses.field(default=default, metadata=meta)


def restated(name: str, wanted: type, field: dataclasses.Field, **about: Any) -> dataclasses.Field:
    """Return a field like `field` with a name, a type, complete metadata, and other values in it."""
    plain = _field(None, "").metadata
    new = dataclasses.field(default=field.default, metadata={**plain, **field.metadata, **about})
    new.name, new.type = name, wanted
    return new


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """One group of fields; immutable, and checked when it is made.

    Raises:
        ConfigError: a value has the wrong type, range or choice; the message names the field.
    """

    GROUP: ClassVar[str]  # the group's name, which is its module's, as in `--set defence.delta=0.5`

    def __init_subclass__(cls):
        if Group in cls.__bases__:
            cls.GROUP = cls.__module__.rpartition(".")[2]

    def __post_init__(self):
        for field in dataclasses.fields(self):
            name, value = f"{self.GROUP}.{field.name}", getattr(self, field.name)
            object.__setattr__(self, field.name, checked(name, field, value))


def choices_of(field: dataclasses.Field) -> tuple[str, ...]:
    """Return the words that a field takes; none where it takes any value of its type."""
    choices = field.metadata["choices"]
    return tuple(choices() if callable(choices) else choices)


def checked(name: str, field: dataclasses.Field, value: Any) -> Any:
    """Return `value` in the field's type.

    Raises:
        ConfigError: the value does not fit type, range or choices.
    """
    meta, wanted = field.metadata, field.type
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            value = float("inf")  # refused below
    said = f"{name} = {_shown(value)} ({meta['doc']})"
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise ConfigError(f"{said}: give {allowed(field)}")
    if isinstance(value, str) and not value.isprintable():
        raise ConfigError(f"{said}: give text that can be printed, in one line")
    choices = choices_of(field)
    if choices and value not in choices:
        near = difflib.get_close_matches(value, choices, n=1)
        own = ", or load your own with --plugin FILE" if callable(meta["choices"]) and not near else ""
        raise ConfigError(f"{said}: {f'did you mean {near[0]}? ' if near else ''}give {allowed(field)}{own}")
    low, high = meta["low"], meta["high"]
    # written so that a NaN fails every comparison
    if low is not None and not (value > low if meta["above"] else value >= low):
        raise ConfigError(f"{said}: give {allowed(field)}")
    if high is not None and not (value < high if meta["below"] else value <= high):
        raise ConfigError(f"{said}: give {allowed(field)}")
    if wanted is float and not math.isfinite(value):
        raise ConfigError(f"{said}: give a finite number")
    if wanted is float and meta["float32"] and (wrong := lost_in_float32(value)):
        raise ConfigError(f"{said}: {wrong}")
    if wanted is int and value.bit_length() > _BITS:  # an option of a plug-in without bounds
        raise ConfigError(f"{said}: give a number of at most {_BITS} bits")
    return value


def lost_in_float32(value: float) -> str:
    """Return what is wrong with a finite number that is computed with in float32; empty if nothing is."""
    if 0 < abs(value) < SMALLEST:
        return f"in float32, which runs compute in, this is 0; give a number of at least {SMALLEST:.3g}"
    if abs(value) > LARGEST:
        return f"in float32, which runs compute in, this is infinity; give a number of at most {LARGEST:.3g}"
    return ""


def _shown(value):
    """Return a value as a message quotes it; Python refuses to print numbers of many digits."""
    if isinstance(value, int) and value.bit_length() > 4 * _BITS:
        return f"a number of {value.bit_length()} bits"
    return repr(value)


def allowed(field: dataclasses.Field) -> str:
    """Return the values that a field takes, in words, for messages and for `tfmeta config`."""
    meta, choices = field.metadata, choices_of(field)
    if choices:
        return "one of " + ", ".join(choices)
    kind = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[field.type]
    if meta["low"] is None:
        return kind
    low, high = (f"{bound:g}" if isinstance(bound, float) else bound for bound in (meta["low"], meta["high"]))
    upper = "" if high is None else f" and {'below' if meta['below'] else 'at most'} {high}"
    if meta["above"]:
        return f"{kind} above {low}{upper}"
    if high is None or meta["below"]:
        return f"{kind}, at least {low}{upper}"
    return f"{kind} from {low} to {high}"
