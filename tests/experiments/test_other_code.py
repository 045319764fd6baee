"""Edited code never gives old numbers silently: the real command, on results that it stored before the edit."""

import json
import re
import shutil

import numpy as np
import pytest
from checkout import Checkout

from tfmeta.config import fields
from tfmeta.store import npz

pytestmark = pytest.mark.slow
MATCHING = ("run", "matching", "--case", "a")

EDITED = (
    "tfmeta/defences/matching.py", "tfmeta/defences/noise_mix.py",  # on which the defence builds
    "tfmeta/attacks/triggers/checker.py", "tfmeta/attacks/triggers/base.py",
    "tfmeta/attacks/model_replacement.py", "tfmeta/aggregations/sum.py", "tfmeta/models/conv4.py",
    "tfmeta/federated/clients.py", "tfmeta/meta_learning/tasks.py", "tfmeta/utils/seeds.py",
    "experiments/matching.py",
)  # fmt: skip


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """Two experiments, which share all models."""
    made = Checkout(tmp_path_factory.mktemp("before"))
    made.run(*MATCHING)
    made.run("run", "fine_tuning", "--case", "a")
    return made


@pytest.fixture
def checkout(before, tmp_path):
    return Checkout(tmp_path / "copy", before)


def document(checkout, name="matching"):
    return json.loads(next(checkout.results.glob(f"*/{name}-a.json")).read_text())


def add(checkout, file, line="_EDITED = 1\n"):
    path = checkout.folder / file
    path.write_text(path.read_text() + line)


@pytest.mark.parametrize("file", EDITED)
def test_an_edit_of_the_package_stops_the_run_and_is_named(checkout, file):
    module = file.removesuffix(".py").replace("/", ".")
    add(checkout, file)
    written = checkout.files()
    said = checkout.run(*MATCHING, code=1)
    assert f"was computed by other code: {module} differs (stored by commit" in said
    assert "matching-a.json" in said and "Compute again with --fresh, or accept with --keep" in said
    assert "Traceback" not in said
    assert checkout.files() == written


def test_an_edit_of_the_partition_stops_the_run(checkout):
    """It is judged by who owns which images, not by the code that says so."""
    add(checkout, "tfmeta/datasets/stratified.py", "_COMMENT = 1\n")
    checkout.run(*MATCHING)
    add(
        checkout, "tfmeta/datasets/glyphs/__init__.py",
        "_partition = Glyphs.partition\nGlyphs.partition = lambda self, bank, seed, *more: "
        "_partition(self, bank, seed + 1, *more)\n",
    )  # fmt: skip
    assert "other code: the partition of glyphs differs" in checkout.run(*MATCHING, code=1)
    checkout.run(*MATCHING, "--fresh")


def test_comments_and_docstrings_change_nothing(checkout):
    for file in EDITED:
        text = (checkout.folder / file).read_text()
        (checkout.folder / file).write_text(re.sub(r'^"""', '"""Other words. ', text, count=1) + "\n# a comment\n")
    written = checkout.files()
    checkout.run(*MATCHING)
    assert checkout.files() == written


def test_an_edit_is_found_in_parts_and_models_where_there_is_no_document(checkout):
    for path in checkout.results.glob("*/matching-a.*"):
        path.unlink()
    add(checkout, "tfmeta/defences/matching.py")
    assert re.search(r"parts/\S+-matching-20\S*\.npz was computed by other code", checkout.run(*MATCHING, code=1))
    shutil.rmtree(next(checkout.results.glob("*/parts")))
    add(checkout, "tfmeta/aggregations/sum.py")
    said = checkout.run(*MATCHING, code=1)
    assert re.search(r"round-00002\.npz was computed by other code: tfmeta\.aggregations\.sum", said)


def test_a_fresh_defence_is_measured_again_and_nothing_else(checkout):
    models, others = checkout.files("/models/"), checkout.files("-fine_tuning-") | checkout.files("/fine_tuning-")
    old, parts = document(checkout), checkout.files("-matching-")
    add(checkout, "tfmeta/defences/matching.py")
    said = checkout.run(*MATCHING, "--fresh")
    assert "pre-training" not in said and "attacker," not in said
    assert checkout.files("/models/") == models
    assert (checkout.files("-fine_tuning-") | checkout.files("/fine_tuning-")) == others
    assert len(parts) == 8 and not set(parts.items()) & set(checkout.files("-matching-").items())
    new = document(checkout)
    assert new["values_sha256"] == old["values_sha256"] and new["plugins"] != old["plugins"]
    assert "kept" not in new["provenance"]
    checkout.run(*MATCHING)


