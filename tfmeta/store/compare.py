"""What differs between a stored file and what would be computed now: fields, plug-ins and code.

A manifest may have `plugins`, by kind (`name`, `options`, `origin`: "built-in" or "outside", and `code`: a digest, or
digests by module), and `code`, digests by module of the package.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from tfmeta.config import legacy
from tfmeta.store.npz import canonical

OUTSIDE, BUILT_IN = "outside", "built-in"
_MISSING = object()


class Difference(NamedTuple):
    """What differs between a stored manifest and the present one."""

    fields: list[str]  # of the configuration and the data, in words
    outside: list[str]  # plug-ins outside the package with other options or code
    modules: list[str]  # modules of the package with other code
    recorded: bool  # whether the stored one says which code computed it
    unknown: frozenset[str] = frozenset()  # modules of the package whose code at that time is not recorded


def compare(there: Mapping[str, Any], here: Mapping[str, Any], partly: bool = False) -> Difference:
    """Return what differs between a stored manifest and the present one; see `legacy` for fields that it lacks.

    Args:
        there: The stored manifest.
        here: The present one.
        partly: Whether the stored one rests on files whose code is not recorded. The modules that it does not name are
            then unknown, and not others.
    """
    there, here = json.loads(canonical(there)), json.loads(canonical(here))
    recorded = "code" in there or "code" not in here
    plugins, code = _taken(there), _taken(here)
    for one, other in ((there, here), (here, there)):
        if isinstance(one.get("fields"), dict) and isinstance(other.get("fields"), dict):
            one["fields"] = legacy.completed(one["fields"], other["fields"])
    fields = differences(there, here)
    if not recorded:
        return Difference(fields, [], [], False, frozenset(modules_of(code)))
    outside = []
    for kind in sorted(plugins["plugins"].keys() | code["plugins"].keys()):
        stored, present = plugins["plugins"].get(kind, {}), code["plugins"].get(kind, {})
        if OUTSIDE in (stored.get("origin"), present.get("origin")):
            if stored != present:
                outside.append(f"{kind}: {(present or stored)['name']}")
        elif stored and present:
            # an option that only one has is new, so the code differs too
            common = {"name", *(stored["options"].keys() & present["options"].keys())}
            pair = ({**one["options"], "name": one["name"]} for one in (stored, present))
            fields += differences(*({f"{kind}.{key}": one[key] for key in common} for one in pair))
    stored, present = modules_of(plugins), modules_of(code)
    unknown = frozenset(present.keys() - stored.keys()) if partly else frozenset()
    return Difference(fields, outside, changed(stored, modules_of(without(code, unknown))), True, unknown)


def changed(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Return the names of modules whose digests differ: first those that both have, then those that one has."""
    names = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
    return sorted(names, key=lambda name: not (name in there and name in here))


def modules_of(identity: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of all modules of the package that `plugins` and `code` name."""
    found = dict(identity.get("code", {}))
    for entry in identity.get("plugins", {}).values():
        if entry["origin"] == BUILT_IN:
            found |= entry["code"]
    return found


def without(identity: Mapping[str, Any], unknown: Collection[str]) -> dict[str, Any]:
    """Return a manifest without the digests of modules of the package whose code is not known."""

    def known(digests):
        return {name: digest for name, digest in digests.items() if name not in unknown}

    found = dict(identity)
    if "code" in identity:
        found["code"] = known(identity["code"])
    if "plugins" in identity:
        found["plugins"] = {
            kind: {**entry, "code": known(entry["code"])} if entry["origin"] == BUILT_IN else entry
            for kind, entry in identity["plugins"].items()
        }
    return found


def _taken(manifest):
    """Take `plugins` and `code` out of a manifest; return them."""
    return {name: manifest.pop(name, {}) for name in ("plugins", "code")}


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
