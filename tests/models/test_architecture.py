"""A Keras model given as an object becomes a plug-in, whose name says which architecture it is."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
from architectures import EVERY, SHAPE, WAYS, make_images, small

from tfmeta.errors import ModelError
from tfmeta.models import from_keras
from tfmeta.models.architecture import architecture_of, plugin_of_keras
from tfmeta.models.base import Model
from tfmeta.plugins.given import settings_of
from tfmeta.plugins.sources import digest_of
from tfmeta.simulation import Simulation

keras = tf.keras.layers
every_model = pytest.mark.parametrize("plugin", EVERY.values(), ids=EVERY)


def built(plugin):
    return plugin.keras_model(SHAPE, WAYS, 0)


@every_model
def test_the_object_and_the_plugin_that_built_it_are_one_network(plugin):
    given = built(plugin)
    by_object, model = plugin_of_keras(given)().pure(SHAPE, WAYS), plugin.pure(SHAPE, WAYS)
    assert (by_object.shapes, by_object.weight_names) == (model.shapes, model.weight_names)
    weights, images = model.initial_weights(2), make_images(model, 5)
    np.testing.assert_allclose(by_object.logits(weights, images)[0], model.logits(weights, images)[0], atol=1e-6)


@every_model
def test_the_name_does_not_depend_on_how_many_models_there_were(plugin):
    one, other = built(plugin), built(plugin)
    assert [layer.name for layer in one.layers] != [layer.name for layer in other.layers]
    assert plugin_of_keras(one) is plugin_of_keras(other)
    assert plugin_of_keras(one)() == plugin_of_keras(other)()


def test_other_architectures_have_other_names():
    names = {plugin_of_keras(model).NAME for model in (small(), small(), small(4), small(name="tiny"))}
    assert len(names) == 3 and {name.rpartition("_")[0] for name in names} == {"small", "tiny"}


def test_names_of_ones_own_stay():
    inputs = tf.keras.Input(SHAPE)
    values = keras.Conv2D(2, 3, name="block_7")(keras.Conv2D(2, 3, name="block_3")(inputs))
    model = tf.keras.Model(inputs, keras.Dense(WAYS, name="logits")(keras.Flatten()(values)))
    names = plugin_of_keras(model)().pure(SHAPE, WAYS).weight_names
    assert names[:4] == ("block_3/kernel", "block_3/bias", "block_7/kernel", "block_7/bias")


@pytest.mark.slow
def test_another_process_gives_the_same_architecture(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent("""
        from architectures import small
        from tfmeta.models.architecture import plugin_of_keras
        small(7)
        from tfmeta.plugins.sources import digest_of
        plugin = plugin_of_keras(small())
        print(plugin.NAME, digest_of(plugin).digest)
    """))
    folders = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    command, environment = [sys.executable, script], os.environ | {"PYTHONPATH": folders}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    plugin = plugin_of_keras(small())
    assert said.split()[-2:] == [plugin.NAME, digest_of(plugin).digest]  # so it finds the models that are stored


def test_the_models_present_weights_do_not_count():
    one, other = small(), small()
    other.set_weights([weight + 1 for weight in other.get_weights()])
    assert plugin_of_keras(one) is plugin_of_keras(other)
    initial = plugin_of_keras(other)().pure((28, 28, 1), 5).initial_weights(3)
    assert (initial[1] == 1).all() and np.abs(initial[0]).max() < 1


class Halved(keras.Layer):
    """A layer of one's own, without weights."""

    def call(self, values):
        return values / 2


def squared(values):
    return values * values


class WithLayer(Model):
    """A model around a layer that a test sets."""

    layer: ClassVar = None

    def keras_model(self, image_shape, ways, seed):
        flat = [keras.Flatten(), keras.Dense(ways, name="logits")]
        return tf.keras.Sequential([tf.keras.Input(image_shape), self.layer(), *flat])


@pytest.mark.parametrize(
    ("layer", "named"), [(lambda: Halved(name="halved"), "layer halved: .*Halved"),
                         (lambda: keras.Activation(squared, name="act"), "layer act: .*function"),
                         (lambda: keras.Conv2D(2, 3, activation=squared, name="conv"), "layer conv: .*function")],
)  # fmt: skip
def test_code_of_ones_own_is_refused_in_an_object_and_works_in_a_plugin(layer, named, monkeypatch):
    monkeypatch.setattr(WithLayer, "layer", staticmethod(layer))
    model = built(WithLayer())
    with pytest.raises(ModelError, match=named + ".* is code of your own.*write a Model plug-in"):
        plugin_of_keras(model)
    from_keras._network.cache_clear()  # the plug-in is the same, whatever its layer
    pure, images = WithLayer().pure(SHAPE, WAYS), np.ones((2, *SHAPE), np.float32)
    expected = pure.keras_model(3)(images, training=True)
    np.testing.assert_allclose(pure.logits(pure.initial_weights(3), images)[0], expected, atol=1e-5)


def test_an_object_that_does_not_keep_the_contract_is_refused_at_once():
    model = tf.keras.Sequential([tf.keras.Input(SHAPE), keras.Flatten(), keras.Dense(WAYS, name="last")])
    with pytest.raises(ModelError, match="its last layer must be"):
        plugin_of_keras(model)


def test_a_simulation_takes_a_keras_model(cache_dir, tmp_path):
    model = small()
    with Simulation("glyphs", "smoke", model=model, results=tmp_path, cache_dir=cache_dir) as simulation:
        assert simulation.config.meta_learning.model == settings_of("models", model)["meta_learning.model"]
        assert simulation.model.weight_names[0] == "conv2d/kernel" and simulation.model.ways == 5
        assert simulation.tag is not None  # so its results do not mix with Conv4's
    assert architecture_of(model) == architecture_of(small())
