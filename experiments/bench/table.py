"""Lets contenders take turns, then prints and stores ratios; the "core" is a user's share of a round in process."""

import contextlib
import functools
import multiprocessing
import signal
import tempfile
import time
import timeit
from concurrent import futures
from pathlib import Path

import psutil

from tfmeta.store import atomic, provenance
from tfmeta.utils import progress, threads

BUDGET, TURNS = 90.0, 6  # turns end before this many seconds, or after this many turns
_RATIOS = {  # what is compared -> (numerator, denominator, the bound that the ratio should meet)
    "time of a naive loop / of the core": ("naive", "core", "at least", 1.70),
    "time of a round through TFF / in process": ("through TFF", "in process", "at most", 1.20),
    "the same on colour images, 84x84, 32 filters": ("colour, through TFF", "colour, in process", "at most", 1.20),
    "time of a step of matching / of fine-tuning": ("matching", "fine_tuning", "at most", 1.30),
    "rate of the core / of matrix products": ("core, at the rate of matrix products", "core", "at least", 0.60),
}
_started = []  # in the naive loop's process: its work


def main(out: Path) -> None:
    """Measure this machine, print the table, and store it as `bench.json` in `out`; `StorageError` if it cannot be."""
    begun = provenance.start()
    progress.quiet_tensorflow("tensorflow_federated")
    threads.side_by_side()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        document = _document(_best(_contenders(Path(folder), out, stack)))
        used = [process.memory_info().rss / 2**20 for process in (psutil.Process(), *psutil.Process().children(True))]
    document["memory in MB"] = {"this process": used[0], "its children, with TFF's two workers": sum(used[1:])}
    for group, rows in document.items():
        verdicts = {what: _verdict(number, *_RATIOS[what][2:]) for what, number in rows.items() if what in _RATIOS}
        print(group, *(f"  {what:44} {number:8.2f}{verdicts.get(what, '')}" for what, number in rows.items()), sep="\n")
    atomic.write_json(out / "bench.json", document | {"provenance": provenance.collect("0" * 64, begun)})


def _verdict(number, side, bound):
    met = number >= bound if side == "at least" else number <= bound
    return f"  {side} {bound:.2f}  {'met' if met else 'missed on this machine'}"


def _contenders(folder, out, stack):
    """Return a function for each contender, by name, that makes it ready and returns its work."""
    from experiments.bench import contenders as of
    from tfmeta.federated.in_process import InProcessFederation
    from tfmeta.federated.tff.federation import TffFederation

    grey = functools.cache(lambda: (of.Scene("omniglot", "paper", folder), (2, 3, 4), of.EPISODES))
    color = functools.cache(lambda: (of.Scene("mini-imagenet", "quick", folder), (2,), of.EPISODES // 2))

    def rounds(federation, scene, *log):
        federation = stack.enter_context(contextlib.closing(federation(scene[0].setting, *log)))
        return of.rounds(federation, *scene)

    return {
        "naive": lambda: _naive(folder, stack),
        "matrix products": of.matrix_products,
        "in process": lambda: rounds(InProcessFederation, grey()),
        "through TFF": lambda: rounds(TffFederation, grey(), out / "tff-worker.log"),
        "colour, in process": lambda: rounds(InProcessFederation, color()),
        "colour, through TFF": lambda: rounds(TffFederation, color(), out / "tff-worker.log"),
        "fine_tuning": lambda: of.adapting("fine_tuning"),
        "matching": lambda: of.adapting("matching"),
    }


def _naive(folder, stack):
    # a process of its own, where all cores work on each operation: TensorFlow's threads are set once in each process
    spawn = multiprocessing.get_context("spawn")
    pool = stack.enter_context(futures.ProcessPoolExecutor(1, spawn, _start_naive, (folder,)))
    return lambda: pool.submit(_do_naive).result()


def _start_naive(folder):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    progress.quiet_tensorflow("tensorflow")
    from experiments.bench import contenders as of

    _started.append(of.naive(of.Scene("omniglot", "paper", folder)))


def _do_naive():
    _started[0]()


def _best(contenders):
    """Return the seconds of each contender's best turn."""
    begun, work, times = time.monotonic(), {}, {name: [] for name in contenders}
    with progress.bar((TURNS + 1) * len(contenders), "bench", "turn", every=5) as bar:
        for name, make in contenders.items():
            work[name] = make()
            work[name]()  # traces its graph, so it does not count
            bar.update(1)
        for _ in range(TURNS):
            start = time.monotonic()
            for name, found in times.items():
                found.append(timeit.timeit(work[name], number=1))
                bar.update(1)
            if 2 * time.monotonic() - start - begun > BUDGET:
                break
    return {name: min(found) for name, found in times.items()}


def _document(best):
    from experiments.bench import contenders as of
    from tfmeta.models.conv4 import Conv4

    operations = of.operations(Conv4((28, 28, 1), 5, 64), 10, 10 * of.EPISODES)
    rate = 2 * of.PRODUCTS * of.MATRIX**3 / best["matrix products"]
    best = {**best, "core": best["in process"] / 3, "core, at the rate of matrix products": operations / rate}
    ratios = {what: best[a] / best[b] for what, (a, b, *_) in _RATIOS.items()}
    return {
        f"ratios of best turns on {threads.cores()} cores (28x28 images, 64 filters)": ratios,
        "episodes per second": {name: of.EPISODES / best[name] for name in ("core", "naive")},
        "GFLOP per second": {"matrix products": rate / 1e9, "core": operations / best["core"] / 1e9},
    }
