"""The command line: ``tfmeta run | figure | data | bench | config``, and each experiment's own.

It reads options, builds a ``Laboratory``, and says what happened; everything else is elsewhere.
"""

import importlib
import logging
import signal
import sys
from pathlib import Path

import click

from tfmeta import registry
from tfmeta.config import PROFILE_NAMES, fields, make_config, parse_settings
from tfmeta.errors import TfmetaError
from tfmeta.utils import progress

_log = logging.getLogger("tfmeta")

_OPTIONS = [
    click.option("--dataset", default="auto", show_default=True, help=", ".join(["auto", *registry.names("datasets")])),
    click.option("--profile", default="quick", show_default=True, help=", ".join(PROFILE_NAMES)),
    click.option("--data-dir", type=click.Path(path_type=Path), help="folder with the data sets [TFMETA_DATA]"),
    click.option("--results", type=click.Path(path_type=Path), default="results", show_default=True),
    click.option("--seed", type=int, help="the run's seed [0]"),
    click.option("--workers", type=click.IntRange(1), help="episodes or tasks at once [one a core]"),
    click.option(
        "--set", "settings", multiple=True, metavar="FIELD=VALUE", help="another value for a field; see `tfmeta config`"
    ),
    click.option("-v", "--verbose", is_flag=True, help="say more"),
]  # fmt: skip


def _with(options):
    def decorate(function):
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _simulation(given, paper_dataset="omniglot"):
    """Return the laboratory that the options ask for; ``color``: which kind of data set "auto" stands for."""
    from experiments.measured import folder_of
    from tfmeta.simulation import Simulation

    overrides = parse_settings(given["settings"])
    if given["seed"] is not None:
        overrides["meta_learning.seed"] = given["seed"]
    sim = Simulation(
        given["dataset"], given["profile"], results=given["results"], data_dir=given["data_dir"],
        workers=given["workers"], paper_dataset=paper_dataset, **overrides,
    )  # fmt: skip
    _log.info("profile %s; results go to %s", sim.profile, folder_of(sim))
    return sim


class _Group(click.Group):
    """Turns the user's errors into one line, and signals into an orderly end."""

    def main(self, *args, **kwargs):
        return _guarded(super().main, *args, **kwargs)


class _Command(click.Command):
    def main(self, *args, **kwargs):
        return _guarded(super().main, *args, **kwargs)


def _guarded(main, *args, **kwargs):
    # These unwind like an exit, so that the worker is ended, locks are let go and no half-made bank stays.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) != signal.SIG_IGN:  # nohup's run outlives its terminal
            signal.signal(ending, lambda number, _: sys.exit(128 + number))
    try:
        return main(*args, **kwargs)
    except TfmetaError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


@click.group(cls=_Group)
def main():
    """Backdoor attacks on federated meta-learning, and a defence."""


@main.command("run")
@click.argument("experiment")
@click.option("--case", "cases", multiple=True, help="a, b, c [all]")
@_with(_OPTIONS)
def run_command(experiment, cases, **given):
    """Run an EXPERIMENT (or continue it) and store its results."""
    _run(experiment, cases, given)


def _run(experiment, cases, given):
    import experiments

    experiments.check(experiment, cases)
    _start(given)
    with _simulation(given) as sim:
        for case in cases or experiments.cases_of(experiment):
            click.echo(experiments.run(experiment, sim, case))


@main.command("figure")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--out", type=click.Path(path_type=Path), default="figures/out", show_default=True)
@_with(_OPTIONS)
def figure_command(names, out, **given):
    """Draw figures (fig1 ... fig-delta, ablation-table; "ablations", "figures": groups), computing what is missing."""
    import figures

    specs = figures.chosen(names, given["dataset"])
    _start(given)
    paper = {spec.name: spec.datasets[0] for spec in specs}
    for dataset in dict.fromkeys(paper.values()):  # with auto, figures of both data sets: one simulation each
        with _simulation(given, dataset) as sim:
            for spec in specs:
                if paper[spec.name] == dataset:
                    _draw(spec, sim, out)


def _draw(spec, sim, out):
    """Run what a figure is drawn from, where it is missing, and draw it."""
    import experiments
    from experiments.measured import folder_of

    for experiment in experiments.named(spec.experiments):
        for case in spec.cases:
            experiments.run(experiment, sim, case)
    for path in spec.draw(folder_of(sim), out):
        click.echo(path)


@main.command("data")
@click.option("--dataset", default="omniglot", show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path))
def data_command(dataset, data_dir):
    """Get, verify and decode a data set."""
    progress.setup_logging()
    from tfmeta.datasets import open_dataset

    bank = open_dataset(dataset, data_dir)
    classes, examples, height, width, channels = bank.images.shape
    click.echo(f"{bank.dataset}: {classes} classes of {examples} pictures, {height}x{width}x{channels}; {bank.source}")
    click.echo(f"digest {bank.digest}")


@main.command("config")
@_with(_OPTIONS[:2] + _OPTIONS[4:5] + _OPTIONS[6:7])
def config_command(dataset, profile, seed, settings):
    """Print every field of a profile, its value, meaning and source."""
    overrides = parse_settings(settings) | ({} if seed is None else {"meta_learning.seed": seed})
    config = make_config("omniglot" if dataset == "auto" else dataset, profile, **overrides)
    for name, field in fields().items():
        click.echo(f"{name:38} {config[name]!s:12} {field.metadata['doc']} [{field.metadata['source']}]")


@main.command("bench")
@click.option("--out", type=click.Path(path_type=Path), default="results/bench", show_default=True)
def bench_command(out):
    """Measure speed and memory on this machine."""
    progress.setup_logging()
    progress.quiet_tensorflow()
    importlib.import_module("experiments.bench.table").main(out)


def _start(given):
    progress.setup_logging(1 if given["verbose"] else 0)
    progress.quiet_tensorflow()


if __name__ == "__main__":
    main()
