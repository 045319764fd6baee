"""Hypothesis strategies for settings: ordinary and extreme values of every field, and values of other types."""

import dataclasses
from typing import Any

from hypothesis import strategies as st

from tfmeta.config import fields
from tfmeta.config.fields import choices_of

HUGE = (10**6, 10**9, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 10**18, 10**30, -1, -(2**63))
ODD_FLOATS = (
    0.0, -0.0, 5e-324, 1e-320, 1e-45, 1e-38, 1e-12, 0.1, 0.5, 1.0, 1e6, 3e38, 3.5e38, 1e300,
    float("nan"), float("inf"), float("-inf"), -1.0,
)  # fmt: skip
WORDS = (
    "", " ", "nan", "*", "conv*", "once", "every-5", "2,4", "every-1", "every-999999999", "2,999999999",
    "../..", "\x1b[2J", "a\nb", "é" * 200,
)  # fmt: skip
OTHERS = (None, True, "2", 2.5, [1], {"a": 1}, b"2", 2 + 1j)


def ordinary(field: dataclasses.Field) -> st.SearchStrategy:
    """Return small and allowed values of a field, with which a run takes seconds."""
    low, high, default = field.metadata["low"], field.metadata["high"], field.default
    if choices := choices_of(field):
        return st.sampled_from(choices)
    if field.type is bool:
        return st.booleans()
    if field.type is str:
        return st.sampled_from([default, "once", "every-2", "2,4", "*", "conv*"])
    numbers = [low, *(low + step for step in (1, 2, 3, 5, 10)), min(default, low + 20)]
    if field.type is float:
        numbers = [low, 1e-6, 0.01, 0.1, 0.5, 1.0, default]
    return st.sampled_from([number for number in numbers if high is None or number <= high])


def large(field: dataclasses.Field) -> st.SearchStrategy:
    """Return allowed values of a field up to its highest, so that runs of every size are drawn."""
    low, high = field.metadata["low"], field.metadata["high"]
    if field.type is not int or high is None:
        return ordinary(field)
    sizes = [low, high, *(low + 10**power for power in range(10) if low + 10**power <= high)]
    return st.sampled_from(sizes)


def extreme(field: dataclasses.Field) -> st.SearchStrategy:
    """Return values at and beyond a field's limits, and values of other types."""
    if field.type is str or choices_of(field):
        return st.sampled_from(WORDS) | st.text(max_size=20) | st.sampled_from(OTHERS)
    limits = [value for value in (field.metadata["low"], field.metadata["high"]) if value is not None]
    near = [limit + step for limit in limits for step in (-1, 0, 1)] + [limit * 0.999 for limit in limits]
    plain = st.integers() if field.type is int else st.floats()
    return st.sampled_from([*near, *HUGE, *ODD_FLOATS]) | plain | st.sampled_from(OTHERS)


@st.composite
def settings(draw: Any, values: tuple = (ordinary, extreme), most: int = 6, of: tuple = ()) -> dict[str, Any]:
    """Return values of some fields, by full name; of `of` if given."""
    every = fields()
    names = draw(st.lists(st.sampled_from(of or sorted(every)), min_size=1, max_size=most, unique=True))
    return {name: draw(st.one_of([kind(every[name]) for kind in values])) for name in names}
