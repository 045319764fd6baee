"""Lets the contenders take turns, then prints and stores the table of ratios."""

import contextlib
import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tfmeta.datasets.shares import BENIGN
from tfmeta.store import atomic, provenance
from tfmeta.utils import progress, threads

BUDGET, TURNS = 75.0, 6  # no further turn begins that would end after these seconds, or that has this number
_RATIOS = {  # what is compared -> (numerator, denominator, the bound that it should meet)
    "time of a naive loop / of the core": ("naive", "core", "at least 1.70"),
    "time of a round through TFF / in process": ("through TFF", "in process", "at most 1.20"),
    "the same on colour images (84x84, 32 filters)": ("colour, through TFF", "colour, in process", "at most 1.20"),
    "time of a step of matching / of supervised fine-tuning": ("matching", "fine_tuning", "at most 1.30"),
    "rate of the core / of a matrix product": ("core, at a matrix product's rate", "core", "at least 0.60"),
}


def main(out: Path) -> None:
    """Measure this machine, print the table, and store it as `bench.json` in the folder `out`.

    Raises:
        StorageError: the folder cannot be written to.
    """
    begun = provenance.start()
    progress.quiet_tensorflow("tensorflow_federated")
    threads.side_by_side()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        first, best = _turns(_contenders(Path(folder), out, stack))
        memory = [sum(_peaks(psutil.Process().children(True))), *_peaks([psutil.Process()])]
    document = _document(first, best, memory)
    print(_text(document))
    atomic.write_json(out / "bench.json", document | {"provenance": provenance.collect("0" * 64, begun)})


def _contenders(folder, out, stack):
    """Return a function for each contender, by name, that makes it ready and returns it."""
    from experiments.bench import contenders as of
    from tfmeta.federated.in_process import InProcessFederation
    from tfmeta.federated.tff.federation import TffFederation

    scene = functools.cache(lambda: of.Scene("omniglot", "paper", folder))
    color = functools.cache(lambda: of.Scene("mini-imagenet", "quick", folder))

    def through_tff(scene, *work):
        federation = TffFederation(scene.setting, out / "tff-worker.log")
        stack.callback(federation.close)
        return of.rounds(federation, scene, *work)

    return {
        "core": lambda: of.core(scene()),
        "naive": lambda: _naive(folder, stack),
        "matrix product": of.matrix_products,
        "in process": lambda: of.rounds(InProcessFederation(scene().setting), scene(), BENIGN, of.EPISODES),
        "through TFF": lambda: through_tff(scene(), BENIGN, of.EPISODES),
        "colour, in process": lambda: of.rounds(
            InProcessFederation(color().setting), color(), BENIGN[:1], of.COLOR_EPISODES
        ),
        "colour, through TFF": lambda: through_tff(color(), BENIGN[:1], of.COLOR_EPISODES),
        "fine_tuning": lambda: of.adapting("fine_tuning"),
        "matching": lambda: of.adapting("matching"),
    }


def _turns(contenders):
    """Return each contender's seconds until its first turn ended, which traces its graph, and those of its best one."""
    begun, first, ready, times = time.monotonic(), {}, {}, {name: [] for name in contenders}
    with progress.bar((TURNS + 1) * len(contenders), "bench", "turn", every=5) as bar:
        for name, make in contenders.items():
            start = time.monotonic()
            ready[name] = make()
            ready[name]()
            first[name] = time.monotonic() - start
            bar.update(1)
        for turn in range(TURNS):
            start = time.monotonic()
            for name, measure in ready.items():
                times[name].append(measure())
                bar.update(1)
            if 2 * time.monotonic() - start - begun > BUDGET:
                break
    return first, {name: min(found) for name, found in times.items()}


def _document(first, best, memory):
    from experiments.bench import contenders as of
    from tfmeta.models.conv4 import Conv4

    operations = of.step_operations(Conv4((28, 28, 1), 5, 64), 10) * 10 * of.EPISODES
    rate = threads.cores() * 2 * of.MATRIX**3 / best["matrix product"]
    best = {**best, "core, at a matrix product's rate": operations / rate}
    done = {"core": of.EPISODES, "in process": 3 * of.EPISODES, "through TFF": 3 * of.EPISODES}
    return {
        "cores": threads.cores(),
        "ratios": {what: {"ratio": best[a] / best[b], "bound": bound} for what, (a, b, bound) in _RATIOS.items()},
        "episodes per second": {name: number / best[name] for name, number in done.items()},
        "GFLOP per second": {"matrix products": rate / 1e9, "core": operations / best["core"] / 1e9},
        "seconds until the first round ended": {name: first[name] for name in ("in process", "through TFF")},
        "peak memory in MB": {"this process": memory[1], "its children, with TFF's two workers": memory[0]},
    }


def _text(document):
    lines = [f"best turns on {document['cores']} cores; 28x28 images and 64 filters unless it says otherwise", "ratios"]
    lines += [f"  {what:56} {row['ratio']:8.2f}   should be {row['bound']}" for what, row in document["ratios"].items()]
    for group in list(document)[2:]:
        lines += [group, *(f"  {name:56} {value:8.2f}" for name, value in document[group].items())]
    return "\n".join(lines)


def _naive(folder, stack):
    # -P and our own path: the current folder may hold other packages of our names
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    code = f"from experiments.bench import contenders; contenders.serve_naive({str(folder)!r})"
    command = [sys.executable, "-P", "-W", "ignore", "-c", code]
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child = stack.enter_context(subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, **pipes))

    def measure():
        child.stdin.write("\n")
        child.stdin.flush()
        return float(child.stdout.readline())

    return measure


def _peaks(processes):
    lines = [Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines() for process in processes]
    return [int(line.split()[1]) / 1024 for status in lines for line in status if line.startswith("VmHWM")]
