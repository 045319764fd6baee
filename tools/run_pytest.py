"""Run pytest with the words of the variable PYTEST_ARGS after those given here: run_pytest.py [WORD]...

Words are split as a shell splits them, quotes included, but nothing in them is expanded or run.
"""

import os
import shlex
import sys

try:
    words = shlex.split(os.environ.pop("PYTEST_ARGS", ""))
except ValueError as error:
    sys.exit(f"tfmeta: PYTEST_ARGS cannot be split into words ({error}): close its quotes.")
os.execv(sys.executable, [sys.executable, "-m", "pytest", *sys.argv[1:], *words])
