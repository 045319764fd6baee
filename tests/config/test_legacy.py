"""Fields that were added later: what stored configurations count as that lack them."""

from tfmeta.config import Config, legacy


def test_a_field_that_is_missing_counts_as_its_legacy_value_and_not_as_its_default(new_field):
    assert legacy.values()[new_field] == 0.3
    here = Config().replace({new_field: 0.9}).upto("evaluation")
    there = {name: value for name, value in here.items() if name != new_field}
    assert legacy.completed(there, here) == {**here, new_field: 0.3}
    assert legacy.completed({new_field: 0.7}, {new_field: 0.9}) == {new_field: 0.7}


def test_groups_are_completed_like_fields(new_field):
    assert legacy.completed({"defence": {"gates": "fixed"}}, {"defence": {"delta": 0.9, "score": "examples"}}) == {
        "defence": {"gates": "fixed", "delta": 0.3}
    }
    assert legacy.completed({}, {"defence": {"score": "examples"}}) == {}


def test_a_field_without_a_legacy_value_stays_missing():
    assert legacy.completed({}, {"defence.gates": "fixed", "unheard.of": 1}) == {}


def test_names_of_folders_leave_out_fields_that_have_their_legacy_value(new_field):
    assert legacy.without({new_field: 0.3, "defence.gates": "fixed"}) == {"defence.gates": "fixed"}
    assert legacy.without({new_field: 0.4}) == {new_field: 0.4}


def test_a_stored_configuration_gets_the_fields_of_its_groups_only(new_field):
    found = legacy.complete({"defence": {"gates": "fixed"}})
    assert found["defence"]["delta"] == 0.3 and found["defence"]["gates"] == "fixed" and found.keys() == {"defence"}


def test_an_option_of_a_plug_in_counts_as_its_default():
    """A change of the default is a change of the plug-in's code, which is compared by itself."""
    assert legacy.completed({}, {"defence.then": "noise_mix"}) == {"defence.then": "matching"}
