"""What a run does with stored files of other code: it stops, computes them again, or accepts them and says so."""

import copy
import logging

import numpy as np
import pytest

from tfmeta.config import Config
from tfmeta.errors import CodeChangedError, ConfigError, ResultError
from tfmeta.store import checkpoints, compare
from tfmeta.store.reuse import StoredFiles

ARRAYS = {"w": np.arange(3.0)}
BUILT_IN = {"name": "sum", "options": {"norm": 1.0}, "origin": "built-in", "code": {"tfmeta.aggregations.sum": "aa"}}
OWN = {"name": "halved", "options": {"share": 0.5}, "origin": "outside", "code": "bb"}
MANIFEST = {
    "round": 3, "fields": {"defence.delta": 0.5},
    "plugins": {"aggregations": BUILT_IN, "defences": OWN}, "code": {"tfmeta.models.conv4": "cc", "tfmeta.a": "dd"},
}  # fmt: skip


def edited(*keys, value, manifest=MANIFEST):
    """Return a manifest in which one value differs."""
    whole = inner = copy.deepcopy(manifest)
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return whole


CODE = edited("code", "tfmeta.models.conv4", value="other")
PLUGIN = edited("plugins", "aggregations", "code", "tfmeta.aggregations.sum", value="other")
OUTSIDE = edited("plugins", "defences", "code", value="other")
OPTION = edited("plugins", "defences", "options", "share", value=0.25)
FEWER = edited("code", value={"tfmeta.a": "dd"})
KEPT = "model glyphs-attack: tfmeta.models.conv4 differs from the code that computed it (commit 1234567)"
UNRECORDED = "model glyphs-attack: computed before the code was recorded"
OLD = {name: value for name, value in MANIFEST.items() if name not in ("plugins", "code")}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "glyphs-attack" / "round-00003.npz"
    checkpoints.save(path, ARRAYS, MANIFEST, {"commit": "12345678" * 5})
    return path


@pytest.mark.parametrize("policy", ["check", "fresh", "keep"])
def test_what_is_the_same_is_used(path, policy):
    before = path.stat().st_mtime_ns
    assert np.array_equal(StoredFiles(policy).load(path, MANIFEST)["w"], ARRAYS["w"])
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("manifest", "module"),
    [(CODE, "tfmeta.models.conv4"), (PLUGIN, "tfmeta.aggregations.sum"), (FEWER, "tfmeta.models.conv4")],
)
def test_other_code_of_the_package_stops_the_run(path, manifest, module):
    with pytest.raises(CodeChangedError) as raised:
        StoredFiles().load(path, manifest)
    said = str(raised.value)
    assert str(path) in said and f"by other code: {module} differs (stored by commit 1234567; this is" in said
    assert "--fresh" in said and "--keep" in said


def test_a_message_names_three_modules_and_counts_the_others(path):
    many = edited("code", value={f"tfmeta.m{number}": "x" for number in range(4)})
    with pytest.raises(CodeChangedError, match=r"tfmeta\.a, tfmeta\.m0, tfmeta\.m1 and 3 more differ \("):
        StoredFiles().load(path, many)


@pytest.mark.parametrize("policy", ["check", "fresh", "keep"])
@pytest.mark.parametrize("manifest", [OUTSIDE, OPTION])
def test_what_other_code_outside_the_package_computed_is_computed_anew(path, policy, manifest, caplog):
    with caplog.at_level("INFO", logger="tfmeta"):
        assert StoredFiles(policy).load(path, manifest) is None
    assert f"{path} is computed anew: the code or options of defences: halved differ" in caplog.text


@pytest.mark.parametrize("manifest", [CODE, PLUGIN, OLD])
def test_fresh_computes_again_what_differs(path, manifest):
    stored = path if manifest is not OLD else path.with_name("old.npz")
    checkpoints.save(stored, ARRAYS, manifest)
    assert StoredFiles("fresh").load(stored, MANIFEST) is None


