"""How the tests call the command: in a process of its own, or in this one."""

import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

import tfmeta
from experiments.cli import main

ROOT = Path(tfmeta.__file__).parents[1]


def command(*words, **options):
    """Run `python -m tfmeta` in a process of its own, which also finds this checkout from other folders."""
    given = {"capture_output": True, "text": True, "timeout": 120, "stdin": subprocess.DEVNULL, **options}
    given["env"] = {**os.environ, "PYTHONPATH": str(ROOT), **given.get("env", {})}
    return subprocess.run([sys.executable, "-m", "tfmeta", *map(str, words)], **given)


def invoked(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code != 0
    assert "Traceback" not in result.output and isinstance(result.exception, SystemExit)
    return result.output
