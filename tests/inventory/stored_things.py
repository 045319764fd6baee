"""Models and results as runs store them, made without a run: real manifests around a few numbers."""

import json
import os
import time

import numpy as np

from tfmeta import inventory
from tfmeta.config import make_config
from tfmeta.store import checkpoints

DIGEST = "ab" * 32
DAY = 86400
LAST = {"pretraining": 2, "attack": 2, "rounds": 5}  # of the profile smoke
FIRST = {"pretraining": 1, "attack": 1, "rounds": 3}


def config(**overrides):
    return make_config("glyphs", "smoke", **overrides)


def model(results, of=None, stage="pretraining", known=False, key="0" * 12, rounds=None, without=(), **more):
    """Write the checkpoints of a stage; return their folder."""
    fields = {name: value for name, value in (of or config()).upto(stage).items() if name not in without}
    folder = results / "models" / f"glyphs-{stage}-{'known' if known else 'unknown'}-{key}"
    for number in rounds or range(FIRST[stage], LAST[stage] + 1):
        manifest = {
            "stage": stage, "knows_backdoor": known, "dataset": "glyphs", "digest": DIGEST, "fields": fields,
            "plugins": {}, "code": {}, "round": number,
        }  # fmt: skip
        checkpoints.save(folder / f"round-{number:05d}.npz", {"weight00": np.ones(3, "f4")}, {**manifest, **more})
    return folder


def document(results, of=None, case="a", digest=DIGEST, run="glyphs-smoke", **more):
    """Write what `inventory` reads of a result; return its path."""
    path = results / run / f"fine_tuning-{case}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    written = {
        "format": "tfmeta-result-2", "experiment": "fine_tuning", "case": case, "dataset": "glyphs",
        "config": (of or config()).to_dict(), "provenance": {"data_digest": digest}, "plugins": {}, "code": {},
    }  # fmt: skip
    path.write_text(json.dumps({**written, **more}))
    return path


def part(results, of=None, name="unknown-round0000-meta-test-fine_tuning-10", **more):
    """Write a measured set of tasks; return its path."""
    path = results / "glyphs-smoke" / "parts" / f"{name}.npz"
    manifest = {"part": name, "dataset": "glyphs", "digest": DIGEST, "fields": (of or config()).to_dict()}
    checkpoints.save(path, {"meta_test": np.ones((1, 2), "f4")}, {**manifest, "plugins": {}, "code": {}, **more})
    return path


def taken(tmp_path, **more):
    """Return what is stored by name; shards share theirs, so the last one counts."""
    return {entry.name: entry for entry in inventory.take(tmp_path / "cache", tmp_path / "results", **more)}


def states(tmp_path, **more):
    return {name: entry.state for name, entry in taken(tmp_path, **more).items()}


def aged(path, days):
    """Let a file be as old as some days, as if nobody had used it since."""
    moment = time.time() - days * DAY
    os.utime(path, (moment, moment))
    return path
