"""The command `tfmeta`: it reads options, builds a `Simulation`, and says what was found."""

import itertools
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import experiments
import figures
import tfmeta
from experiments import explain, options, size
from tfmeta import registry
from tfmeta.config import make_config, parse_settings
from tfmeta.datasets import check_name, default_cache_dir
from tfmeta.datasets.opening import AUTO
from tfmeta.errors import ConfigError, TfmetaError
from tfmeta.plugins import outside
from tfmeta.utils import progress
from tfmeta.utils.printable import one_line, printable

log = logging.getLogger(__name__)


class Tfmeta(click.Group):
    """The command; errors that a user can solve end in one sentence."""

    def make_context(self, *arguments: Any, **extra: Any) -> click.Context:
        """Read the command line up to the subcommand."""
        with options.printable_errors():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: click.Context) -> None:
        """Run a subcommand."""
        with options.printable_errors():
            self._invoke(ctx)

    def _invoke(self, ctx: click.Context) -> None:
        try:
            super().invoke(ctx)
        except TfmetaError as error:
            raise click.ClickException(str(error)) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # whatever a plug-in's code raises
            sentence = outside.failure_of_plugin(error)
            if sentence is None:
                raise
            log.debug("the whole error", exc_info=error)  # with --verbose
            raise click.ClickException(sentence) from error

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List experiments and figures."""
        for title, rows in (("Experiments", experiments.titles()), ("Figures", figures.titles())):
            with formatter.section(title):
                formatter.write_dl(list(rows.items()))


@click.group(cls=Tfmeta, context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]})
@click.version_option(tfmeta.__version__, prog_name="tfmeta")
def main() -> None:
    """Backdoor attacks on federated meta-learning, and a defence."""


@main.command("run", cls=options.PluginCommand)
@click.argument("experiment")
@click.option("--case", "cases", multiple=True, help="a, b or c [all]")
@options.with_options(options.RUN)
def run_command(experiment: str, cases: Sequence[str], **given) -> None:
    """Run or resume an EXPERIMENT and store its results."""
    if experiment in figures.FIGURES and experiment not in experiments.modules():
        raise ConfigError(f"{experiment} is a figure: draw it with `tfmeta figure {experiment}`")
    experiments.check(experiment, cases, _config(given))
    with _simulation(given) as sim:
        asked = [(experiment, case) for case in cases or experiments.cases_of(experiment)]
        size.check([(sim, asked)], given["yes"])
        paths = [experiments.run(experiment, sim, case) for _, case in asked]
    _report(paths, paths)


@main.command("figure", cls=options.PluginCommand)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--out", type=options.FOLDER, default="figures/out", show_default=True, help="folder for figures")
@options.with_options(options.RUN)
def figure_command(names: Sequence[str], out: Path, **given) -> None:
    """Draw figures and tables, running what is missing.

    A NAME is a figure's (see `tfmeta --help`), or stands for several: "figures", "ablations", "runtime".
    """
    from experiments.stored import folder_of

    dataset, by_dataset = given["dataset"], {}
    check_name(dataset)
    for name in experiments.modules().keys() & (set(names) - {*figures.FIGURES, *figures.GROUPS}):
        raise ConfigError(f"{name} is an experiment: run it with `tfmeta run {name}`")
    for spec in figures.chosen(names, dataset):  # with "auto" there may be figures of both data sets of the paper
        by_dataset.setdefault(spec.about[0] if dataset == "auto" else dataset, []).append(spec)
    for name, specs in by_dataset.items():
        config = _config(given, name)
        for experiment in experiments.named(one for spec in specs for one in spec.experiments):
            experiments.check(experiment, config=config)
    sims = {name: _simulation(given, name) for name in by_dataset}  # refuses missing data of one before another runs
    asked = {
        name: [[(one, case) for one in experiments.named(spec.experiments) for case in spec.cases] for spec in specs]
        for name, specs in by_dataset.items()
    }
    size.check([(sim, list(dict.fromkeys(itertools.chain(*asked[name])))) for name, sim in sims.items()], given["yes"])
    for name, sim in sims.items():
        with sim:
            for spec, documents in zip(by_dataset[name], asked[name], strict=True):
                paths = [experiments.run(experiment, sim, case) for experiment, case in documents]
                _report(spec.draw(folder_of(sim), out), paths)


@main.command("data", cls=options.PluginCommand)
@click.option("--dataset", default="omniglot", show_default=True, cls=options.NamesOption)
@click.option("--data-dir", type=options.FOLDER, help="folder with the data sets [TFMETA_DATA]")
@options.SET
@options.PLUGIN
def data_command(dataset: str, data_dir: Path | None, settings: Sequence[str], plugins: Sequence[str]) -> None:
    """Get, verify and decode a data set."""
    progress.setup_logging()
    check_name(dataset)
    config = make_config("omniglot" if dataset == AUTO else dataset, **parse_settings(settings))
    if dataset != AUTO:
        dataset = registry.build("datasets", config, dataset)
    bank = tfmeta.open_dataset(dataset, data_dir)
    classes, examples, *shape = bank.images.shape
    source = f"; {bank.source}" if bank.source else ""
    size = f"{classes} classes of {examples} images, {'x'.join(map(str, shape))}"
    click.echo(one_line(f"{bank.dataset}: {size}{source}"))
    click.echo(f"digest {bank.digest}")


@main.command("config", cls=options.PluginCommand)
@click.option("--changed", is_flag=True, help="only the fields that differ from the profile `paper`")
@options.with_options(options.CONFIG)
def config_command(changed: bool, **given) -> None:
    """Print every field: value, allowed values, meaning, source."""
    paper = _config({**given, "profile": "paper", "seed": None, "settings": (), **dict.fromkeys(options.NAMED)})
    name = registry.display_name("omniglot" if given["dataset"] == "auto" else given["dataset"])
    click.echo(printable(f"{name}, profile {given['profile']}\n\n{explain.table(_config(given), paper, changed)}"))


@main.command("plugins", cls=options.PluginCommand)
@click.argument("kind", required=False)
@options.PLUGIN
def plugins_command(kind: str | None, plugins: Sequence[str]) -> None:
    """List plug-ins of a KIND, or of all six: options, and where each comes from."""
    from experiments import plugin_list

    click.echo(printable(plugin_list.text(kind)))


@main.command("check-plugin")
@click.argument("file", type=options.FOLDER)
def check_command(file: Path) -> None:
    """Import a FILE, check its plug-ins' contracts, and run each for a moment."""
    progress.setup_logging()
    from experiments import plugin_check

    for line in plugin_check.run(file):
        click.echo(printable(line))


