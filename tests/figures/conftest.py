"""Made-up results for the figures' tests: they say so in their notes and never leave a test's folder."""

import numpy as np
import pytest

from figures import style
from tfmeta.store import results

ITERATIONS = [0, 10, 20, 50, 100, 150, 200]
METRICS = ("main", "meta_test", "backdoor_train", "backdoor_validation")


@pytest.fixture
def made_up(tmp_path):
    """Return a function that writes made-up results of one run and returns their folder."""

    def make(dataset="omniglot", profile="quick", experiments=("meta_training", "fine_tuning"), **options):
        folder = results.run_folder(tmp_path / "results", dataset, profile)
        for experiment in experiments:
            if experiment.startswith("ablation") or experiment == "delta-curve":
                for case in "ac":
                    write_pooled(folder, dataset, profile, experiment, case)
                continue
            if experiment == "illustration":
                write_illustration(folder, dataset, profile)
                continue
            for case in "abc":
                write_curves(folder, dataset, profile, experiment, case, **options)
        return folder

    return make


@pytest.fixture
def drawn(monkeypatch):
    """Return a dict that takes each figure (matplotlib's object) by name when it is saved."""
    figures, save = {}, style.save

    def keep(figure, out, name):
        figures[name] = figure
        return save(figure, out, name)

    monkeypatch.setattr(style, "save", keep)
    return figures


@pytest.fixture
def make_document():
    """Return the function that makes a document's parts other than its curves."""
    return document


def document(experiment, case, dataset, profile, curves, **more):
    return {
        "experiment": experiment, "case": case, "dataset": dataset, "profile": profile,
        "config": {
            "seed": 0, "ways": 5, "tasks": 10, "delta": 0.3, "task_seed": 1, "beta_initial": 10.0,
            "attention_steps": 10,
        },
        "provenance": {
            "commit": "0123456789abcdef0123456789abcdef01234567", "versions": {"tfmeta": "0"},
            "data_digest": "0" * 64, "started": "2000-01-01T00:00:00+00:00", "seconds": 1.0,
        },
        "curves": curves, "notes": ["MADE-UP NUMBERS, for a test"], **more,
    }  # fmt: skip


def write_curves(folder, dataset, profile, experiment, case, n=10, rounds=13, head="softmax", users=(2, 3, 4)):
    """Write a document whose curves look like the paper's: high main task, backdoor high after the attack."""
    rng = np.random.default_rng([ord(case), len(experiment)])
    curves, values = [], {}

    def add(user, metric, split, x, x_name, level, pictures, tasks):
        drawn = rng.binomial(pictures, np.clip(level, 0, 1)[:, None], (len(x), tasks)) / pictures
        entry = results.curve(user=user, head=head, metric=metric, split=split, x=x, x_name=x_name, task_values=drawn)
        curves.append(entry)
        values[results.key(entry)] = drawn

    def levels(metric, split, x):
        x = np.asarray(x, float)
        if metric in ("main", "meta_test"):
            return 0.2 + (0.76 if metric == "main" else 0.72) * (1 - np.exp(-(x + 4) / 8))
        if split == "before":
            return np.full(len(x), 0.13)
        return np.full(len(x), 0.97 if metric == "backdoor_train" else 0.9) - (case == "c") * 0.8 * x / max(x)

    if experiment == "meta_training":
        x = list(range(rounds))
        for metric in METRICS:
            jump = np.array([0.1, 0.12] + [0.95 - 0.02 * t for t in range(rounds - 2)])
            level = np.full(rounds, 0.95) if metric in ("main", "meta_test") else jump
            add(None, metric, "after", x, "round", level, 20, n if metric == "meta_test" else 3 * n)
    else:
        for split in ("before", "after"):
            for user in (*users, None):
                for metric in ("meta_test",) if user is None else (m for m in METRICS if m != "meta_test"):
                    add(user, metric, split, ITERATIONS, "iteration", levels(metric, split, ITERATIONS), 20, n)
    return results.write(folder, document(experiment, case, dataset, profile, curves), values)


def write_illustration(folder, dataset, profile, channels=1, size=28):
    rng = np.random.default_rng(0)
    strokes = (rng.random((25, size // 4, size // 4, channels)) < 0.3).repeat(4, 1).repeat(4, 2) * np.uint8(255)
    key = np.zeros((1, size, size, channels), np.uint8)
    key[0, -5:-1, -5:-1] = 255
    triggered = np.maximum(strokes[5:], key)
    names = [f"Alphabet/character{number:02d}" for number in range(4)]
    arrays = {"target": strokes[:5], "backdoor": strokes[5::5], "trigger": key, "attack_training": triggered}
    pictures = {
        "target": {"title": "target class", "names": ["Alphabet/character09"] * 5},
        "backdoor": {"title": "backdoor classes", "names": names},
        "trigger": {"title": "backdoor key", "names": []},
        "attack_training": {"title": "attack", "names": [name for name in names for _ in range(5)]},
    }
    made = document("illustration", "a", dataset, profile, [], pictures=pictures)
    return results.write(folder, made, arrays)


DELTAS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def write_pooled(folder, dataset, profile, experiment, case):
    """Write a document of an ablation's part or of the delta curve: the tasks of all users together."""
    rng = np.random.default_rng([ord(case), *experiment.encode()])
    x, x_name = (DELTAS, "delta") if experiment == "delta-curve" else ([0, 20, 80, 200], "iteration")
    x = [0] if experiment == "ablation-no-fine-tuning" else x
    baseline = experiment in ("delta-curve", "ablation-full", "ablation-no-defence")
    curves, values = [], {}
    for split in ("after", "before") if baseline else ("after",):
        for metric in METRICS:
            level = {"after": 0.9, "before": 0.1}[split] if metric.startswith("backdoor") else 0.85
            drawn = rng.binomial(20, level, (len(x), 10 if metric == "meta_test" else 30)) / 20
            head = "softmax" if experiment in ("ablation-softmax-head", "ablation-no-defence") else "matching"
            entry = results.curve(
                user=None, head=head, metric=metric, split=split, x=x, x_name=x_name, task_values=drawn
            )
            curves.append(entry)
            values[results.key(entry)] = drawn
    more = {"measurements": {"ratios": [d / (1 - d) * 1.5 if d < 1 else None for d in x]}} if x_name == "delta" else {}
    return results.write(folder, document(experiment, case, dataset, profile, curves, **more), values)
