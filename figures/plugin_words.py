"""What a caption says of a run's plug-ins that are not the paper's: which they are, and with which options."""

from collections.abc import Mapping
from typing import Any

from tfmeta import registry
from tfmeta.config import Config
from tfmeta.errors import ConfigError

_Document = Mapping[str, Any]


def own_defence(document: _Document) -> bool:
    """Return whether a document's defence is the experiment's own, since the run names none."""
    return _name(document, "defences") in (None, "experiment")


def named(document: _Document) -> dict[str, str]:
    """Return a few words about each plug-in that is not the paper's, by kind: `defence halved (share = 0.5)`."""
    found = {}
    for kind in _others(document):
        options = [f"{option} = {value}" for option, value in _options(document, kind).items()]
        words = f"{registry.KINDS[kind].what} {_name(document, kind)}"
        found[kind] = f"{words} ({', '.join(options)})" if options else words
    return found


def fields_of(document: _Document) -> set[str]:
    """Return the fields, by full name, that `named` speaks of."""
    found = set()
    for kind in _others(document):
        about = registry.KINDS[kind]
        found |= {about.selector, *(f"{about.group}.{option}" for option in _options(document, kind))}
    return found


def _others(document: _Document) -> list[str]:
    """Return the kinds of which the document's plug-in is not the paper's."""
    plain = Config().to_dict()
    names = {kind: _name(document, kind) for kind, about in registry.KINDS.items() if about.selector}
    return [kind for kind, name in names.items() if name not in (None, _name({"config": plain}, kind))]


def _name(document: _Document, kind: str) -> str | None:
    """Return the name of a document's plug-in, or None if the document is older than its kind."""
    group, _, field = registry.KINDS[kind].selector.partition(".")
    return document["config"].get(group, {}).get(field)


def _options(document: _Document, kind: str) -> dict[str, Any]:
    """Return the values of a plug-in's options, by name.

    The document says them; one that does not has those that are fields, and those that were set.
    """
    for entry in document.get("plugins", {}).get(kind, ()):
        if entry["name"] == _name(document, kind):
            return dict(entry["options"])
    group = document["config"].get(registry.KINDS[kind].group, {})
    try:
        options = registry.options_of(kind, _name(document, kind), shared=True)
    except ConfigError:  # the plug-in is not here
        about = registry.KINDS[kind]
        changed = (full.split(".", 1) for full in document["changed"] if full != about.selector)
        return {name: group[name] for of, name in changed if of == about.group and name in group}
    return {name: group.get(name, field.default) for name, field in options.items()}
