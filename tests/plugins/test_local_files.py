"""Local files that plug-ins import: the one that Python runs is the one that has the digest."""

import sys

import pytest
from plugin_files import defence, write

from tfmeta.errors import PluginError
from tfmeta.plugins import sources
from tfmeta.plugins.outside import use_file

AT_ONCE = defence("factor: float = FACTOR", before="from helper_of_test import FACTOR\n")
LATER = defence(adapt="from helper_of_test import FACTOR\nreturn FACTOR")


@pytest.fixture(autouse=True)
def _forget_helper(forget_plugins):
    yield
    sys.modules.pop("helper_of_test", None)


@pytest.fixture
def two(tmp_path):
    """Two folders with a helper of one name."""
    for number, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "helper_of_test", f"FACTOR = 0.{number}")
    return tmp_path / "a", tmp_path / "b"


@pytest.mark.parametrize("second", [AT_ONCE, LATER], ids=["at once", "later"])
def test_a_helper_that_another_file_imported_is_refused(two, second):
    use_file(write(two[0], "one", AT_ONCE))
    with pytest.raises(PluginError, match=r"two\.py needs helper_of_test from .*/b/helper.*was already imported from "
                                          r".*/a/helper_of_test\.py: rename one of the two files"):  # fmt: skip
        use_file(write(two[1], "two", second))


@pytest.mark.parametrize("second", [AT_ONCE, LATER], ids=["at once", "later"])
def test_a_helper_that_a_function_imports_later_is_refused_too(two, second):
    use_file(write(two[0], "one", LATER))
    with pytest.raises(PluginError, match="rename one of the two files"):
        use_file(write(two[1], "two", second))


def test_a_refused_file_can_be_used_after_its_helper_was_renamed(two):
    use_file(write(two[0], "one", AT_ONCE))
    path = write(two[1], "two", AT_ONCE)
    with pytest.raises(PluginError):
        use_file(path)
    write(two[1], "other_helper_of_test", "FACTOR = 0.75")
    (plugin,) = use_file(write(two[1], "two", AT_ONCE.replace("helper_of", "other_helper_of")))
    assert plugin().factor == 0.75


def test_two_files_may_share_a_helper_and_have_others_of_their_own(two):
    use_file(write(two[0], "one", AT_ONCE))
    use_file(write(two[0], "two", LATER))
    use_file(write(two[1], "three", defence()))


def test_the_helper_that_pythons_path_has_first_is_the_one_that_counts(two, monkeypatch):
    monkeypatch.syspath_prepend(two[0])
    path = write(two[1], "two", AT_ONCE)
    before = sources.file_digest(path)
    (plugin,) = use_file(path)
    assert plugin().factor == 0.0
    write(two[1], "helper_of_test", "FACTOR = 0.3")
    assert sources.file_digest(path) == before
    write(two[0], "helper_of_test", "FACTOR = 0.3")
    assert sources.file_digest(path) != before
