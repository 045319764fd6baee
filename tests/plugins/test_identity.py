"""What decides each stage: plug-ins of its own and of earlier stages, and the code that can change its numbers."""

import dataclasses

import pytest

from tfmeta import registry
from tfmeta.config import Config
from tfmeta.defences.base import Defence
from tfmeta.plugins import code, identity, outside
from tfmeta.store import compare

DIGEST = "ab" * 32


def made(stage, defence=None, **settings):
    config = Config().replace(settings)
    return identity.identity(config, stage, "glyphs", DIGEST, defence and registry.build("defences", config, defence))


KINDS = {
    "partition": {"datasets"},
    "pretraining": {"datasets", "models", "aggregations"},
    "attack": {"datasets", "models", "aggregations", "triggers", "attacks"},
    "rounds": {"datasets", "models", "aggregations", "triggers", "attacks"},
    "evaluation": {"datasets", "models", "aggregations", "triggers", "attacks", "defences"},
}


@pytest.mark.parametrize("stage", KINDS)
def test_a_stage_has_the_plug_ins_of_its_own_and_of_earlier_stages(stage):
    assert made(stage, "matching")["plugins"].keys() == KINDS[stage]


def test_pre_training_depends_on_no_attack_trigger_or_defence():
    names = made("pretraining")["code"]
    assert {"tfmeta.federated.clients", "tfmeta.meta_learning.reptile", "tfmeta.utils.seeds"} <= names.keys()
    assert not [name for name in names if name.startswith(("tfmeta.attacks", "tfmeta.defences", "tfmeta.plugins"))]


def test_the_attack_depends_on_no_defence_and_no_evaluation():
    names = made("attack")["code"]
    assert {"tfmeta.attacks.base", "tfmeta.attacks.triggers.base"} <= names.keys()
    assert not [name for name in names if name.startswith(("tfmeta.defences", "tfmeta.meta_learning.evaluation"))]


def test_an_evaluation_has_the_code_of_its_models():
    before, after = made("attack"), made("evaluation", "matching")
    assert before["code"].items() <= after["code"].items()
    assert {"tfmeta.meta_learning.evaluation", "tfmeta.defences.noise_mix"} <= after["code"].keys()
    assert after["plugins"]["defences"]["code"].keys() == {"tfmeta.defences.matching"}
    assert "tfmeta.defences.matching" not in after["code"]


def test_what_puts_the_parts_together_counts():
    assert {"tfmeta.registry", "tfmeta.run", "tfmeta.simulation"} <= made("evaluation", "matching")["code"].keys()
    names = made("attack")["code"].keys()  # who measures what decides no model
    assert "tfmeta.registry" in names and not {"tfmeta.run", "tfmeta.simulation"} & names


@pytest.mark.parametrize(
    ("module", "stage"),
    [
        ("aggregations.sum", "pretraining"), ("models.conv4", "pretraining"), ("federated.clients", "pretraining"),
        ("utils.seeds", "pretraining"), ("simulation", "evaluation"), ("registry", "pretraining"),
        ("attacks.triggers.checker", "attack"), ("attacks.triggers.base", "attack"),
        ("attacks.model_replacement", "attack"), ("meta_learning.tasks", "evaluation"),
        ("defences.matching", "evaluation"), ("defences.noise_mix", "evaluation"),
    ],
)  # fmt: skip
def test_an_edit_changes_the_stage_of_its_module_and_the_later_ones(module, stage, monkeypatch):
    stages = ("pretraining", "attack", "evaluation")
    before = {one: compare.modules_of(made(one, "matching")) for one in stages}
    edited, read = code.file_of(f"tfmeta.{module}"), code.read
    monkeypatch.setattr(code, "_known", {})
    monkeypatch.setattr(code, "read", lambda path: read(path) + (b"\n_EDITED = 1\n" if path == edited else b""))
    found = {one: compare.changed(before[one], compare.modules_of(made(one, "matching"))) for one in stages}
    later = stages[stages.index(stage) :]
    assert found == {one: [f"tfmeta.{module}"] if one in later else [] for one in stages}


def test_plumbing_takes_no_part():
    names = made("evaluation", "matching")["code"]
    parts = ("worker", "runtime", "progress", "threads", "tfmeta.store", "tfmeta.config.config")
    assert not [name for name in names for part in parts if part in name]


@pytest.mark.parametrize(("runtime", "module"), [("tff", "tff.process"), ("inprocess", "in_process")])
def test_code_is_that_of_the_runtime(runtime, module):
    names = made("pretraining", **{"federation.runtime": runtime})["code"]
    both = {name for name in names if name.endswith(("tff.process", ".in_process"))}
    assert both == {f"tfmeta.federated.{module}"}


def test_options_are_those_that_a_plug_in_is_used_with():
    plugins = made("evaluation", "matching", **{"defence.delta": 0.7, "trigger.size": 6})["plugins"]
    assert plugins["defences"]["options"]["delta"] == 0.7 and plugins["triggers"]["options"]["size"] == 6


def test_a_data_set_is_judged_by_its_partition():
    one, other = (identity.identity(Config(), "partition", "glyphs", digest) for digest in (DIGEST, "cd" * 32))
    assert one["code"] == other["code"] == {} and one != other
    assert one["plugins"]["datasets"]["code"].keys() == {"the partition of glyphs"}


def test_a_plug_in_of_ones_own_has_one_digest_and_names_what_it_builds_on(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_OUTSIDE", dict(registry._OUTSIDE))
    path = tmp_path / "of_identity.py"
    path.write_text(
        "from tfmeta.defences.base import Defence\nfrom tfmeta.defences.noise_mix import mixed\n"
        "class Mine(Defence):\n    share: float = 0.5\n"
        "    def adapt(self, model, evaluation, weights, support, labels, query_groups, seed, points):\n"
        "        return None\n"
    )
    (own,) = outside.use_file(path)
    found = identity.identity(Config(), "evaluation", "glyphs", DIGEST, own(share=0.25))
    entry = found["plugins"]["defences"]
    assert entry["origin"] == "outside" and isinstance(entry["code"], str) and entry["options"] == {"share": 0.25}
    assert {"tfmeta.defences.base", "tfmeta.defences.noise_mix"} <= found["code"].keys()
    path.write_text(path.read_text().replace("None", "1"))
    assert identity.described(own())[0]["code"] == entry["code"]  # the code that was imported


def test_a_plug_in_is_described_as_it_is_bound():
    matching = registry.build("defences", Config(), "matching")
    assert isinstance(matching, Defence)
    changed = dataclasses.replace(matching, delta=0.5)
    assert identity.described(changed)[0]["options"]["delta"] == 0.5
