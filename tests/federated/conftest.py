"""No program that a test started outlives it, also where the test fails or times out."""

import pytest
from fixtures_processes import end_programs


@pytest.fixture(autouse=True)
def programs_end():
    yield
    end_programs()