def test_what_is_kept_says_so_from_then_on_and_is_not_asked_about_again(path):
    StoredFiles("keep").load(path, CODE)
    loaded = checkpoints.load(path, CODE)
    assert loaded.about["commit"] == "12345678" * 5
    assert loaded.about["kept"] == [KEPT]
    assert np.array_equal(loaded.arrays["w"], ARRAYS["w"])
    assert StoredFiles().load(path, CODE) is not None
    assert StoredFiles("fresh").load(path, CODE) is None  # only accepted, so computed again on demand
    with pytest.raises(CodeChangedError):
        StoredFiles().load(path, MANIFEST)


def test_what_is_computed_from_a_kept_file_says_so(path, tmp_path):
    files = StoredFiles("keep")
    with files.collecting() as of_document:
        with files.collecting():
            files.load(path, CODE)
            files.save(tmp_path / "part.npz", ARRAYS, MANIFEST)
        files.save(tmp_path / "later.npz", ARRAYS, MANIFEST)
    assert checkpoints.load(tmp_path / "part.npz", MANIFEST).about["kept"] == [KEPT]
    assert of_document.kept == [KEPT]
    with StoredFiles().collecting() as used:
        pass
    assert used.kept == []


def test_a_file_that_no_kept_one_decides_says_nothing(path, tmp_path):
    files = StoredFiles("keep")
    with files.collecting():
        files.load(path, CODE)
    with files.collecting():
        files.save(tmp_path / "part.npz", ARRAYS, MANIFEST)
    assert "kept" not in checkpoints.load(tmp_path / "part.npz", MANIFEST).about


@pytest.mark.parametrize("policy", ["check", "keep"])
def test_files_from_before_code_was_recorded_are_used_with_one_warning(path, tmp_path, policy, caplog):
    files = StoredFiles(policy)
    checkpoints.save(path, ARRAYS, OLD)
    checkpoints.save(tmp_path / "second.npz", ARRAYS, OLD)
    with caplog.at_level("INFO", logger="tfmeta"), files.collecting() as used:
        assert files.load(path, MANIFEST) is not None
        assert files.load(tmp_path / "second.npz", MANIFEST) is not None
    assert caplog.text.count("computed before the code was recorded") == 1 and "--fresh" in caplog.text
    assert used.unrecorded[0] == UNRECORDED and used.kept == []
    assert "2 stored files of other or unrecorded code were used" in caplog.text


@pytest.fixture
def derived(path, tmp_path):
    """A part that edited code measured, of a model from before code was recorded; and the part's full manifest."""
    part = tmp_path / "glyphs-smoke" / "parts" / "part.npz"
    later = edited("code", value={**MANIFEST["code"], "tfmeta.later": "ee"})
    files = StoredFiles()
    checkpoints.save(path, ARRAYS, OLD)
    with files.collecting() as used:
        files.load(path, MANIFEST)
        files.save(part, ARRAYS, later)
    assert used.unrecorded == [UNRECORDED]
    assert used.identity() == {
        "plugins": {"aggregations": [{**BUILT_IN, "code": {}}], "defences": [OWN]}, "code": {"tfmeta.later": "ee"}
    }  # fmt: skip
    return part, later


def test_nothing_claims_the_present_code_for_what_an_unrecorded_file_decided(derived):
    part, later = derived
    stored = checkpoints.load(part, later)
    assert stored.about["unrecorded"] == [UNRECORDED]
    assert stored.difference.recorded and stored.difference.unknown == compare.modules_of(MANIFEST).keys()
    for manifest in (later, edited("code", "tfmeta.a", value="other", manifest=later)):
        files = StoredFiles()
        with files.collecting() as used:
            assert files.load(part, manifest) is not None  # the model's code is as unknown as before
        assert used.unrecorded == [UNRECORDED] and used.identity()["code"] == {"tfmeta.later": "ee"}
    with pytest.raises(CodeChangedError, match=r"other code: tfmeta\.later differs"):
        StoredFiles().load(part, edited("code", "tfmeta.later", value="other", manifest=later))
    assert StoredFiles("fresh").load(part, later) is None


def test_keeping_what_rests_on_an_unrecorded_file_does_not_claim_its_code_either(derived):
    part, later = derived
    other = edited("code", "tfmeta.later", value="other", manifest=later)
    StoredFiles("keep").load(part, other)
    stored = checkpoints.load(part, other)
    assert stored.about["unrecorded"] == [UNRECORDED] and not stored.difference.modules
    assert stored.about["kept"][0].startswith("measurements of glyphs-smoke: tfmeta.later differs from the code")
    assert stored.difference.unknown == compare.modules_of(MANIFEST).keys()


