"""Fields of the group `trigger`: the pattern that the attacker stamps on images."""

import dataclasses
import functools

from tfmeta import registry
from tfmeta.config.fields import Group, number, word
from tfmeta.config.limits import MOST_PIXELS

# The two colours of a pattern, uint8 RGB. Pairs of complementary colours are for colour images only.
COLORS = {
    "white-black": ((255, 255, 255), (0, 0, 0)),
    "black-white": ((0, 0, 0), (255, 255, 255)),
    "magenta-green": ((255, 0, 255), (0, 255, 0)),
    "red-cyan": ((255, 0, 0), (0, 255, 255)),
    "yellow-blue": ((255, 255, 0), (0, 0, 255)),
}

_number = functools.partial(number, stage="attack", source="ledger 34")
_word = functools.partial(word, stage="attack", source="ledger 34")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TriggerConfig(Group):
    """The pattern that the attacker stamps on images."""

    pattern: str = _word("checker", "the trigger's pattern", functools.partial(registry.names, "triggers"))
    size: int = _number(4, "side of the trigger in pixels", 1, MOST_PIXELS)
    margin: int = _number(1, "distance from the trigger to the image's edges in pixels", 0, MOST_PIXELS)
    corner: str = _word(
        "lower-right", "corner of the image", ("lower-right", "lower-left", "upper-right", "upper-left")
    )
    cell: int = _number(1, "side of the cells that make up the pattern, in pixels", 1, MOST_PIXELS)
    color: str = _word("white-black", "the two colours of the pattern", tuple(COLORS))
