"""`tfmeta config`: the fields of a configuration as a table."""

import itertools
import textwrap

from tfmeta.config import GROUPS, Config, changed_fields, fields
from tfmeta.config.fields import allowed

_WIDTHS = {"name": 24, "value": 19, "allowed": 17, "meaning": 24, "source": 12}  # 100 columns with the gaps


def table(config: Config, paper: Config, changed: bool = False) -> str:
    """Return the fields of `config` by group, with the paper's value if it differs, in lines of at most 100 columns.

    `paper` is the configuration of the profile `paper`; with `changed`, only the fields that differ are listed.
    """
    differing = changed_fields(paper, config)
    lines = [_row(*_WIDTHS)]
    for group, kind in GROUPS.items():
        names = [name for name in (differing if changed else fields()) if name.startswith(f"{group}.")]
        rows = [_field(name, config, paper) for name in names]
        lines += ["", f"{group}: {kind.__doc__.splitlines()[0]}", *rows] if rows else []
    return "\n".join(lines)


def _field(name, config, paper):
    field, value = fields()[name], _word(config[name])
    if config[name] != paper[name]:
        value += f" (paper: {_word(paper[name])})"
    symbol = f"; {field.metadata['symbol']} in the paper" if field.metadata["symbol"] else ""
    return _row(name.partition(".")[2], value, allowed(field), field.metadata["doc"] + symbol, field.metadata["source"])


def _word(value):
    return f"{value:.6g}" if isinstance(value, float) else str(value).lower()


def _row(*cells):
    """Return cells side by side, each wrapped to its column's width."""
    lines = itertools.zip_longest(*map(textwrap.wrap, cells, _WIDTHS.values()), fillvalue="")
    return "\n".join(" ".join(map(str.ljust, line, _WIDTHS.values())).rstrip() for line in lines)
