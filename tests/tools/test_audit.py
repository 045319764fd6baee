"""`make audit` says what is known, or in one sentence that the database could not be asked."""

import json

import pytest
from small_checkout import requirement, write_wheel

# In the place of pip-audit: it writes the report given in its environment, or fails as pip-audit does offline.
TINY = """
import os, sys
if "REPORT" not in os.environ:
    raise ConnectionError("no name server")
path, = [word.partition("=")[2] for word in sys.argv if word.startswith("--output=")]
with open(path, "w") as file:
    file.write(os.environ["REPORT"])
"""
HARMLESS = {"name": "thing", "version": "1", "vulns": []}
KNOWN = {"id": "PYSEC-2026-1", "fix_versions": ["2", "3"], "aliases": ["CVE-2026-1"], "description": ""}


@pytest.fixture
def audited(checkout):
    """A checkout whose lock of `make audit` lists the tiny pip-audit."""
    wheel = write_wheel(checkout.wheels, "pip_audit", {"pip_audit/__init__.py": "", "pip_audit/__main__.py": TINY})
    (checkout.folder / "requirements-audit.txt").write_text(requirement(wheel))
    return checkout


@pytest.mark.slow
def test_what_is_known_is_listed_with_a_status_of_its_own(audited):
    report = {"dependencies": [HARMLESS], "fixes": []}
    code, printed, error = audited.run("audit", REPORT=json.dumps(report))
    assert code == 0, error
    locks = ["requirements-audit.txt", "requirements-tools.txt", "requirements.txt"]
    assert printed.splitlines() == [f"{lock}: no known vulnerabilities" for lock in locks]
    packages = audited.folder / ".venv-audit" / "lib/python3.11/site-packages"
    assert not (packages / "setuptools").exists()  # no version that Python brings along and no lock lists

    report["dependencies"].append({**HARMLESS, "name": "other", "vulns": [KNOWN]})
    code, printed, error = audited.run("audit", REPORT=json.dumps(report))
    assert code != 0 and "Error 1" in error
    assert printed.count("  other 1: PYSEC-2026-1 CVE-2026-1, fixed in 2, 3\n") == len(locks)


@pytest.mark.slow
def test_a_database_that_cannot_be_reached_ends_in_one_sentence(audited):
    code, printed, error = audited.run("audit")
    assert code != 0 and printed == "" and "Error 2" in error
    sentence = [line for line in error.splitlines() if line.startswith("tfmeta: ")][-1]
    assert "cannot be asked about requirements-audit.txt: check the network" in sentence
    assert sentence.endswith("(pip-audit: ConnectionError: no name server).") and "Traceback" not in error
