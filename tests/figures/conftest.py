"""Made-up results for the tests of figures; their notes say so, and they never leave a test's folder."""

import numpy as np
import pytest
from drawing import ABLATIONS

from figures import style
from tfmeta.config import make_config, tag_of
from tfmeta.store import results

ITERATIONS = [0, 10, 20, 50, 100, 150, 200]
METRICS = ("main", "meta_test", "backdoor_train", "backdoor_validation")


@pytest.fixture
def made_up(tmp_path):
    """A function that writes made-up results of one run and returns their folder; `changed` are fields of the run."""

    def make(dataset="omniglot", profile="quick", experiments=("fine_tuning",), changed=None, **options):
        run = Made(results.run_folder(tmp_path / "results", dataset, profile, tag_of(changed or {})), changed or {})
        for experiment in ABLATIONS if "ablation-*" in experiments else experiments:
            if experiment.startswith("ablation") or experiment == "delta-curve":
                for case in "ac":
                    write_pooled(run, dataset, profile, experiment, case)
            elif experiment == "illustration":
                write_illustration(run, dataset, profile)
            else:
                for case in "abc":
                    write_curves(run, dataset, profile, experiment, case, **options)
        return run.folder

    return make


@pytest.fixture
def drawn(monkeypatch):
    """A dict that takes each figure (matplotlib's object), by the name of its files, when it is saved."""
    figures, save = {}, style.save

    def keep(figure, out, name):
        figures[name] = figure
        return save(figure, out, name)

    monkeypatch.setattr(style, "save", keep)
    return figures


@pytest.fixture
def make_document():
    """The function that makes a document from its curves and whatever else it holds."""
    return document


class Made:
    """A made-up run: its folder, and the fields, by full name, that differ from the profile."""

    def __init__(self, folder, changed):
        self.folder, self.changed = folder, changed

    def write(self, experiment, case, dataset, profile, curves, values, **more):
        made = document(experiment, case, dataset, profile, curves, changed=self.changed, **more)
        return results.write(self.folder, made, values)


def document(experiment, case, dataset, profile, curves, changed=None, **more):
    config = make_config(dataset, profile).replace({"evaluation.task_seed": 1, **(changed or {})})
    return {
        "experiment": experiment, "case": case, "dataset": dataset, "profile": profile,
        "config": config.to_dict(), "changed": changed or {},
        "provenance": {
            "commit": "0123456789abcdef0123456789abcdef01234567", "versions": {"tfmeta": "0"},
            "data_digest": "0" * 64, "started": "2000-01-01T00:00:00+00:00", "seconds": 1.0,
        },
        "plugins": {}, "code": {}, "curves": curves, "notes": ["MADE-UP NUMBERS, for a test"], **more,
    }  # fmt: skip


def write_curves(run, dataset, profile, experiment, case, n=10, rounds=13, head="softmax", users=(2, 3, 4)):
    """Write a document whose curves look like the paper's: main task high, backdoor high after the attack."""
    rng = np.random.default_rng([ord(case), len(experiment)])
    curves, values = [], {}

    def add(user, metric, split, x, x_name, level, images, tasks):
        drawn = rng.binomial(images, np.clip(level, 0, 1)[:, None], (len(x), tasks)) / images
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
    return run.write(experiment, case, dataset, profile, curves, values)


def write_illustration(run, dataset, profile, channels=1, size=28):
    rng = np.random.default_rng(0)
    strokes = (rng.random((25, size // 4, size // 4, channels)) < 0.3).repeat(4, 1).repeat(4, 2) * np.uint8(255)
    trigger = np.zeros((1, size, size, channels), np.uint8)
    trigger[0, -5:-1, -5:-1] = 255
    triggered = np.maximum(strokes[5:], trigger)
    names = [f"Alphabet/character{number:02d}" for number in range(4)]
    arrays = {"target": strokes[:5], "backdoor": strokes[5::5], "trigger": trigger, "attack_training": triggered}
    images = {
        "target": {"title": "target class", "names": ["Alphabet/character09"] * 5},
        "backdoor": {"title": "backdoor classes", "names": names},
        "trigger": {"title": "trigger", "names": []},
        "attack_training": {"title": "attack", "names": [name for name in names for _ in range(5)]},
    }
    return run.write("illustration", "a", dataset, profile, [], arrays, images=images)


DELTAS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def write_pooled(run, dataset, profile, experiment, case):
    """Write a document of a part of the defence, or of the delta curve: the tasks of all users together."""
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
    if x_name == "delta":
        measured = {"ratios": [d / (1 - d) * 1.5 if d < 1 else None for d in x]}
    else:
        measured = {"rows": ABLATIONS, "title": experiment.removeprefix("ablation-").replace("-", " ")}
    return run.write(experiment, case, dataset, profile, curves, values, measurements=measured)
