"""`tfmeta config`: the fields of a configuration as a table."""

import functools
import itertools
import textwrap

from tfmeta import registry
from tfmeta.config import GROUPS, Config, changed_fields, fields
from tfmeta.config.fields import allowed

_WIDTHS = {"name": 24, "value": 17, "allowed": 17, "meaning": 28, "source": 10}  # the longest words fit; 100 in all


def table(config: Config, paper: Config, changed: bool = False) -> str:
    """Return the fields of `config` by group, with the paper's value if it differs, in lines of at most 100 columns.

    Plug-ins' own options follow the fields of their group; their meaning says whose they are. `paper` is the
    configuration of the profile `paper`; with `changed`, only the fields that differ are listed.
    """
    differing = changed_fields(paper, config)
    lines = [_row(*_WIDTHS)]
    for group, kind in GROUPS.items():
        names = [name for name in (differing if changed else fields()) if name.startswith(f"{group}.")]
        rows = [_field(name, config, paper) for name in names]
        lines += ["", f"{group}: {kind.__doc__.splitlines()[0]}", *rows] if rows else []
    return "\n".join(lines) if differing or not changed else "nothing differs from the paper's setting"


def _field(name, config, paper):
    owners = registry.declared(name)
    if owners:
        return "\n".join(_option(name, plugin, field, config) for plugin, field in owners.items())
    field, value = fields()[name], _word(config[name])
    if config[name] != paper[name]:
        value += f" (paper:\N{NO-BREAK SPACE}{_word(paper[name])})"
    symbol = "the gates alpha" if name == "defence.gates" else field.metadata["symbol"]  # federation.alpha is another
    meaning = field.metadata["doc"] + (f"; {symbol} in the paper" if symbol else "")
    return _row(name.partition(".")[2], value, allowed(field), meaning, field.metadata["source"])


def _option(name, plugin, field, config):
    """Return the row of a plug-in's own option: its default where the configuration selects another plug-in."""
    about = next(about for about in registry.KINDS.values() if about.group == name.partition(".")[0])
    selected = about.selector is None or config[about.selector] == plugin  # no field selects a data set
    value = _word(config[name] if selected else field.default)
    meaning = "; ".join(filter(None, [field.metadata["doc"], f"an option of the {about.what} {plugin}"]))
    return _row(name.partition(".")[2], value, allowed(field), meaning, "plug-in")


def _word(value):
    return f"{value:.6g}" if isinstance(value, float) else str(value).lower()


def _row(*cells):
    """Return cells side by side, each wrapped to its column's width."""
    wrap = functools.partial(textwrap.wrap, break_long_words=False, break_on_hyphens=False)
    lines = itertools.zip_longest(*map(wrap, cells, _WIDTHS.values()), fillvalue="")
    text = "\n".join(" ".join(map(str.ljust, line, _WIDTHS.values())).rstrip() for line in lines)
    return text.replace("\N{NO-BREAK SPACE}", " ")
