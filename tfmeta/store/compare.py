"""Which fields of two JSON documents differ, in words."""

import json

from tfmeta.store.npz import canonical

_MISSING = object()


def differences(there, here):
    """Return one line for each field that differs between the stored dict ``there`` and the caller's
    ``here``.

    Both are compared as JSON (a tuple equals a list), nested dicts field by field (``partition.seed``).
    """
    return [
        f"{name} is {_show(a)} there and {_show(b)} here"
        for name, a, b in _walk("", json.loads(canonical(there)), json.loads(canonical(here)))
    ]


def _walk(prefix, there, here):
    for name in sorted(there.keys() | here.keys()):
        a, b = there.get(name, _MISSING), here.get(name, _MISSING)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _walk(f"{prefix}{name}.", a, b)
        elif a is _MISSING or b is _MISSING or canonical(a) != canonical(b):  # 1 and true, 1 and 1.0 differ
            yield f"{prefix}{name}", a, b


def _show(value):
    if value is _MISSING:
        return "absent"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
