"""Python code in a process of its own."""

import os
import subprocess
import sys
import textwrap


def python(code, *arguments, **environment):
    """Run code in a new process whose environment says nothing about TensorFlow's log."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "PYTHONWARN"))}
    return subprocess.run(
        [sys.executable, "-B", "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True, text=True, timeout=120, env={**kept, **environment},
    )  # fmt: skip
