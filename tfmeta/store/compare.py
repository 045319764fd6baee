"""Which fields of two JSON documents differ, in words."""

import json
from collections.abc import Mapping
from typing import Any

from tfmeta.store.npz import canonical

_MISSING = object()


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return one line for each field in which the stored `there` differs from the caller's `here`.

    Both are compared as JSON (a tuple equals a list), nested ones field by field (`defence.delta`).
    """
    pairs = _walk("", json.loads(canonical(there)), json.loads(canonical(here)))
    return [f"{name} is {_show(a)} there and {_show(b)} here" for name, a, b in pairs]


def _walk(prefix, there, here):
    for name in sorted(there.keys() | here.keys()):
        a, b = there.get(name, _MISSING), here.get(name, _MISSING)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _walk(f"{prefix}{name}.", a, b)
        elif a is _MISSING or b is _MISSING or canonical(a) != canonical(b):  # 1 and true, 1 and 1.0 differ
            yield f"{prefix}{name}", a, b


def _show(value):
    text = "absent" if value is _MISSING else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
