"""The campaign's seed, which is printed and repeats it, and the undisturbed runs that others are compared with."""

import os
import random
import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from places import Place

SEED = int(os.environ.get("FAULTS_SEED") or secrets.randbelow(10**6))


def pytest_report_header():
    return f"fault campaign: seed {SEED} (`make faults SEED={SEED}` repeats it)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed and item.path.parent.name == "faults":
        report.sections.append(("fault campaign", f"seed {SEED}: `make faults SEED={SEED}` repeats it"))
    return report


@pytest.fixture(scope="session")
def campaign_seed():
    return SEED


@pytest.fixture
def chance(request):
    """Random numbers of the campaign's seed and this test, whichever other tests run."""
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """Function of a runtime that returns the place of a run that nothing disturbed; both are run at once."""
    runs = {}

    def run(runtime):
        place = Place(tmp_path_factory.mktemp(runtime), runtime)
        ended = place.run()
        assert ended.code == 0, ended.output
        return place

    def made(runtime, length=False):
        if runtime not in runs:
            begun = time.monotonic()
            runs[runtime] = run(runtime), time.monotonic() - begun
        return runs[runtime] if length else runs[runtime][0]

    return made


@pytest.fixture(scope="session")
def both(undisturbed):
    """The undisturbed runs of both runtimes, made at once: place and seconds by runtime."""
    with ThreadPoolExecutor(2) as pool:
        made = {runtime: pool.submit(undisturbed, runtime, True) for runtime in ("tff", "inprocess")}
    return {runtime: future.result() for runtime, future in made.items()}
