"""What tells one configuration from another, in words for file names and captions."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from tfmeta import registry
from tfmeta.config.config import Config, fields

_LONGEST = 50


def changed_fields(plain: Config, config: Config) -> dict[str, Any]:
    """Return the fields, by full name, in which `config` differs from `plain`."""
    names = dict.fromkeys((*config.names(), *plain.names()))
    # an option that one of them has not set has the default of another plug-in there
    set_in_one = dict(config.options).keys() ^ dict(plain.options).keys()
    return {name: config[name] for name in names if config[name] != plain[name] or name in set_in_one}


def tag_of(changed: Mapping[str, Any]) -> str | None:
    """Return what to call changed fields in a file's name, such as `delta=0.5+seed=7`; None where nothing changed.

    A tag that is long, or holds what does not belong in a file's name, ends in a digest of all the fields.

    Args:
        changed: Values by full field name.
    """
    if not changed:
        return None
    order = [*fields(), *sorted(changed)]  # not the mapping's: a stored one is sorted by name
    words = [f"{short_name(name)}={changed[name]}" for name in sorted(changed, key=order.index)]
    whole = "+".join(words)
    if len(whole) <= _LONGEST and re.fullmatch(r"[A-Za-z0-9_.=+-]+", whole):
        return whole
    kept = ""
    for number, word in enumerate(words):
        longer = f"{kept}+{word}" if kept else word
        if len(longer) > _LONGEST:
            more = len(words) - max(number, 1)
            kept = (kept or longer[:_LONGEST]) + (f"+and-{more}-more" if more else "")
            break
        kept = longer
    digest = hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_.=+-]', '_', kept)}-{digest}"


def short_name(name: str) -> str:
    """Return a field's name without its group where no other group has one of that name; `attack` for `attack.name`.

    A plug-in's option keeps its group, so that it does not matter which other plug-ins there are.
    """
    group, _, bare = name.partition(".")
    if bare == "name":
        return group
    of_groups = [other.partition(".")[2] for other in fields() if other not in registry.options()]
    return bare if of_groups.count(bare) == 1 and name not in registry.options() else name
