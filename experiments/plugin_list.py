"""`tfmeta plugins`: which plug-ins there are, what they do, their options, and where each comes from.

Of options that are fields of the configuration only the names are listed; `tfmeta config` explains fields.
"""

import dataclasses
import textwrap
from collections.abc import Iterator

from tfmeta import registry
from tfmeta.config import Config
from tfmeta.config.fields import allowed
from tfmeta.errors import PluginError, check_known

_WIDTH = 100


def text(kind: str | None = None) -> str:
    """Return all plug-ins, or those of a kind, in lines of at most 100 columns; nothing is imported for it.

    Raises:
        ConfigError: the kind is unknown.
    """
    if kind is not None:
        check_known("kind of plug-in", kind, registry.KINDS)
    parts = ["\n".join(_of_kind(one)) for one in ([kind] if kind else registry.KINDS)]
    return "\n\n".join(parts)


def _of_kind(kind: str) -> Iterator[str]:
    about, default = registry.KINDS[kind], _default(kind)
    chosen = f"chosen by {about.selector}" if about.selector else "chosen by --dataset"
    yield f"{kind} ({chosen}; class {about.package}.base.{about.base})"
    for name in registry.names(kind):
        words = [registry.origin(kind, name)] + (["by default"] if name == default else [])
        yield from _wrapped(f"{name} ({', '.join(words)}): {registry.summary(kind, name)}", 2)
        try:
            options = registry.options_of(kind, name, shared=True)
        except PluginError as error:
            yield from _wrapped(f"cannot be used: {error}", 6)
            continue
        for option, field in options.items():
            if not field.metadata.get("shared"):
                yield from _wrapped(f"{about.group}.{option} = {_value(field.default)}: {_meaning(field)}", 6)
        fields = [f"{about.group}.{option}" for option, field in options.items() if field.metadata.get("shared")]
        if fields:
            yield from _wrapped(f"reads {', '.join(fields)}", 6)


def _default(kind: str) -> str | None:
    """Return the name of the plug-in that the paper's setting has; None where there is none."""
    selector = registry.KINDS[kind].selector
    return Config()[selector] if selector else None


def _value(value: object) -> str:
    if value == "":
        return '""'
    return f"{value:.6g}" if isinstance(value, float) else str(value).lower()


def _meaning(field: dataclasses.Field) -> str:
    return "; ".join(filter(None, [field.metadata["doc"], allowed(field)]))


def _wrapped(line: str, indent: int) -> list[str]:
    more = " " * (indent + 2)
    return textwrap.wrap(line, _WIDTH, initial_indent=" " * indent, subsequent_indent=more, break_on_hyphens=False)
