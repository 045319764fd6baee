"""The command `tfmeta`: it reads options, builds a `Simulation`, and says what was found."""

from collections.abc import Callable, Sequence
from pathlib import Path

import click

import tfmeta
from experiments import explain
from tfmeta import registry
from tfmeta.config import PROFILE_NAMES, make_config, parse_settings
from tfmeta.errors import TfmetaError
from tfmeta.utils import progress

_FOLDER = click.Path(path_type=Path)
_OPTIONS = {
    "dataset": click.option("--dataset", default="auto", show_default=True, help=f"auto, {', '.join(registry.names('datasets'))}"),
    "profile": click.option("--profile", default="quick", show_default=True, help=", ".join(PROFILE_NAMES)),
    "data_dir": click.option("--data-dir", type=_FOLDER, help="folder with the data sets [TFMETA_DATA]"),
    "results": click.option("--results", type=_FOLDER, default="results", show_default=True, help="folder for results"),
    "seed": click.option("--seed", type=int, help="the run's seed [0]"),
    "workers": click.option("--workers", type=click.IntRange(1), help="episodes or tasks at once [one per core]"),
    "settings": click.option(
        "--set", "settings", multiple=True, metavar="FIELD=VALUE", help="another value for a field; see `tfmeta config`"
    ),
    "verbose": click.option("-v", "--verbose", is_flag=True, help="say more"),
}  # fmt: skip


def _with(*names: str) -> Callable:
    """Return a decorator that adds options to a command, by default all."""

    def decorate(function):
        for name in reversed(names or tuple(_OPTIONS)):
            function = _OPTIONS[name](function)
        return function

    return decorate


class Tfmeta(click.Group):
    """The command group: errors that a user can solve end in one sentence, and Ctrl-C in status 130."""

    def invoke(self, ctx: click.Context) -> None:
        """Run the command."""
        try:
            super().invoke(ctx)
        except TfmetaError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            more = ": the same command continues from the last checkpoint"
            click.echo("interrupted" + (more if ctx.invoked_subcommand in ("run", "figure") else ""), err=True)
            ctx.exit(130)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List experiments and figures."""
        import experiments
        import figures

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
@_with()
def run_command(experiment: str, cases: Sequence[str], **given) -> None:
    """Run an EXPERIMENT, or continue it, and store its results."""
    import experiments

    experiments.check(experiment, cases)
    with _simulation(given) as sim:
        paths = []
        for case in cases or experiments.cases_of(experiment):
            paths.append(experiments.run(experiment, sim, case))
            click.echo(paths[-1])
    _say_what_was_found(paths)


@main.command("figure")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--out", type=_FOLDER, default="figures/out", show_default=True, help="folder for figures")
@_with()
def figure_command(names: Sequence[str], out: Path, **given) -> None:
    """Draw figures and tables, running what is missing.

    A NAME is a figure's (see `tfmeta --help`), or stands for several: "figures", "ablations", "runtime".
    """
    import experiments
    import figures
    from experiments.measured import folder_of

    specs = figures.chosen(names, given["dataset"])
    wanted = {spec.name: registry.original(spec.datasets[0]) for spec in specs}
    for dataset in wanted.values():
        _config(given, dataset)  # refuses what is wrong for any of them before the first one runs
    for dataset in dict.fromkeys(wanted.values()):  # one simulation each
        with _simulation(given, dataset) as sim:
            for spec in (spec for spec in specs if wanted[spec.name] == dataset):
                paths = [
                    experiments.run(experiment, sim, case)
                    for experiment in experiments.named(spec.experiments)
                    for case in spec.cases
                ]
                for path in spec.draw(folder_of(sim), out):
                    click.echo(path)
                _say_what_was_found(paths)


@main.command("data")
@click.option("--dataset", default="omniglot", show_default=True, help=", ".join(registry.names("datasets")))
@_with("data_dir", "verbose")
def data_command(dataset: str, data_dir: Path | None, verbose: bool) -> None:
    """Get, verify and decode a data set."""
    progress.setup_logging(verbose)
    bank = tfmeta.open_dataset(dataset, data_dir)
    classes, examples, *shape = bank.images.shape
    size = "x".join(map(str, shape))
    click.echo(f"{bank.dataset}: {classes} classes of {examples} images, {size}; {bank.source}")
    click.echo(f"digest {bank.digest}")


@main.command("config")
@click.option("--changed", is_flag=True, help="only the fields that differ from the profile `paper`")
@_with("dataset", "profile", "seed", "settings")
def config_command(changed: bool, **given) -> None:
    """Print the fields of a configuration: value, allowed values, meaning and source."""
    dataset = "omniglot" if given["dataset"] == "auto" else given["dataset"]
    config = _config(given, dataset)
    click.echo(explain.table(config, make_config(dataset, "paper"), changed))


@main.command("bench")
@click.option("--out", type=_FOLDER, default="results/bench", show_default=True, help="folder for bench.json")
def bench_command(out: Path) -> None:
    """Measure speed and memory on this machine, in at most two minutes."""
    progress.setup_logging()
    from experiments.bench import table

    table.main(out)


def _overrides(given):
    seed = {} if given["seed"] is None else {"meta_learning.seed": given["seed"]}
    return parse_settings(given["settings"]) | seed


def _config(given, dataset):
    """Return the configuration that options ask for; `dataset` takes the place of "auto"."""
    return make_config(dataset if given["dataset"] == "auto" else given["dataset"], given["profile"], **_overrides(given))


def _simulation(given, dataset="omniglot"):
    """Return the simulation that options ask for; `dataset` is what "auto" stands for."""
    progress.setup_logging(given["verbose"])
    from tfmeta.simulation import Simulation

    options = {name: given[name] for name in ("results", "data_dir", "workers")}
    return Simulation(given["dataset"], given["profile"], paper_dataset=dataset, **options, **_overrides(given))


def _say_what_was_found(paths):
    """Print one sentence about documents, if they have accuracies."""
    from figures import summary
    from tfmeta.store import results

    found = summary.sentence({path.stem: results.read(path) for path in paths})
    if found:
        click.echo(found)
