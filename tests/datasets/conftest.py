import pytest
from loopback import Loopback
from small_release import Release, make_release


@pytest.fixture(scope="session")
def _release():
    return make_release()


@pytest.fixture
def release(_release):
    """A release of 3 + 2 characters that the test may damage."""
    return Release(_release.parts, dict(_release.files))


@pytest.fixture
def no_proxy(monkeypatch):
    """Use no proxy; setting NO_PROXY is not enough, since a user's no_proxy has priority."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def loopback(no_proxy):
    """A server on 127.0.0.1 that misbehaves as told."""
    with Loopback() as server:
        yield server
