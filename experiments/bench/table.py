"""Runs the contenders in turn and prints one table; stores it with where it came from."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from experiments.bench import adapting, contenders
from tfmeta.store import atomic, provenance
from tfmeta.utils import progress, threads

TURNS = 16  # the first of each traces its graph and does not count


def main(out):
    """Measure, print, and store ``bench.json`` in the folder ``out``."""
    begun = provenance.start()
    seconds = {f"import {name}": _import_seconds(name) for name in ("tfmeta", "tensorflow", "tensorflow_federated")}
    threads.side_by_side()
    with tempfile.TemporaryDirectory() as folder:
        best, first, memory = _turns(Path(folder), Path(out))
    document = _document(best, {**seconds, "first round through TFF, its start included": first}, memory)
    document["provenance"] = provenance.collect("0" * 64, begun)
    print(_text(document))
    atomic.write_json(Path(out) / "bench.json", document)


def _turns(folder, out):
    from tfmeta.federated.in_process import InProcessFederation
    from tfmeta.federated.tff.federation import TffFederation

    setting, banks, weights = contenders.scene(folder)
    colour = contenders.colour_scene(folder)
    begun = time.perf_counter()
    through_tff = TffFederation(setting, out / "tff-worker.log")
    colour_tff = TffFederation(colour[0], out / "tff-worker-colour.log")
    child = _child(folder)
    try:
        tff_round = contenders.rounds(through_tff, setting, banks, weights)
        tff_round()
        first = time.perf_counter() - begun
        measures = {
            "core": contenders.core(setting, banks, weights),
            "naive": lambda: _ask(child, "naive"),
            "matmul": lambda: _ask(child, "matmul"),
            "in process": contenders.rounds(InProcessFederation(setting), setting, banks, weights),
            "through TFF": tff_round,
            "colour, in process": contenders.rounds(InProcessFederation(colour[0]), *colour),
            "colour, through TFF": contenders.rounds(colour_tff, *colour),
            **{name: adapting.contender(name) for name in adapting.CONTENDERS},
            "matching, one task after another, all cores in an operation": lambda: _ask(child, "tasks"),
        }
        times = {name: [] for name in measures}
        with progress.bar(TURNS * len(measures), "bench", "turn") as bar:
            for _ in range(TURNS):
                for name, measure in measures.items():
                    times[name].append(measure())
                    bar.update(1)
        memory = {
            "this process": _peak(psutil.Process()),
            "TFF's two workers": sum(_peak(p) for p in psutil.Process().children(True) if p.pid != child.pid),
        }
    finally:
        child.stdin.close()
        child.wait()
        through_tff.close()
        colour_tff.close()
    return {name: min(found[1:]) for name, found in times.items()}, first, memory


def _document(best, seconds, memory):
    from tfmeta.models.conv4 import Conv4

    model, episodes = Conv4((28, 28, 1), 5, 64), contenders.EPISODES
    flops = contenders.step_flops(model, 10) * 10 * episodes
    rate = 2 * 1024**3 / best["matmul"]
    return {
        "setting": f"Conv4, 64 filters, 28x28, 10 inner steps of 10 pictures, {episodes} episodes a user",
        "cores": threads.cores(),
        "episodes_a_second": {
            "core, side by side, one thread an operation": episodes / best["core"],
            "naive loop, all cores in an operation": episodes / best["naive"],
            "round of 3 users in process, one thread an operation": 3 * episodes / best["in process"],
            "round of 3 users through TFF, one thread an operation": 3 * episodes / best["through TFF"],
            "the same on colour pictures (84x84, 32 filters) in process": 3 * episodes / best["colour, in process"],
            "the same on colour pictures (84x84, 32 filters) through TFF": 3 * episodes / best["colour, through TFF"],
        },
        "ratios": {
            "core against naive loop (at least 1.7)": best["naive"] / best["core"],
            "share of the matrix-multiply rate (at least 0.60)": flops / best["core"] / rate,
            "time through TFF against in process (at most 1.20)": best["through TFF"] / best["in process"],
            "the same on colour pictures (at most 1.20)": best["colour, through TFF"] / best["colour, in process"],
            "a matching step against a supervised one (at most 1.30)": best["matching"] / best["supervised"],
        },
        "milliseconds_a_step_and_task": {
            name: 1000 * best[name] / (adapting.TASKS * adapting.STEPS)
            for name in (*adapting.CONTENDERS, "matching, one task after another, all cores in an operation")
        },
        "gigaflops_a_second": {"matrix multiply, float32, 1024": rate / 1e9, "core": flops / best["core"] / 1e9},
        "seconds": seconds,
        "peak_memory_megabytes": memory,
    }


def _text(document):
    lines = [f"{document['setting']}; {document['cores']} cores; the best of {TURNS - 1} turns each"]
    for group, rows in document.items():
        if isinstance(rows, dict) and group != "provenance":
            lines += [f"{group.replace('_', ' ')}"] + [f"  {name:62} {value:10.2f}" for name, value in rows.items()]
    return "\n".join(lines)


def _child(folder):
    # its own interpreter, not a fork: this one's TensorFlow has threads
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.bench.all_cores", str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _ask(child, name):
    child.stdin.write(name + "\n")
    child.stdin.flush()
    return float(child.stdout.readline())


def _peak(process):
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def _import_seconds(name):
    code = f"import time; t = time.perf_counter(); import {name}; print(time.perf_counter() - t)"
    answer = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return float(answer.stdout.split()[-1])
