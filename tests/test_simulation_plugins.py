"""Simulations with plug-ins: objects and names give one configuration and the same numbers."""

import numpy as np
import pytest
from plugin_files import ALL, write

import tfmeta
from tfmeta import registry
from tfmeta.config import make_config
from tfmeta.errors import ConfigError, PluginError
from tfmeta.plugins.outside import use_file

pytestmark = pytest.mark.usefixtures("forget_plugins")
TINY = {
    "runtime": "inprocess", "pretraining_rounds": 1, "pretraining_episodes": 5, "round_episodes": 5, "rounds_after": 1,
    "attack_episodes": 5, "attack_checkpoint_episodes": 5, "attack_inner_steps": 2, "tasks": 2, "filters": 4,
}  # fmt: skip
WORDS = {
    "attacks": "attack", "defences": "defence", "triggers": "trigger", "aggregations": "aggregation", "models": "model"
}  # fmt: skip


@pytest.fixture
def own(tmp_path):
    """The classes of a reader's plug-ins by kind, each from a file."""
    return {kind: use_file(write(tmp_path, f"my_{kind}", text))[0] for kind, text in ALL.items()}


def simulation(folder, cache_dir, dataset="glyphs", **given):
    return tfmeta.Simulation(dataset, "smoke", results=folder, cache_dir=cache_dir, **{**TINY, **given})


def test_classes_objects_and_names_give_one_configuration(own, glyphs_bank, cache_dir, tmp_path):
    classes = {WORDS[kind]: own[kind] for kind in WORDS}
    by_class = simulation(tmp_path, cache_dir, **classes)
    by_object = simulation(tmp_path, cache_dir, **{word: plugin() for word, plugin in classes.items()})
    by_name = simulation(tmp_path, cache_dir, **{word: plugin.NAME for word, plugin in classes.items()})
    assert by_class.config == by_object.config == by_name.config
    assert by_class.changed == by_name.changed and by_class.tag == by_name.tag
    for kind, plugin in own.items():
        if kind != "datasets":
            assert isinstance(registry.build(kind, by_name.config), plugin)
    assert type(by_name.defence()) is own["defences"] and type(by_name.trigger) is own["triggers"]


def test_options_of_objects_and_settings_give_one_configuration(own, glyphs_bank, cache_dir, tmp_path):
    by_object = simulation(tmp_path, cache_dir, attack=own["attacks"](share=0.25, target_label="random"))
    by_name = simulation(tmp_path, cache_dir, attack="my_attacks", **{"attack.share": 0.25, "target_label": "random"})
    assert by_object.config == by_name.config and by_object.config["attack.share"] == 0.25
    with pytest.raises(ConfigError, match=r"attack\.share is given twice, as 0\.1 and as 0\.25"):
        simulation(tmp_path, cache_dir, attack=own["attacks"](share=0.25), **{"attack.share": 0.1})


@pytest.mark.slow
def test_objects_and_names_give_the_same_models_and_numbers(own, glyphs_bank, cache_dir, tmp_path):
    def run(folder, dataset, **given):
        with simulation(tmp_path / folder, cache_dir, dataset, **given) as sim:
            weights = sim.weights("attacked")
            return weights, sim.accuracies(weights, "a", 2, points=(0, 3))

    by_class = run("one", own["datasets"], **{WORDS[kind]: own[kind] for kind in WORDS})
    by_name = run("two", "my-datasets", **{WORDS[kind]: own[kind].NAME for kind in WORDS})
    plain = run("three", "my-datasets")
    assert all((one == other).all() for one, other in zip(by_class[0], by_name[0], strict=True))
    assert all((by_class[1][name] == by_name[1][name]).all() for name in by_class[1])
    assert [part.shape for part in plain[0]] != [part.shape for part in by_name[0]]


def test_a_defence_that_is_named_wins_over_the_simulations_own(own, glyphs_bank, cache_dir, tmp_path):
    sim = simulation(tmp_path, cache_dir, defence=own["defences"](share=0.25))
    assert (sim.defence().share, sim.chosen_defence("matching").NAME) == (0.25, "my_defences")
    assert sim.defence("fine_tuning").NAME == "fine_tuning" and sim.defence(own["defences"]).share == 0.5
    assert simulation(tmp_path, cache_dir).chosen_defence("noise_mix").NAME == "noise_mix"


def test_a_variant_can_have_another_defence(own, glyphs_bank, cache_dir, tmp_path):
    sim = simulation(tmp_path, cache_dir)
    variant = sim.variant(defence=own["defences"](share=0.25))
    assert variant.config == sim.variant(defence="my_defences", **{"defence.share": 0.25}).config
    assert variant.variation == "defence=my_defences+defence.share=0.25" and variant.defence().share == 0.25
    own_one = simulation(tmp_path, cache_dir, defence=own["defences"](share=0.25))
    assert own_one.variant(defence="matching").config == sim.variant(defence="matching").config


def test_an_object_of_a_data_set_is_opened(own, cache_dir, tmp_path):
    sim = simulation(tmp_path, cache_dir, own["datasets"]())
    assert sim.bank.dataset == "my-datasets" and sim.bank.images.shape[2:] == (20, 20, 1)
    assert np.isin(sim.bank.images, (0, 255)).all()


BAD_STAMPS = {
    "gives other images the second time": "return np.random.randint(0, 256, images.shape).astype(np.uint8)",
    "changes the images that it is given": "images[..., :3, :3, :] = 255\n        return images",
}


@pytest.mark.parametrize("failed", BAD_STAMPS)
def test_a_trigger_that_breaks_its_contract_is_refused_at_the_start(failed, tmp_path):
    start = "import numpy as np\nfrom tfmeta.attacks.triggers.base import Trigger\n\n\nclass Bad(Trigger):\n"
    text = f"{start}    def stamp(self, images):\n        {BAD_STAMPS[failed]}\n"
    (bad,) = use_file(write(tmp_path, "bad_trigger", text))
    with pytest.raises(PluginError, match=f"the trigger bad_trigger: stamp {failed}"):
        simulation(tmp_path, tmp_path, trigger=bad)


@pytest.mark.parametrize("model", ["conv4", "resnet12"])
def test_a_network_that_halves_small_images_to_nothing_is_refused(model):
    def built(**fields):
        return registry.build("models", make_config("glyphs", "smoke", **fields))

    with pytest.raises(ConfigError, match=f"model = {model}: .* at least 16x16 pixels, and the images have 20x15"):
        built(model=model).check_size((20, 15, 1))
    built(model=model).check_size((16, 16, 1))
    built(downsample="pool-same").check_size((9, 9, 1))


@pytest.mark.slow
def test_a_factory_of_tff_aggregates_the_rounds(glyphs_bank, cache_dir, tmp_path):
    import tensorflow_federated as tff

    none = tff.aggregators.zeroing_factory(1e-9, tff.aggregators.SumFactory(), norm_order=2.0)  # drops every update
    with simulation(tmp_path, cache_dir, aggregation=none, runtime="tff") as sim:
        first, later = sim.model.initial_weights(0), sim.weights("pretrained")
    assert all((one == other).all() for one, other in zip(first, later, strict=True))
    with pytest.raises(ConfigError, match=r"inprocess: .* is a factory of TFF, which runs in TFF only; set"):
        simulation(tmp_path / "other", cache_dir, aggregation=none)