@pytest.mark.parametrize("file", ["tfmeta/attacks/triggers/checker.py", "tfmeta/attacks/model_replacement.py"])
def test_a_fresh_trigger_or_attack_keeps_pre_training(checkout, file):
    pretrained, attacked = checkout.files("-pretraining-"), checkout.files("-attack-")
    assert pretrained and attacked
    add(checkout, file)
    said = checkout.run(*MATCHING, "--fresh")
    assert checkout.files("-pretraining-") == pretrained and "pre-training" not in said
    again = checkout.files("-attack-")
    assert again.keys() == attacked.keys() and not set(again.items()) & set(attacked.items())


def test_a_fresh_model_trains_all_again_once(checkout):
    old = checkout.files("/models/")
    add(checkout, "tfmeta/models/conv4.py")
    checkout.run(*MATCHING, "--fresh")
    new = checkout.files("/models/")
    assert not set(old.items()) & set(new.items())
    checkout.run("run", "fine_tuning", "--case", "a", "--fresh")
    assert checkout.files("/models/") == new


def test_what_is_kept_is_said_and_travels_to_what_is_computed_from_it(checkout):
    for path in checkout.results.glob("*/matching-a.*"):
        path.unlink()
    for path in checkout.files("-matching-"):
        path.unlink()
    add(checkout, "tfmeta/federated/clients.py")
    checkout.run(*MATCHING, "--keep")
    kept = document(checkout)["provenance"]["kept"]
    sentence = r"glyphs-attack-\S+: tfmeta\.federated\.clients differs \(commit \S+\)"
    assert any(re.fullmatch(sentence, one) for one in kept)
    parts = [npz.unpack(path, "")[1]["about"] for path in checkout.files("-matching-")]
    assert len(parts) == 8 and all(about["kept"] == kept for about in parts)
    checkout.run(*MATCHING)  # accepted once and for all
    checkout.run("run", "fine_tuning", "--case", "a", code=1)
    checkout.run("run", "fine_tuning", "--case", "a", "--keep")
    assert "clients differs" in document(checkout, "fine_tuning")["provenance"]["kept"][0]


def test_fresh_and_keep_exclude_each_other(checkout):
    assert "--fresh computes again what --keep accepts" in checkout.run(*MATCHING, "--fresh", "--keep", code=1)


def older(checkout):
    """Make all that is stored what the code of before wrote: no plug-ins, no code, no field that was added since."""
    added = [name for name, field in fields().items() if "legacy" in field.metadata]
    for path in checkout.files():
        if path.suffix == ".npz" and "manifest.json" in path.read_bytes()[:100].decode("latin1"):
            arrays, header = npz.unpack(path, "")
            stored = header["manifest"]
            del stored["plugins"], stored["code"], header["about"]
            for name in added:
                group, _, bare = name.partition(".")
                stored["fields"].pop(name, None)
                stored["fields"].get(group, {}).pop(bare, None)
            path.write_bytes(npz.pack(arrays, header))
        elif path.suffix == ".json":
            stored = json.loads(path.read_text())
            del stored["plugins"], stored["code"]
            for name in added:
                group, _, bare = name.partition(".")
                del stored["config"][group][bare]
            path.write_text(json.dumps(stored))
    return added


def test_a_run_of_before_is_read_and_computed_again_only_on_demand(checkout):
    assert "defence.name" in older(checkout)
    written = checkout.files()
    said = checkout.run(*MATCHING)
    assert said.count("computed before the code was recorded") == 1
    assert checkout.files() == written
    checkout.run(*MATCHING, "--fresh")
    assert not set(written.items()) & set((checkout.files("/models/") | checkout.files("-matching-")).items())
    assert document(checkout)["code"]


def test_a_run_of_before_is_continued(checkout, before):
    """Pre-training stopped after its first round; the attacker within its training."""
    older(checkout)
    last = next(path for path in checkout.files("-pretraining-") if path.name == "round-00002.npz")
    original = npz.unpack(last, "")[0]
    shutil.rmtree(next(checkout.results.glob("models/*-attack-*")))
    for path in [last, *checkout.results.glob("*/*.json"), *checkout.results.glob("*/*-a.npz")]:
        path.unlink()
    shutil.rmtree(next(checkout.results.glob("*/parts")))
    said = checkout.run(*MATCHING)
    assert re.search(r"pre-training without backdoor classes: 1/2 rounds", said)
    again = npz.unpack(last, "")[0]
    assert original.keys() == again.keys() and all(np.array_equal(original[name], again[name]) for name in again)
    assert document(checkout)["values_sha256"] == document(before)["values_sha256"]
    assert any("computed before the code was recorded" in one for one in document(checkout)["provenance"]["kept"])