def test_every_run_warns_once_of_what_rests_on_other_or_unrecorded_code(derived, path, caplog):
    part, later = derived
    checkpoints.save(path, ARRAYS, MANIFEST, {"commit": "12345678" * 5})
    StoredFiles("keep").load(path, CODE)
    for stored, manifest, said in ((part, later, UNRECORDED), (path, CODE, KEPT)):
        caplog.clear()
        files = StoredFiles()
        files.load(stored, manifest)
        files.load(path, CODE)
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert f"{stored} is used as it is, like all such files of this run ({said});" in caplog.text
        assert "--fresh" in caplog.text


def test_a_document_that_rests_on_several_such_files_counts_them(tmp_path, caplog):
    path, same = tmp_path / "matching-a.json", compare.Difference([], [], [], True)
    accepted = StoredFiles().accepted(path, same, {"kept": [KEPT], "unrecorded": [UNRECORDED, "more"]})
    assert accepted == ([KEPT], [UNRECORDED, "more"])
    assert f"({KEPT}; and 2 more)" in caplog.text


@pytest.mark.parametrize("policy", ["check", "fresh", "keep"])
def test_another_configuration_is_refused_whatever_becomes_of_other_code(path, policy):
    with pytest.raises(ResultError, match=r"fields\.defence\.delta is 0\.5 there and 0\.25 here"):
        StoredFiles(policy).load(path, edited("fields", "defence.delta", value=0.25))
    with pytest.raises(ResultError, match=r"aggregations\.norm is 1\.0 there and 2\.0 here"):
        StoredFiles(policy).load(path, edited("plugins", "aggregations", "options", "norm", value=2.0))


def test_an_option_that_a_built_in_plug_in_got_later_is_a_matter_of_its_code(path):
    later = edited("plugins", "aggregations", "options", value={"norm": 1.0, "order": 2})
    assert StoredFiles().load(path, later) is not None


def test_a_missing_file_is_to_be_computed(tmp_path):
    assert StoredFiles().load(tmp_path / "missing.npz", MANIFEST) is None


def test_an_unknown_policy_is_refused():
    with pytest.raises(ConfigError, match=r"'frsh': did you mean fresh"):
        StoredFiles("frsh")


def test_plug_ins_of_a_document_have_the_options_that_never_differed(tmp_path):
    files = StoredFiles()
    with files.collecting() as used:
        for share in (0.5, 0.25):
            of = {**OWN, "options": {"share": share, "steps": 3}}
            files.note({"plugins": {"defences": of}, "code": {"tfmeta.a": "dd"}})
        files.note({"plugins": {"defences": {**OWN, "name": "other"}}, "code": {"tfmeta.b": "ee"}})
    assert [(entry["name"], entry["options"]) for entry in used.plugins["defences"]] == [
        ("halved", {"steps": 3}), ("other", {"share": 0.5}),
    ]  # fmt: skip
    assert used.code == {"tfmeta.a": "dd", "tfmeta.b": "ee"}


@pytest.mark.parametrize("flat", [True, False])
def test_a_stored_field_that_is_missing_counts_as_its_legacy_value(flat, new_field):
    here = Config().upto("evaluation") if flat else Config().to_dict()
    there = copy.deepcopy(here)
    there.pop(new_field) if flat else there["defence"].pop(new_field.partition(".")[2])
    assert compare.compare({"fields": there}, {"fields": here}).fields == []
    changed = Config().replace({new_field: 0.9})
    here = changed.upto("evaluation") if flat else changed.to_dict()
    found = compare.compare({"fields": there}, {"fields": here}).fields
    assert found == [f"fields.{new_field} is 0.3 there and 0.9 here"]


def test_a_missing_field_without_a_legacy_value_is_another_configuration():
    here = Config().to_dict()
    there = copy.deepcopy(here)
    del there["defence"]["gates"]
    assert compare.compare({"fields": there}, {"fields": here}).fields == [
        'fields.defence.gates is absent there and "projected" here'
    ]
