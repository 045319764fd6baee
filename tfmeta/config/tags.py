"""What tells one configuration from another, in words for file names and captions."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from tfmeta.config.config import Config, fields

_LONGEST_TAG = 60


def changed_fields(plain: Config, config: Config) -> dict[str, Any]:
    """Return the fields, by full name, in which `config` differs from `plain`."""
    return {name: config[name] for name in fields() if config[name] != plain[name]}


def tag_of(changed: Mapping[str, Any]) -> str | None:
    """Return what to call changed fields in a file's name, such as `delta=0.5+seed=7`; None where nothing changed.

    A tag of more than 60 characters is cut after whole words and ends in a digest of all of them.
    """
    if not changed:
        return None
    words = [re.sub(r"[^A-Za-z0-9_.=-]", "_", f"{short_name(name)}={value}") for name, value in changed.items()]
    whole = "+".join(words)
    exact = "+".join(f"{short_name(name)}={value}" for name, value in changed.items())
    if whole == exact and len(whole) <= _LONGEST_TAG:
        return whole
    kept = words[:1]
    while len("+".join(kept)) <= _LONGEST_TAG and len(kept) < len(words):
        kept.append(words[len(kept)])
    if len("+".join(kept)) > _LONGEST_TAG and len(kept) > 1:
        kept.pop()
    digest = hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:8]
    more = [f"and-{len(words) - len(kept)}-more"] if len(kept) < len(words) else []
    return "+".join([*(part[:_LONGEST_TAG] for part in kept), *more, digest])


def short_name(name: str) -> str:
    """Return a field's name without its group where no other group has a field of that name."""
    bare = name.partition(".")[2]
    unique = sum(other.partition(".")[2] == bare for other in fields()) == 1
    return bare if unique else name
