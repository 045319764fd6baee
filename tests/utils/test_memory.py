"""The free memory is the machine's, or the container's where that is less."""

import pytest

from tfmeta.utils import memory


@pytest.mark.parametrize(
    ("limit", "used", "stat", "expected"),
    [
        ("max\n", 0, "", 16e9),
        ("8000000000\n", 3e9, "", 5e9),
        ("8000000000\n", 8e9, "anon 1\nactive_file 2000000000\ninactive_file 3000000000\nfile 9\n", 5e9),
        ("8000000000\n", 9e9, "nonsense", 0),
        ("99000000000\n", 0, "", 16e9),
    ],
)
def test_free_memory_in_a_container(limit, used, stat, expected, monkeypatch, tmp_path):
    machine = memory.psutil.virtual_memory()._replace(available=16 * 10**9)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: machine)
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.free() == 16e9  # without control groups
    for name, text in (("max", limit), ("current", str(int(used))), ("stat", stat)):
        (tmp_path / f"memory.{name}").write_text(text)
    assert memory.free() == expected