@main.command("cache", cls=options.PluginCommand)
@click.argument("wanted", nargs=-1, metavar="[NAME]...")
@click.option("--remove", is_flag=True, help="remove what is unused, or what is named")
@click.option("--unused-for", type=options.Duration(), default="1d", show_default=True,
              help="keep what was used within this time: 30d, 12h; 0d keeps nothing unused")  # fmt: skip
@click.option("--unfinished", is_flag=True, help="remove the models of unfinished runs too")
@click.option("--yes", is_flag=True, help="remove without asking")
@options.RESULTS
@click.option("--cache-dir", type=options.FOLDER, help="folder of the cache [TFMETA_CACHE]")
@options.PLUGIN
def cache_command(wanted: Sequence[str], remove: bool, unused_for: float, unfinished: bool, yes: bool,
                  results: Path, cache_dir: Path | None, plugins: Sequence[str]) -> None:  # fmt: skip
    """List what is in the cache and among the models, and what uses it; remove what nothing uses.

    A NAME is one of the list's, or a pattern such as "glyphs-*".
    """
    progress.setup_logging()
    from experiments import cache_list
    from tfmeta import inventory

    if remove and not yes and not sys.stdin.isatty():
        raise ConfigError("--remove asks before it removes, and there is no terminal to ask in: add --yes")
    cache_dir = Path(cache_dir or default_cache_dir()).expanduser()
    places = {kind: cache_dir / kind for kind in inventory.KINDS} | {"models": results / "models", "parts": results}
    found = cache_list.named(inventory.take(cache_dir, results, given_up=remove and unfinished), wanted)
    if not remove:
        click.echo(printable(cache_list.text(found, places, unused_for, whole=not wanted)))
        return
    chosen = cache_list.removable(found, wanted, unused_for, unfinished)
    if not chosen:
        click.echo("there is nothing to remove: `tfmeta cache` says why each is kept")
        return
    click.echo(printable(cache_list.text(chosen, places, 0, whole=False)))
    if yes or click.confirm(f"Remove these, {cache_list.size_of(chosen)}?"):
        for line in cache_list.remove(chosen):
            click.echo(one_line(line))


@main.command("bench")
@click.option("--out", type=options.FOLDER, default="results/bench", show_default=True, help="folder for bench.json")
def bench_command(out: Path) -> None:
    """Measure speed and memory on this machine, in at most two minutes."""
    progress.setup_logging()
    from experiments.bench import table

    table.main(out)


def _config(given, dataset="omniglot"):
    check_name(given["dataset"])
    name = dataset if given["dataset"] == "auto" else given["dataset"]
    return make_config(name, given["profile"], **options.overrides(given))


def _stored(given):
    if given["fresh"] and given["keep"]:
        raise ConfigError("--fresh computes again what --keep accepts: give one of them")
    return "fresh" if given["fresh"] else "keep" if given["keep"] else "check"


def _simulation(given, dataset="omniglot"):
    """Return the simulation that options ask for; `dataset` is what "auto" stands for."""
    progress.setup_logging(given["verbose"])
    from experiments.stored import folder_of
    from tfmeta.simulation import Simulation

    names = ("results", "data_dir", "workers", "worker_timeout", "allow_open_port")
    more = {name: given[name] for name in names} | {"allow_large": given["yes"]} | options.overrides(given)
    sim = Simulation(given["dataset"], given["profile"], paper_dataset=dataset, stored=_stored(given), **more)
    log.info("profile %s; results go to %s", sim.profile, folder_of(sim))
    return sim


def _report(written, documents):
    """Print the paths of what was written, and a sentence about what documents found if they have accuracies."""
    from figures import summary
    from tfmeta.store import results

    found = summary.sentence({path.stem: results.read(path) for path in documents})
    click.echo("\n".join([*(one_line(str(path)) for path in written), *([printable(found)] if found else [])]))
