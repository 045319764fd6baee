"""The command `tfmeta`: it reads options, builds a `Simulation`, and says what was found."""

import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import click

import experiments
import figures
import tfmeta
from experiments import explain
from tfmeta import registry
from tfmeta.config import PROFILE_NAMES, make_config, parse_settings
from tfmeta.datasets import check_name
from tfmeta.errors import ConfigError, TfmetaError
from tfmeta.utils import progress

log = logging.getLogger(__name__)
_FOLDER, _DATASETS = click.Path(path_type=Path), ", ".join(registry.names("datasets"))
_CONFIG = (
    click.option("--dataset", default="auto", show_default=True, help=f"auto, {_DATASETS}"),
    click.option("--profile", default="quick", show_default=True, help=", ".join(PROFILE_NAMES)),
    click.option("--seed", type=int, help="the run's seed [0]"),
    click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="change a field; see `tfmeta config`"),
)
_RUN = (
    *_CONFIG,
    click.option("--data-dir", type=_FOLDER, help="folder with the data sets [TFMETA_DATA]"),
    click.option("--results", type=_FOLDER, default="results", show_default=True, help="folder for results"),
    click.option("--workers", type=click.IntRange(1), help="episodes or tasks at once [one per core]"),
    click.option("--fresh", is_flag=True, help="compute again what other code of tfmeta computed"),
    click.option("--keep", is_flag=True, help="accept what other code of tfmeta computed; results say so"),
    click.option("-v", "--verbose", is_flag=True, help="print more"),
)


def _with(options: Sequence[Callable]) -> Callable:
    return lambda function: functools.reduce(lambda done, option: option(done), reversed(options), function)


class Tfmeta(click.Group):
    """The command: errors that a user can solve end in one sentence, and Ctrl-C in status 130."""

    def invoke(self, ctx: click.Context) -> None:
        """Run a subcommand."""
        try:
            super().invoke(ctx)
        except TfmetaError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            resumes = ": the same command continues from the last checkpoint"
            click.echo(f"interrupted{resumes if ctx.invoked_subcommand in ('run', 'figure') else ''}", err=True)
            ctx.exit(130)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List experiments and figures."""
        for title, rows in (("Experiments", experiments.titles()), ("Figures", figures.titles())):
            with formatter.section(title):
                formatter.write_dl(list(rows.items()))


@click.group(cls=Tfmeta, context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]})
@click.version_option(tfmeta.__version__, prog_name="tfmeta")
def main() -> None:
    """Backdoor attacks on federated meta-learning, and a defence."""


@main.command("run")
@click.argument("experiment")
@click.option("--case", "cases", multiple=True, help="a, b or c [all]")
@_with(_RUN)
def run_command(experiment: str, cases: Sequence[str], **given) -> None:
    """Run or resume an EXPERIMENT and store its results."""
    if experiment in figures.FIGURES and experiment not in experiments.modules():
        raise ConfigError(f"{experiment} is a figure: draw it with `tfmeta figure {experiment}`")
    experiments.check(experiment, cases)
    with _simulation(given) as sim:
        paths = [experiments.run(experiment, sim, case) for case in cases or experiments.cases_of(experiment)]
    _report(paths, paths)


@main.command("figure")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--out", type=_FOLDER, default="figures/out", show_default=True, help="folder for figures")
@_with(_RUN)
def figure_command(names: Sequence[str], out: Path, **given) -> None:
    """Draw figures and tables, running what is missing.

    A NAME is a figure's (see `tfmeta --help`), or stands for several: "figures", "ablations", "runtime".
    """
    from experiments.measured import folder_of

    dataset, by_dataset = given["dataset"], {}
    check_name(dataset)
    for name in experiments.modules().keys() & (set(names) - {*figures.FIGURES, *figures.GROUPS}):
        raise ConfigError(f"{name} is an experiment: run it with `tfmeta run {name}`")
    for spec in figures.chosen(names, dataset):  # with "auto" there may be figures of both data sets of the paper
        by_dataset.setdefault(spec.about[0] if dataset == "auto" else dataset, []).append(spec)
    for name in by_dataset:
        _config(given, name)
    sims = {name: _simulation(given, name) for name in by_dataset}  # refuses missing data of one before another runs
    for name, sim in sims.items():
        with sim:
            for spec in by_dataset[name]:
                names = experiments.named(spec.experiments)
                documents = [experiments.run(name, sim, case) for name in names for case in spec.cases]
                _report(spec.draw(folder_of(sim), out), documents)


@main.command("data")
@click.option("--dataset", default="omniglot", show_default=True, help=_DATASETS)
@click.option("--data-dir", type=_FOLDER, help="folder with the data sets [TFMETA_DATA]")
def data_command(dataset: str, data_dir: Path | None) -> None:
    """Get, verify and decode a data set."""
    progress.setup_logging()
    bank = tfmeta.open_dataset(dataset, data_dir)
    classes, examples, *shape = bank.images.shape
    click.echo(f"{bank.dataset}: {classes} classes of {examples} images, {'x'.join(map(str, shape))}; {bank.source}")
    click.echo(f"digest {bank.digest}")


@main.command("config")
@click.option("--changed", is_flag=True, help="only the fields that differ from the profile `paper`")
@_with(_CONFIG)
def config_command(changed: bool, **given) -> None:
    """Print every field: value, allowed values, meaning, source."""
    paper = _config({**given, "profile": "paper", "seed": None, "settings": ()})
    name = registry.display_name("omniglot" if given["dataset"] == "auto" else given["dataset"])
    click.echo(f"{name}, profile {given['profile']}\n\n{explain.table(_config(given), paper, changed)}")


@main.command("bench")
@click.option("--out", type=_FOLDER, default="results/bench", show_default=True, help="folder for bench.json")
def bench_command(out: Path) -> None:
    """Measure speed and memory on this machine, in at most two minutes."""
    progress.setup_logging()
    from experiments.bench import table

    table.main(out)


def _overrides(given):
    return parse_settings(given["settings"]) | ({} if given["seed"] is None else {"meta_learning.seed": given["seed"]})


def _config(given, dataset="omniglot"):
    check_name(given["dataset"])
    name = dataset if given["dataset"] == "auto" else given["dataset"]
    return make_config(name, given["profile"], **_overrides(given))


def _stored(given):
    if given["fresh"] and given["keep"]:
        raise ConfigError("--fresh computes again what --keep accepts: give one of them")
    return "fresh" if given["fresh"] else "keep" if given["keep"] else "check"


def _simulation(given, dataset="omniglot"):
    """Return the simulation that options ask for; `dataset` is what "auto" stands for."""
    progress.setup_logging(given["verbose"])
    from experiments.measured import folder_of
    from tfmeta.simulation import Simulation

    options = {name: given[name] for name in ("results", "data_dir", "workers")}
    options["stored"] = _stored(given)
    sim = Simulation(given["dataset"], given["profile"], paper_dataset=dataset, **options, **_overrides(given))
    log.info("profile %s; results go to %s", sim.profile, folder_of(sim))
    return sim


def _report(written, documents):
    """Print the paths of what was written, and a sentence about what documents found if they have accuracies."""
    from figures import summary
    from tfmeta.store import results

    found = summary.sentence({path.stem: results.read(path) for path in documents})
    click.echo("\n".join([*map(str, written), *([found] if found else [])]))
