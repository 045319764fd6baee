"""Plug-ins as objects: classes, functions and factories mean the same settings as names."""

import functools

import pytest
from plugin_files import DEFENCE, write

from tfmeta import register, registry
from tfmeta.config import make_config
from tfmeta.defences.fine_tuning import FineTuning
from tfmeta.defences.matching import Matching
from tfmeta.errors import ConfigError, ModelError, PluginError
from tfmeta.plugins import number
from tfmeta.plugins.given import plugin_of, settings_of
from tfmeta.plugins.outside import use_file

pytestmark = pytest.mark.usefixtures("forget_plugins")


def adapt(model, evaluation, weights, support, labels, query_groups, seed, points):
    return FineTuning().adapt(model, evaluation, weights, support, labels, query_groups, seed, points)


def closure(share):
    return lambda *arguments: adapt(*arguments) if share else None


def test_objects_mean_their_names_and_the_options_that_differ(tmp_path):
    (halved,) = use_file(write(tmp_path, "halved", DEFENCE))
    assert settings_of("defences", "halved") == settings_of("defences", halved) == {"defence.name": "halved"}
    assert settings_of("defences", halved(share=0.5)) == {"defence.name": "halved"}
    assert settings_of("defences", halved(share=0.25)) == {"defence.name": "halved", "defence.share": 0.25}
    assert settings_of("defences", Matching(delta=0.5)) == {"defence.name": "matching", "defence.delta": 0.5}
    assert settings_of("defences", Matching) == {"defence.name": "matching"}


def test_an_option_of_an_object_is_checked(tmp_path):
    (halved,) = use_file(write(tmp_path, "halved", DEFENCE))
    with pytest.raises(ConfigError, match=r"defence.share = 2.0 .*from 0 to 1"):
        halved(share=2)
    with pytest.raises(TypeError, match="shares"):
        halved(shares=0.5)


def test_a_registered_class_replaces_an_earlier_one_of_the_same_place():
    def define(value):
        @register(name="again")
        class Again(FineTuning):
            """A defence."""

            share: float = number(value, "a share", 0, 1)

        return Again

    first, second = define(0.1), define(0.2)
    assert registry.find("defences", "again") is second is not first
    assert make_config("omniglot", "smoke", defence="again")["defence.share"] == 0.2


def test_two_classes_of_one_name_are_refused():
    class One(FineTuning):
        """A defence."""

    class Two(FineTuning):
        """Another one."""

    register(One)
    with pytest.raises(PluginError, match=r"two plug-ins named test_given: name one with @tfmeta.register\(name=...\)"):
        register(Two)
    assert register(Two, name="two").NAME == "two"
    with pytest.raises(PluginError, match="the package tfmeta both define the defence matching"):
        register(Two, name="matching")
    with pytest.raises(PluginError, match="'a/b' cannot be the name"):
        register(Two, name="a/b")
    with pytest.raises(PluginError, match="is not a plug-in"):
        register(dict)


def test_functions_become_defences_with_names_of_their_own():
    assert plugin_of("defences", adapt) is not plugin_of("defences", closure(1))
    assert plugin_of("defences", adapt) == plugin_of("defences", adapt)  # one object, one class
    names = [plugin_of("defences", given).NAME for given in (adapt, closure(2), closure(3), functools.partial(adapt))]
    assert names == ["adapt", "lambda_2", "lambda_3", "partial"]
    assert len(set(map(type, map(functools.partial(plugin_of, "defences"), [adapt, closure(4)])))) == 2


def test_what_is_no_plugin_is_refused():
    with pytest.raises(PluginError, match="a function needs model, evaluation, weights, support, labels"):
        plugin_of("defences", lambda model: None)
    with pytest.raises(ConfigError, match="3 is no attack: give a name, or an object of a class derived from Attack"):
        plugin_of("attacks", 3)
    with pytest.raises(ConfigError, match="Matching is of another kind: defence, where attack is asked for"):
        plugin_of("attacks", Matching())


def test_an_object_that_holds_more_than_its_options_is_refused():
    class One(FineTuning):
        """A defence."""

        share: float = 0.5

        @functools.cached_property
        def twice(self):
            return 2 * self.share

    plugin = One(share=0.25)
    assert plugin.twice == 0.5 and plugin_of("defences", plugin) is plugin
    object.__setattr__(plugin, "factor", 0.5)
    with pytest.raises(PluginError, match="an object of One holds factor: state belongs in options"):
        plugin_of("defences", plugin)


def test_a_keras_model_without_input_is_refused():
    import tensorflow as tf

    layers = [tf.keras.layers.Flatten(), tf.keras.layers.Dense(5, name="logits")]
    with pytest.raises(ModelError, match=r"begin with tf\.keras\.Input"):
        plugin_of("models", tf.keras.Sequential(layers))
    with pytest.raises(ConfigError, match="is no model: give a name, or an object of a class derived from Model"):
        plugin_of("models", tf.Module())


@pytest.mark.slow
def test_factories_become_aggregations_if_they_are_unweighted():
    import tensorflow_federated as tff

    factory = tff.aggregators.zeroing_factory(10.0, tff.aggregators.SumFactory(), norm_order=2.0)
    assert settings_of("aggregations", factory) == {"federation.aggregation": "unweighted_robust_factory"}
    config = make_config("glyphs", "smoke", aggregation="unweighted_robust_factory")
    assert registry.build("aggregations", config).tff_factory() is factory
    with pytest.raises(PluginError, match="MeanFactory is not an unweighted aggregation factory"):
        plugin_of("aggregations", tff.aggregators.MeanFactory())