OWN = """
from tfmeta.defences.base import Defence
from tfmeta.defences.fine_tuning import FineTuning
from helper import SHARE

class Halved(Defence):
    '''Shrinks the weights first.'''
    more: float = 1.0

    def adapt(self, model, evaluation, weights, support, labels, query_groups, seed, points):
        weights = [SHARE * self.more * weight for weight in weights]
        return FineTuning().adapt(model, evaluation, weights, support, labels, query_groups, seed, points)
"""
SCRIPT = """
import sys
import experiments
from tfmeta.plugins.outside import use_file
from tfmeta.simulation import Simulation
from tfmeta.utils import progress

progress.setup_logging()
own, = use_file("halved.py")
given = own(more=float(sys.argv[1])) if len(sys.argv) > 1 else own
with Simulation("glyphs", "smoke", defence=given, results="results", runtime="inprocess") as sim:
    print(experiments.run("fine_tuning", sim, "a"))
"""


def test_an_edited_defence_of_ones_own_is_measured_anew(checkout):
    """And so is one with another option, or with an edited file beside it."""
    models = checkout.files("/models/")
    for name, source in {"halved.py": OWN, "helper.py": "SHARE = 0.5\n", "script.py": SCRIPT}.items():
        (checkout.folder / name).write_text(source)

    def values():
        said = checkout.run("script.py")
        path = next(line for line in said.splitlines() if line.endswith("fine_tuning-a.json"))
        return json.loads((checkout.folder / path).read_text())["values_sha256"], said

    first, _ = values()
    again, said = values()
    assert again == first and "computed anew" not in said and "set of tasks" not in said
    checkout.edit("halved.py", "SHARE *", "0.1 * SHARE *")
    second, said = values()
    assert second != first and "computed anew: the code or options of defences: halved differ" in said
    checkout.edit("halved.py", "Shrinks", "Makes smaller")
    assert "computed anew" not in values()[1]
    checkout.edit("helper.py", "0.5", "5.0")
    third, said = values()
    assert third == first and "computed anew" in said  # the product is the same, and found by computing
    add(checkout, "tfmeta/defences/fine_tuning.py")
    assert "tfmeta.defences.fine_tuning differs" in checkout.run("script.py", code=1)
    assert checkout.files("/models/") == models


TRIGGER = """
import numpy as np
from tfmeta.attacks.triggers.base import Trigger

class Dot(Trigger):
    '''One white pixel.'''

    def stamp(self, images):
        images = images.copy()
        images[..., 0, 0, :] = 255
        return images
"""


def test_an_edited_trigger_of_ones_own_attacks_anew(checkout):
    (checkout.folder / "halved.py").write_text(TRIGGER)
    script = SCRIPT.replace("defence=given", "trigger=given")
    (checkout.folder / "script.py").write_text(script)
    pretrained, attacked = checkout.files("-pretraining-"), set(checkout.files("-attack-"))
    checkout.run("script.py")
    own = set(checkout.files("-attack-")) - attacked
    checkout.edit("halved.py", "0, 0, :", "1, 1, :")
    assert "computed anew: the code or options of triggers: halved differ" in checkout.run("script.py")
    assert len({path.parent for path in set(checkout.files("-attack-")) - attacked}) == 2 and own
    assert checkout.files("-pretraining-") == pretrained


CLOSURE = """
import experiments
from tfmeta.defences.fine_tuning import FineTuning
from tfmeta.simulation import Simulation
from tfmeta.utils import progress

progress.setup_logging()
FACTOR = [0.5]

def mine(model, evaluation, weights, support, labels, query_groups, seed, points):
    weights = [FACTOR[0] * weight for weight in weights]
    return FineTuning().adapt(model, evaluation, weights, support, labels, query_groups, seed, points)

with Simulation("glyphs", "smoke", defence=mine, results="results", runtime="inprocess") as sim:
    path = experiments.run("fine_tuning", sim, "a")
    experiments.run("fine_tuning", sim, "a")
"""


def test_what_a_notebook_defines_with_its_variables_is_never_taken_from_another_process(checkout):
    (checkout.folder / "script.py").write_text(CLOSURE)
    first = checkout.run("script.py")
    assert "computed anew" not in first  # nor twice within one process
    assert "computed anew: the code or options of defences: mine differ" in checkout.run("script.py")
