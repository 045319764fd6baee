"""Edited code never gives old numbers silently: the real command, on results that it stored before the edit.

Each test edits one file of a kind. What any other edit changes is tested without the command, in tests/plugins.
"""

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
    "tfmeta/defences/matching.py", "tfmeta/attacks/triggers/checker.py", "tfmeta/attacks/model_replacement.py",
    "tfmeta/federated/clients.py", "experiments/matching.py",
)  # fmt: skip


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    made = Checkout(tmp_path_factory.mktemp("before"))
    made.run(*MATCHING)
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
    add(
        checkout, "tfmeta/datasets/glyphs/__init__.py",
        "_partition = Glyphs.partition\nGlyphs.partition = lambda self, bank, seed, *more: "
        "_partition(self, bank, seed + 1, *more)\n",
    )  # fmt: skip
    assert "other code: the partition of glyphs differs" in checkout.run(*MATCHING, code=1)


def test_comments_and_docstrings_change_nothing(checkout):
    for file in EDITED:
        text = (checkout.folder / file).read_text()
        (checkout.folder / file).write_text(re.sub(r'^"""', '"""Other words. ', text, count=1) + "\n# a comment\n")
    written = checkout.files()
    checkout.run(*MATCHING)
    assert checkout.files() == written


def test_a_fresh_defence_is_measured_again_and_no_model_is_trained(checkout):
    models, old, parts = checkout.files("/models/"), document(checkout), checkout.files("-matching-")
    add(checkout, "tfmeta/defences/matching.py")
    said = checkout.run(*MATCHING, "--fresh")
    assert "pre-training" not in said and "attacker," not in said
    assert checkout.files("/models/") == models
    assert len(parts) == 8 and not set(parts.items()) & set(checkout.files("-matching-").items())
    new = document(checkout)
    assert new["values_sha256"] == old["values_sha256"] and new["plugins"] != old["plugins"]
    assert "kept" not in new["provenance"]
    checkout.run(*MATCHING)


def test_what_is_kept_is_said_and_travels_to_what_is_computed_from_it(checkout):
    for path in checkout.results.glob("*/matching-a.*"):
        path.unlink()
    for path in checkout.files("-matching-"):
        path.unlink()
    add(checkout, "tfmeta/federated/clients.py")
    assert "is used as it is, like all such files of this run (model " in checkout.run(*MATCHING, "--keep")
    kept = document(checkout)["provenance"]["kept"]
    sentence = r"model glyphs-attack-\S+: tfmeta\.federated\.clients differs from the code that computed it .*commit.*"
    assert any(re.fullmatch(sentence, one) for one in kept)
    parts = [npz.unpack(path, "")[1]["about"] for path in checkout.files("-matching-")]
    assert len(parts) == 8 and all(about["kept"] == kept for about in parts)
    said = checkout.run(*MATCHING)  # accepted once and for all, and said each time
    assert said.count("is used as it is") == 1 and "tfmeta.federated.clients differs" in said


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
            del stored["plugins"], stored["code"], stored["sha256"]
            for name in added:
                group, _, bare = name.partition(".")
                del stored["config"][group][bare]
            path.write_text(json.dumps(stored))
    return added


def test_a_run_of_before_is_read_and_continued(checkout, before):
    """Pre-training stopped after its first round; the attacker within its training."""
    assert "defence.name" in older(checkout)
    written = checkout.files()
    assert checkout.run(*MATCHING).count("computed before the code was recorded") == 1
    assert checkout.files() == written

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
    new, old = document(checkout), document(before)
    assert new["values_sha256"] == old["values_sha256"]

    # all models go back to a round of before, so what decides that is unknown to the document too
    assert any("computed before the code was recorded" in one for one in new["provenance"]["unrecorded"])
    assert "tfmeta.federated.clients" in old["code"] and "tfmeta.federated.clients" not in new["code"]
    assert new["plugins"]["aggregations"][0]["code"] == {} and new["plugins"]["defences"] == old["plugins"]["defences"]
    assert checkout.run(*MATCHING).count("computed before the code was recorded") == 1


OWN = """
from tfmeta.defences.base import Defence
from tfmeta.defences.fine_tuning import FineTuning

class Halved(Defence):
    '''Shrinks the weights first.'''
    share: float = 0.5

    def adapt(self, model, evaluation, weights, support, labels, query_groups, seed, points):
        weights = [self.share * weight for weight in weights]
        return FineTuning().adapt(model, evaluation, weights, support, labels, query_groups, seed, points)
"""
SCRIPT = """
import experiments
from tfmeta.plugins.outside import use_file
from tfmeta.simulation import Simulation
from tfmeta.utils import progress

progress.setup_logging()
own, = use_file("halved.py")
with Simulation("glyphs", "smoke", defence=own, results="results", runtime="inprocess", fine_tuning_steps=2) as sim:
    print(experiments.run("fine_tuning", sim, "a"))
"""


def test_an_edited_defence_of_ones_own_is_measured_anew(checkout):
    models = checkout.files("/models/")
    for name, source in {"halved.py": OWN, "script.py": SCRIPT}.items():
        (checkout.folder / name).write_text(source)

    def values():
        said = checkout.run("script.py")
        path = next(line for line in said.splitlines() if line.endswith("fine_tuning-a.json"))
        return json.loads((checkout.folder / path).read_text())["values_sha256"], said

    first, _ = values()
    checkout.edit("halved.py", "self.share *", "0.1 * self.share *")
    second, said = values()
    assert second != first and "computed anew: the code or options of defences: halved differ" in said
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
    measured = 'print(experiments.run("fine_tuning", sim, "a"))'
    script = SCRIPT.replace("defence=own", "trigger=own").replace(measured, 'sim.weights("attacked", case="a")')
    (checkout.folder / "script.py").write_text(script)
    pretrained, attacked = checkout.files("-pretraining-"), set(checkout.files("-attack-"))
    checkout.run("script.py")
    own = set(checkout.files("-attack-")) - attacked
    checkout.edit("halved.py", "0, 0, :", "1, 1, :")
    assert "attacker, benign users without backdoor classes: 10/10 episodes" in checkout.run("script.py")
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

with Simulation("glyphs", "smoke", defence=mine, results="results", runtime="inprocess", fine_tuning_steps=2) as sim:
    path = experiments.run("fine_tuning", sim, "a")
    experiments.run("fine_tuning", sim, "a")
"""


def test_what_a_notebook_defines_with_its_variables_is_never_taken_from_another_process(checkout):
    (checkout.folder / "script.py").write_text(CLOSURE)
    first = checkout.run("script.py")
    assert "computed anew" not in first  # nor twice within one process
    assert "computed anew: the code or options of defences: mine differ" in checkout.run("script.py")
