"""Which models are used: by results, by measurements, by later models, or by a run that is under way."""

import shutil

import pytest
from stored_things import aged, config, document, model, part, states, taken

from tfmeta.inventory import DAMAGED, FOREIGN, UNFINISHED, UNUSED, USED
from tfmeta.store import lock


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.mark.parametrize("stage", ["pretraining", "attack", "rounds"])
def test_a_model_is_used_by_the_results_that_were_computed_from_it(results, tmp_path, stage):
    folder = model(results, stage=stage)
    assert states(tmp_path)[folder.name] == UNUSED
    document(results)
    found = taken(tmp_path)[folder.name]
    assert found.state == USED and found.why == "used by 1 result, such as glyphs-smoke/fine_tuning-a.json"
    assert "profile smoke" in found.what and "with" not in found.what


def test_a_model_is_used_by_the_measurements_of_it(results, tmp_path):
    folder = model(results)
    part(results)
    assert states(tmp_path)[folder.name] == USED


@pytest.mark.parametrize(
    "other",
    [
        {"case": "b"}, {"digest": "cd" * 32}, {"dataset": "omniglot"}, {"of": config(seed=3)},
        {"of": config(attack_episodes=20)},
    ],
)  # fmt: skip
def test_a_result_of_another_case_data_or_configuration_uses_no_model(results, tmp_path, other):
    folder = model(results, stage="attack")
    document(results, **other)
    found = taken(tmp_path)[folder.name]
    assert found.state == UNUSED and found.why == f"no result in {results} was computed from it"


def test_fields_of_later_stages_do_not_matter(results, tmp_path):
    folder = model(results)
    document(results, config(attack_episodes=20, boost=5, delta=0.5, tasks=3))
    assert states(tmp_path)[folder.name] == USED


def test_a_field_that_was_added_later_counts_as_before_on_either_side(results, tmp_path):
    """`federation.users` is one: what was stored before counts as four users."""
    older, newer = model(results, without=["federation.users"]), model(results, key="1" * 12)
    other = model(results, config(federation_users=6), key="2" * 12)
    stored = config().to_dict()
    del stored["federation"]["users"]
    document(results, config=stored)
    found = states(tmp_path)
    assert [found[folder.name] for folder in (older, newer, other)] == [USED, USED, UNUSED]


def test_an_option_of_a_plug_in_that_is_not_loaded_counts(results, tmp_path):
    folder = model(results, stage="attack")
    stored = config().to_dict()
    stored["attack"]["strength_of_mine"] = 2.0
    document(results, config=stored)
    assert states(tmp_path)[folder.name] == UNUSED


def test_a_plug_in_from_outside_must_be_the_one_that_was_used(results, tmp_path):
    entry = {"name": "mine", "options": {}, "origin": "outside", "code": "1" * 16}
    same = model(results, stage="attack", plugins={"attacks": entry})
    other = model(results, stage="attack", key="1" * 12, plugins={"attacks": {**entry, "code": "2" * 16}})
    document(results, plugins={"attacks": [entry]})
    found = states(tmp_path)
    assert (found[same.name], found[other.name]) == (USED, UNUSED)


def test_other_code_of_the_package_is_said(results, tmp_path):
    folder = model(results, code={"tfmeta.federated.rounds": "0" * 16, "tfmeta.no_longer_there": "0" * 16})
    assert "computed by other code (2 modules differ)" in taken(tmp_path)[folder.name].what


def test_fields_that_differ_from_the_nearest_profile_are_named(results, tmp_path):
    folder = model(results, config(seed=3, boost=5.0), stage="attack")
    assert "profile smoke with boost=5.0, seed=3" in taken(tmp_path)[folder.name].what


def test_an_unfinished_model_keeps_those_that_it_was_trained_from(results, tmp_path):
    first, attack = model(results), model(results, stage="attack", rounds=[1])
    found = taken(tmp_path)
    assert found[attack.name].state == UNFINISHED and found[attack.name].why == "1 of 2 rounds"
    assert found[first.name].state == USED and attack.name in found[first.name].why
    assert states(tmp_path, given_up=True)[first.name] == UNUSED


def test_a_used_model_keeps_those_that_it_was_trained_from(results, tmp_path):
    """Results with a field that decides later rounds only still rest on pre-training."""
    first, rounds = model(results), model(results, config(rounds_after=3), stage="rounds")
    document(results, config(rounds_after=3))
    assert states(tmp_path) == {first.name: USED, rounds.name: USED, "glyphs-smoke": "listed only"}


def test_how_far_repeated_attacks_go_is_not_stored_so_such_a_model_counts_as_unfinished(results, tmp_path):
    folder = model(results, config(attack_rounds="every-2", rounds_after=4), stage="attack", rounds=range(1, 7))
    assert states(tmp_path)[folder.name] == UNFINISHED


def test_a_run_that_holds_a_model_or_a_folder_of_results_uses_models(results, tmp_path):
    folder = model(results)
    with lock.hold(folder):
        found = taken(tmp_path)[folder.name]
    assert found.state == USED and found.why.startswith("a run is using it (process ")
    with lock.hold(results / "glyphs-smoke"):
        found = taken(tmp_path)[folder.name]
    assert found.state == USED and "a run works in" in found.why
    assert states(tmp_path)[folder.name] == UNUSED


def test_a_result_that_cannot_be_read_keeps_the_models_of_its_data(results, tmp_path):
    folder = model(results)
    document(results).write_text('{"format": "tfm')
    found = taken(tmp_path)[folder.name]
    assert found.state == DAMAGED and "fine_tuning-a.json cannot be read" in found.why


def test_a_damaged_checkpoint_is_passed_over_and_a_damaged_model_said(results, tmp_path):
    folder = model(results)
    (folder / "round-00002.npz").write_bytes(b"PK damaged")
    document(results)
    assert states(tmp_path)[folder.name] == USED
    (folder / "round-00001.npz").write_bytes(b"")
    found = taken(tmp_path)[folder.name]
    assert (found.state, found.why) == (DAMAGED, "damaged: none of its checkpoints can be read")


def test_what_tfmeta_did_not_write_is_not_its_own(results, tmp_path):
    folder, elsewhere = model(results), tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere)
    (folder / "notes.txt").write_text("mine")
    (results / "models" / "backup").mkdir()
    (results / "models" / "glyphs-attack-unknown-000000000000").symlink_to(elsewhere)
    found = taken(tmp_path)
    assert {name: entry.state for name, entry in found.items()} == dict.fromkeys(found, FOREIGN)
    assert "notes.txt" in found[folder.name].why
    assert found["glyphs-attack-unknown-000000000000"].why == "a symbolic link, which is not followed"


def test_listing_is_no_use(results, tmp_path):
    folder = model(results)
    paths = [aged(path, 40) for path in (*folder.iterdir(), document(results), part(results))]
    before = [path.stat() for path in paths]
    last = taken(tmp_path)[folder.name].last_used
    assert [path.stat() for path in paths] == before and last == pytest.approx(before[0].st_mtime)


def test_missing_folders_hold_nothing(tmp_path):
    assert states(tmp_path) == {}


