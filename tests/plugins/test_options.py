"""Options of plug-ins in configurations: set by name, checked by the plug-in that is chosen, and told apart."""

import pytest
from plugin_files import ATTACK, defence, write

from tfmeta import registry
from tfmeta.config import changed_fields, make_config, parse_settings, resolve, tag_of
from tfmeta.errors import ConfigError
from tfmeta.plugins.outside import use_file


@pytest.fixture(autouse=True)
def three_plugins(forget_plugins, tmp_path):
    """Two defences and an attack that all have an option `share`."""
    use_file(write(tmp_path, "one", defence("share: float = 0.5\nword: str = 'a'")))
    use_file(write(tmp_path, "two", defence('share: int = number(3, "a count", 1, 9)\nboost: float = 1.0')))
    use_file(write(tmp_path, "shrunk", ATTACK))


def config(**settings):
    return make_config("omniglot", "quick", **settings)


def test_the_chosen_plugin_decides_type_range_and_default():
    two, one = (config(defence=name, **{"defence.share": 1}) for name in ("two", "one"))
    assert [type(each["defence.share"]) for each in (two, one)] == [int, float]
    assert config(defence="two")["defence.share"] == 3 and config(defence="one")["defence.share"] == 0.5
    with pytest.raises(ConfigError, match=r"defence.share = 0.25 \(a count\): give a whole number from 1 to 9"):
        config(defence="two", **{"defence.share": 0.25})
    with pytest.raises(ConfigError, match=r"--set 'defence.share=many'"):
        parse_settings(["defence.share=many"])


def test_a_default_that_is_set_changes_nothing():
    assert config(defence="two", **{"defence.share": 3}) == config(defence="two")
    plain, set_to_other = config(), config(defence="one", **{"defence.share": 3.0})
    assert changed_fields(plain, set_to_other) == {"defence.name": "one", "defence.share": 3.0}
    assert tag_of(changed_fields(plain, set_to_other)) == "defence=one+defence.share=3.0"


def test_an_option_that_the_chosen_plugin_lacks_is_refused():
    for fields in ({"defence": "matching"}, {"defence": "two"}):
        with pytest.raises(ConfigError, match=r"no such option .*one has it \(choose it with defence.name\)"):
            config(**fields, **{"defence.word": "b"})
    with pytest.raises(ConfigError, match="the attack model_replacement has no such option"):
        config(**{"attack.share": 0.1})
    assert config(defence="one", gates="fixed").defence.gates == "fixed"  # a field of the group stays one


def test_an_option_of_a_defence_of_ones_own_is_refused_where_no_defence_is_chosen():
    with pytest.raises(ConfigError, match=r"option of the defence one, which is not chosen: add --defence one"):
        config(**{"defence.word": "b"})
    with pytest.raises(ConfigError, match="option of the data set image-folder, which is not chosen: add --dataset"):
        config(**{"data.folder": "photos"})


def test_another_plug_in_drops_the_options_of_the_one_before():
    one = config(defence="one", **{"defence.share": 0.25, "attack.name": "shrunk", "attack.share": 0.1})
    assert one.replace({"defence.name": "matching"}).options == (("attack.share", 0.1),)
    assert one.replace({"defence.name": "two"})["defence.share"] == 3
    assert one.replace({"defence.name": "two", "defence.share": 5})["defence.share"] == 5
    assert one.replace({"defence.name": "one", "defence.word": "b"})["defence.share"] == 0.25
    assert one.replace({"defence.delta": 0.5})["defence.share"] == 0.25


def test_a_name_that_several_groups_have_needs_its_group():
    with pytest.raises(ConfigError, match=r"ambiguous: write attack\.share or defence\.share"):
        resolve("share")
    with pytest.raises(ConfigError, match=r"ambiguous: write attack\.boost or defence\.boost"):
        resolve("boost")
    assert (resolve("attack_share"), resolve("word")) == ("attack.share", "defence.word")


def test_tags_do_not_depend_on_other_plugins():
    assert tag_of({"attack.boost": 5.0, "defence.word": "b"}) == "boost=5.0+defence.word=b"


@pytest.mark.parametrize("word", ["a\nb", "\x1b[31m", "a\x00"])
def test_words_can_be_printed(word):
    with pytest.raises(ConfigError, match="give text that can be printed, in one line"):
        config(defence="one", **{"defence.word": word})
    assert tag_of({"defence.word": "../x"}).startswith("defence.word=.._x-")


def test_the_nearest_plugin_is_suggested():
    with pytest.raises(ConfigError, match=r"attack.name = 'shrnk' .*did you mean shrunk\? give one of model_r"):
        config(attack="shrnk")
    assert "shrunk" in registry.names("attacks")
