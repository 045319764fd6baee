"""Fixtures of these tests, and no program that a test started outlives it, even where the test fails."""

import pytest
from fixtures_federation import scene  # noqa: F401 - a fixture
from fixtures_processes import end_programs


@pytest.fixture(autouse=True)
def programs_end():
    yield
    end_programs()
