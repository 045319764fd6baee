"""What is done with the documentation's commands: run at the profile smoke on glyphs, or planned without running.

Those that draw a figure with a plug-in's file are run by tests/plugins/test_outside_of_every_kind.py.
"""

import contextlib
import importlib.util
import logging
import os
import re
import signal
import subprocess

from click.testing import CliRunner
from doc_blocks import ROOT

import experiments
import figures
from experiments import options
from experiments.cli import main
from tfmeta import registry
from tfmeta.config import make_config, parse_settings

_AT_SMOKE = {"quick": "smoke", "omniglot": "glyphs", "auto": "glyphs"}


def at_smoke(text: str) -> str:
    """Return a text with the profile smoke in place of quick, and glyphs in place of Omniglot."""
    return re.sub(rf"\b({'|'.join(_AT_SMOKE)})\b", lambda found: _AT_SMOKE[found[0]], text)


def draws_with_a_plug_in(words: list[str]) -> bool:
    """Return whether a command draws a figure with a plug-in's file."""
    return words[:2] == ["tfmeta", "figure"] and "--plugin" in words


def run(words: list[str]) -> None:
    """Run a command at smoke; it must end well."""
    words = [at_smoke(word) for word in words]
    if words[0] != "tfmeta":
        subprocess.run(words, check=True, timeout=60)
        return
    if words[1] in ("run", "figure") and "--help" not in words:
        for option, value in (("--profile", "smoke"), ("--dataset", "glyphs")):
            words += [] if option in words else [option, value]
    with _process_as_before():
        result = CliRunner().invoke(main, words[1:], catch_exceptions=False)
    assert result.exit_code == 0, (words, result.output)


def plan(words: list[str]) -> None:
    """Check a command without running it: that it is known, and its names and values are."""
    known = {"tfmeta": _plan_tfmeta, "make": _plan_make, ".venv/bin/python": _plan_python, ".": lambda words: None}
    assert words[0] in known, f"nothing checks the command {words[0]}"
    known[words[0]](words[1:])


def _plan_tfmeta(words):
    if not {"--help", "--version"} & set(words):
        command = main.commands[words[0]]
        given = command.make_context(words[0], list(words[1:])).params
        assert words.count("--set") == len(given.get("settings", ()))
        settings = [*given.get("settings", ()), *_selected(given)]
        _check_values(given.get("dataset", "auto"), given.get("profile", "quick"), settings)
        if "experiment" in given:
            experiments.check(given["experiment"], given["cases"])
        if "names" in given:
            figures.chosen(given["names"], given["dataset"])


def _plan_make(words):
    # the variables of a `make test` that this runs under are not this command's
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--dry-run", *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, (words, done.stderr)
    values = dict(word.split("=", 1) for word in words if "=" in word)
    dataset = values.get("DATASET", "auto")
    settings = [*values.get("SET", "").split(), *_selected({name.lower(): value for name, value in values.items()})]
    _check_values(dataset, values.get("PROFILE", "quick"), settings)
    for target in words:
        if target.startswith("fig") or target in figures.GROUPS:
            assert figures.chosen([target], dataset)


def _plan_python(words):
    assert importlib.util.find_spec(words[1]) if words[0] == "-m" else (ROOT / words[0]).is_file(), words


def _selected(given):
    """Return the settings that options such as --attack, or make's variables, stand for."""
    named = {kind: given[option] for option, kind in options.NAMED.items() if given.get(option)}
    return [f"{registry.KINDS[kind].selector}={name}" for kind, name in named.items()]


def _check_values(dataset, profile, settings):
    assert dataset == "auto" or dataset in registry.names("datasets")
    make_config("omniglot" if dataset == "auto" else dataset, profile, **parse_settings(settings))


@contextlib.contextmanager
def _process_as_before():
    """Give back the signals and log handlers that a command sets for a process of its own."""
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    logs = [(log, log.handlers[:], log.level, log.propagate) for log in (logging.root, logging.getLogger("tfmeta"))]
    yield
    for number, handler in signals.items():
        signal.signal(number, handler)
    for log, handlers, level, propagate in logs:
        log.handlers[:], log.propagate = handlers, propagate
        log.setLevel(level)
