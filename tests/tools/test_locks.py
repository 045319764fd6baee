"""The locks meet setup.py, agree with each other, and are complete."""

import re
import runpy

import pytest
from packaging.requirements import Requirement
from small_checkout import ROOT

SETUP = runpy.run_path(str(ROOT / "setup.py"), run_name="test")
TESTED = [*SETUP["REQUIRES"], *SETUP["EXTRAS"]["test"]]
ASKED = {
    "requirements.txt": [*TESTED, *SETUP["EXTRAS"]["cpu"]],
    "requirements-gpu.txt": [*TESTED, *SETUP["EXTRAS"]["gpu"]],
    "requirements-docs.txt": SETUP["EXTRAS"]["docs"],
    "requirements-audit.txt": SETUP["EXTRAS"]["audit"],
    "requirements-tools.txt": SETUP["EXTRAS"]["tools"],
}


def pins(name):
    """Return the versions that a lock pins, by package."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", ASKED)
def test_lock_meets_setup_and_names_no_index(name):
    text = (ROOT / name).read_text()
    hashed = re.findall(r"^[\w.-]+==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(hashed) == len(re.findall(r"^\w", text, re.MULTILINE)) >= len(ASKED[name])  # all pinned, all with hashes
    assert "://" not in text
    for line in ASKED[name]:
        asked = Requirement(line)
        assert asked.specifier.contains(pins(name)[asked.name]), line


def test_locks_differ_in_tensorflow_only():
    names = {name for name, _ in pins("requirements.txt").items() ^ pins("requirements-gpu.txt").items()}
    assert {name for name in names if not name.startswith("nvidia-")} == {"tensorflow", "tensorflow-cpu"}


def test_docs_have_the_versions_of_the_other_lock():
    everything = pins("requirements.txt")
    both = pins("requirements-docs.txt").items() & everything.items()
    assert {name for name, _ in both} == pins("requirements-docs.txt").keys() & everything.keys()
