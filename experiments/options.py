"""Options that several commands share, and the command class that loads plug-ins before anything else is read."""

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from tfmeta import registry
from tfmeta.config import PROFILE_NAMES, merged, parse_settings
from tfmeta.plugins import outside
from tfmeta.utils import progress
from tfmeta.utils.printable import message

FOLDER = click.Path(path_type=Path)
# option -> the kind whose plug-in it names
NAMED = {
    "attack": "attacks", "defence": "defences", "trigger": "triggers", "aggregation": "aggregations", "model": "models"
}  # fmt: skip


@contextlib.contextmanager
def printable_errors() -> Iterator[None]:
    """Make the messages of click's errors printable: they repeat the words of the command line and names of files."""
    try:
        yield
    except click.ClickException as error:
        shown = message(error.format_message())
        error.format_message = lambda: shown
        raise


class PluginCommand(click.Command):
    """A command that imports the files of `--plugin` first, so that its other options and its help know them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line."""
        given, _, _ = self.make_parser(ctx).parse_args(list(args))
        if given.get("plugins"):
            progress.quiet_tensorflow()
        for path in given.get("plugins", ()):
            outside.use_file(path)
        return super().parse_args(ctx, args)


class Duration(click.ParamType):
    """A time such as 30d, 12h or 0d, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"([0-9]{1,6})([dh])", value)
        if not found:
            self.fail(f"{value!r} is no time: give days or hours, such as 30d or 12h", param, ctx)
        return int(found[1]) * (86400.0 if found[2] == "d" else 3600.0)


class NamesOption(click.Option):
    """An option that names a plug-in; its help lists the names that there are."""

    def __init__(self, *words: Any, kind: str = "datasets", more: Sequence[str] = (), **about: Any):
        super().__init__(*words, **about)
        self.kind, self.more = kind, more

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option's line of the help."""
        self.help = ", ".join([*self.more, *registry.names(self.kind)])
        return super().get_help_record(ctx)


PLUGIN = click.option(
    "--plugin", "plugins", multiple=True, metavar="FILE", help="a file with plug-ins, run with your rights"
)
SET = click.option(
    "--set", "settings", multiple=True, metavar="FIELD=VALUE", help="change a field; see `tfmeta config`"
)
DATASET = click.option("--dataset", default="auto", show_default=True, cls=NamesOption, more=("auto",))
RESULTS = click.option(
    "--results", type=FOLDER, default="results", show_default=True, help="folder for results"
)  # fmt: skip
CONFIG = (
    DATASET,
    click.option("--profile", default="quick", show_default=True, help=", ".join(PROFILE_NAMES)),
    click.option("--seed", type=int, help="the run's seed [0]"),
    *(click.option(f"--{name}", cls=NamesOption, kind=kind) for name, kind in NAMED.items()),
    SET,
    PLUGIN,
)
RUN = (
    *CONFIG,
    click.option("--data-dir", type=FOLDER, help="folder with the data sets [TFMETA_DATA]"),
    RESULTS,
    click.option("--workers", type=click.IntRange(1), help="episodes or tasks at once [one per core]"),
    click.option(
        "--worker-timeout", type=click.FloatRange(min=1), metavar="SECONDS",
        help="end TFF's worker after so long without progress [never]",
    ),
    click.option("--allow-open-port", is_flag=True, help="let TFF's worker listen on a port if it must"),
    click.option("--yes", is_flag=True, help="start a run that is estimated to be too large for this machine"),
    click.option("--fresh", is_flag=True, help="compute again what other code of tfmeta computed"),
    click.option("--keep", is_flag=True, help="accept what other code of tfmeta computed; results say so"),
    click.option("-v", "--verbose", is_flag=True, help="print more"),
)


def with_options(options: Sequence[Callable]) -> Callable:
    """Return a decorator that gives a command some options, in their order."""
    return lambda function: functools.reduce(lambda done, option: option(done), reversed(options), function)


def overrides(given: dict[str, Any]) -> dict[str, Any]:
    """Return the settings, by full field name, that the options `CONFIG` ask for.

    Raises:
        ConfigError: a setting or a name is wrong, or a field is given twice.
    """
    named = {registry.KINDS[kind].selector: given[name] for name, kind in NAMED.items()}
    named["meta_learning.seed"] = given["seed"]
    named = {field: value for field, value in named.items() if value is not None}
    return merged(parse_settings(given["settings"]), named)
