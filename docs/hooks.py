"""Hooks of the documentation site: the table of configuration fields is made from the code."""

import dataclasses
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARKER = "<!-- configuration table -->"
# mkdocs-jupyter adds scripts for diagrams and formulas, which the tutorial does not have, from another server
_REMOTE = re.compile(r"<script(?:(?!</script>).)*?https://cdnjs\.cloudflare\.com.*?</script>", re.S)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put the table where a page has the marker."""
    return markdown.replace(MARKER, configuration_table()) if MARKER in markdown else markdown


def on_page_content(html: str, **_: object) -> str:
    """Remove scripts that load others from another server, so that the site needs none."""
    return _REMOTE.sub("", html)


def configuration_table() -> str:
    """Return all fields in Markdown, one table for each group."""
    sys.path.insert(0, str(ROOT))
    try:  # needs only the standard library
        from tfmeta import registry
        from tfmeta.config import GROUPS, fields
        from tfmeta.config.fields import allowed
    finally:
        sys.path.remove(str(ROOT))
    lines = []
    for group, kind in GROUPS.items():
        lines += [f"## {group}", "", kind.__doc__.splitlines()[0], ""]
        lines += ["| field | default | allowed | meaning | symbol | stage | source |", "|---|---|---|---|---|---|---|"]
        for name, field in fields().items():
            if name.startswith(f"{group}."):
                owners = registry.declared(name)  # of a plug-in's own option
                lines += [_row(name, one, allowed(one), owner) for owner, one in owners.items()]
                lines += [] if owners else [_row(name, field, allowed(field))]
        lines.append("")
    return "\n".join(lines)


def _row(name: str, field: dataclasses.Field, allowed: str, owner: str = "") -> str:
    meta, default = field.metadata, _shown(field.default)
    meaning = f"{meta['doc']} (an option of {owner})" if owner else meta["doc"]
    words = (allowed, meaning, meta["symbol"], meta["stage"], meta["source"])
    return " | ".join([f"| `{name.partition('.')[2]}`", default, *map(_escaped, words)]) + " |"


def _shown(value: object) -> str:
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`" if value != "" else "empty"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
