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
        if names:
            lines += ["", f"{group}: {kind.__doc__.splitlines()[0]}"]
        lines += [_field(name, config, paper) for name in names]
    return "\n".join(lines)


def _field(name, config, paper):
    field, value = fields()[name], _word(config[name])
    if config[name] != paper[name]:
        value += f" (paper: {_word(paper[name])})"
    symbol, meaning = field.metadata["symbol"], field.metadata["doc"]
    meaning = f"{meaning}; {symbol} in the paper" if symbol else meaning
    return _row(name.partition(".")[2], value, allowed(field), meaning, field.metadata["source"])


def _word(value):
    return f"{value:.6g}" if isinstance(value, float) else str(value).lower()


def _row(*cells):
    """Return cells side by side, each wrapped to its column's width."""
    columns = [textwrap.wrap(cell, width) for cell, width in zip(cells, _WIDTHS.values(), strict=True)]
    lines = itertools.zip_longest(*columns, fillvalue="")
    padded = (" ".join(f"{part:{width}}" for part, width in zip(line, _WIDTHS.values(), strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)
