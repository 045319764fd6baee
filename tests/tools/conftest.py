"""Fixtures of the tests of tools/ and the Makefile."""

import pytest
from small_checkout import Checkout, pack_uv


@pytest.fixture(scope="session")
def uv(tmp_path_factory):
    """A wheel of the real uv."""
    return pack_uv(tmp_path_factory.mktemp("uv"))


@pytest.fixture
def checkout(tmp_path, uv):
    """A checkout whose path holds blanks and a quote."""
    return Checkout(tmp_path / "a user's checkout", uv)
