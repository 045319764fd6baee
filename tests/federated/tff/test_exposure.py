"""No way to run a federation opens a network port or leaves a process behind, not even a process called directly."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from fixtures_processes import gone, needs_seccomp, program
from listening import OpenPorts

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]


def watched(process, seconds=150):
    """Follow a process and its descendants to its end.

    Returns:
        The ids of its descendants by program name, and the addresses at which any of them listened.
    """
    descendants, addresses, end = {}, set(), time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        try:
            tree = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            break
        for each in (psutil.Process(process.pid), *tree):
            try:
                if each.pid != process.pid:
                    descendants.setdefault(each.name(), set()).add(each.pid)
                addresses |= {at.laddr for at in each.net_connections("inet") if at.status == psutil.CONN_LISTEN}
            except psutil.Error:  # it has just ended
                continue
        time.sleep(0.02)
    return descendants, addresses


def test_a_listening_child_is_noticed():
    """Guards the other tests: what they look for can be found."""
    source = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); time.sleep(2)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {source!r}])"
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        descendants, addresses = watched(process)
    assert len(addresses) == 1 and sum(map(len, descendants.values())) == 1


@pytest.mark.parametrize(
    ("host", "noticed"), [("127.0.0.1", False), ("::1", False), ("0.0.0.0", True), ("::", True)]
)  # fmt: skip
def test_only_ports_that_are_open_to_other_machines_are_noticed(host, noticed, monkeypatch):
    """Guards the tests of whole runs, which use `OpenPorts`."""
    monkeypatch.delenv("TFMETA_ALLOW_OPEN_PORT", raising=False)
    family = "socket.AF_INET6" if ":" in host else "socket.AF_INET"
    child = f"import socket, time; s = socket.create_server(({host!r}, 0), family={family}); time.sleep(1.5)"
    start = f"subprocess.Popen([sys.executable, '-c', {child!r}])"
    parent = f"import subprocess, sys, time; {start}; time.sleep(0.7)"
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        watch = OpenPorts(process.pid)
        with pytest.raises(AssertionError, match="open to other machines") if noticed else contextlib.nullcontext():
            with watch:
                process.wait()
    assert {address for _, address, _ in watch.found} == ({host} if noticed else set())


PREPARE = """
    import sys, pathlib, numpy as np
    sys.path.insert(0, TESTS)
    from core_fixtures import Scene
    scene = Scene(pathlib.Path(LOG).parent / "scene")
    jobs = [scene.job(), scene.job(seed=[1, 2])]

    def same(one, other):
        return all(np.allclose(a, b, atol=1e-5) for a, b in zip(one, other, strict=True))
"""
IN_PROCESS = """
    from tfmeta.federated.in_process import InProcessFederation
    with InProcessFederation(scene.setting) as federation:
        state, loss = federation.next(federation.start(scene.weights), jobs)
    wanted = federation.weights(state)
"""
THROUGH_TFF = """
    from tfmeta.federated.tff.federation import TffFederation
    with TffFederation(scene.setting, LOG) as federation:
        state, loss = federation.next(federation.start(scene.weights), jobs)
    assert same(federation.weights(state), wanted)
"""
CALLED_DIRECTLY = """
    import asyncio, time
    from tfmeta.federated.tff.process import build_process
    process = build_process(scene.setting, scene.weights)
    state = process.initialize()

    async def main():  # as in a notebook, whose cells run in an event loop
        return process.next(state, [[job._asdict()] for job in jobs]).state

    state = asyncio.run(main())
    print("done", flush=True)
    if ENDING == "SIGKILL":
        time.sleep(60)
    assert same(state.global_model_weights.trainable, wanted)
"""
WAYS = {"in process": "", "TffFederation": THROUGH_TFF, "process called directly": CALLED_DIRECTLY}


def started(tmp_path, source, ending="success"):
    tests = str(Path(__file__).parents[2])
    return program(PREPARE + source, LOG=str(tmp_path / "worker.log"), TESTS=tests, ENDING=ending)


@needs_seccomp
@pytest.mark.parametrize("way", WAYS)
def test_nothing_listens_on_the_network_and_nothing_is_left(way, tmp_path):
    process = started(tmp_path, IN_PROCESS + WAYS[way])
    descendants, addresses = watched(process)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0 and "Traceback" not in errors, errors
    assert addresses == set()
    workers = descendants.get("worker_binary", set())
    assert len(workers) == (0 if way == "in process" else 1)
    assert all(gone(pid) for pids in descendants.values() for pid in pids)
    assert {path.name for path in tmp_path.iterdir()} <= {"scene", "worker.log"}


@needs_seccomp
def test_a_killed_program_that_called_a_process_directly_leaves_nothing(tmp_path):
    process = started(tmp_path, CALLED_DIRECTLY, ending="SIGKILL")
    killer = threading.Thread(target=lambda: process.stdout.readline() and os.kill(process.pid, signal.SIGKILL))
    killer.start()
    descendants, addresses = watched(process)
    killer.join()
    assert process.wait() == -signal.SIGKILL
    assert addresses == set()
    assert all(gone(pid) for pid in descendants["worker_binary"])
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith("__autograph_")}  # TensorFlow's
    assert left == {"scene"}


@needs_seccomp
def test_a_boosted_aggregation_called_directly_runs_in_our_worker(tmp_path):
    source = """
    import collections
    from tfmeta.federated.tff.boosted_aggregation import WEIGHT_TYPE, BoostedFactory
    import tensorflow_federated as tff
    process = BoostedFactory(alpha=0.5).create(tff.to_type([tff.TensorType(np.float32, [2])]), WEIGHT_TYPE)
    weight = collections.OrderedDict(alpha=1.0, boost=3.0)
    result = process.next(process.initialize(), [[np.ones(2, np.float32)]] * 2, [weight] * 2).result
    assert (result[0] == 3).all()
    """
    process = started(tmp_path, source)
    descendants, addresses = watched(process)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0 and "Traceback" not in errors, errors
    assert addresses == set() and len(descendants["worker_binary"]) == 1


BY_ITSELF = """
    import sys, threading, numpy as np
    if ORDER == "TFF first":
        import tensorflow_federated as tff
    import tfmeta
    assert ORDER == "TFF first" or not {"tensorflow", "tensorflow_federated"} & set(sys.modules)
    import tensorflow_federated as tff

    process = tff.aggregators.SumFactory().create(tff.to_type([tff.TensorType(np.float32, [2])]))
    assert (process.next(process.initialize(), [[np.ones(2, np.float32)]] * 2).result[0] == 2).all()

    def elsewhere():
        try:
            process.initialize()
        except RuntimeError as error:
            print("refused:", error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
"""


@needs_seccomp
@pytest.mark.parametrize("order", ["TFF first", "TFF later"])
def test_tff_by_itself_runs_in_our_worker_once_tfmeta_is_imported(order, tmp_path):
    """As somebody does who tries an aggregation; in other threads TFF has no default, and starts nothing."""
    process = program(BY_ITSELF, ORDER=order, LOG=str(tmp_path / "worker.log"))
    descendants, addresses = watched(process)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0 and "Traceback" not in errors, errors
    assert "refused: No default context" in output
    assert addresses == set() and len(descendants["worker_binary"]) == 1
    assert all(gone(pid) for pids in descendants.values() for pid in pids)
