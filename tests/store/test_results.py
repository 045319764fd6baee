"""Results: what is written can be read, and what breaks the contract can be neither written nor read."""

import hashlib
import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tfmeta.config import legacy
from tfmeta.errors import ConfigError, ResultError
from tfmeta.store import npz, results

CURVE = dict(user=2, head="softmax", metric="main", split="after", x_name="iteration")


def damage(path, change):
    """Rewrite a document with one thing changed, and without its digest, as it was before there were any."""
    document = json.loads(path.read_text())
    del document["sha256"]
    change(document)
    path.write_text(json.dumps(document))


def put(*keys, value):
    def change(document):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


def test_a_run_folder_is_named_by_data_set_profile_and_tag(tmp_path):
    assert results.run_folder(tmp_path, "glyphs", "quick") == tmp_path / "glyphs-quick"
    assert results.run_folder(tmp_path, "mini-imagenet", "desk", "lambda_5.0-seed7") == (
        tmp_path / "mini-imagenet-desk-lambda_5.0-seed7"
    )
    for word in ("../x", "a/b", "", ".hidden", "two words"):
        with pytest.raises(ConfigError, match="cannot be part"):
            results.run_folder(tmp_path, "glyphs", "quick", word)


def test_a_written_result_is_read_back(tmp_path, made):
    document, values = made()
    path = results.write(tmp_path / "run", document, values)
    assert path == tmp_path / "run" / "fine_tuning-a.json" == results.path_of(tmp_path / "run", "fine_tuning", "a")
    read = results.read(path)
    assert {name: read[name] for name in document} == {**document, "config": legacy.complete(document["config"])}
    stored = results.read_values(path)
    assert stored.keys() == {"after/2/softmax/main", "after/all/softmax/meta_test"} == values.keys()
    for name, array in values.items():
        assert stored[name].dtype == np.float32
        np.testing.assert_allclose(stored[name], array, atol=1e-7)
    assert sorted(p.name for p in path.parent.iterdir()) == ["fine_tuning-a.json", "fine_tuning-a.npz"]


def test_the_same_content_gives_the_same_bytes(tmp_path, made):
    first, again = (results.write(tmp_path / name, *made()) for name in "xy")
    assert first.read_bytes() == again.read_bytes()
    assert first.with_suffix(".npz").read_bytes() == again.with_suffix(".npz").read_bytes()


def test_the_interval_is_that_of_a_textbook():
    """Student (1908), hours of sleep: mean 1.58, s 1.230, n 10, t 2.262, so 1.58 +- 0.880; here a tenth of it."""
    hours = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    difference = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert hours.mean() == pytest.approx(2.33)
    curve = results.curve(**CURVE, x=[0], task_values=difference[None] / 10)
    assert curve["mean"][0] == pytest.approx(0.158, abs=5e-4)
    half = 2.2622 * difference.std(ddof=1) / math.sqrt(10) / 10
    assert curve["low"][0] == pytest.approx(0.158 - half, abs=1e-5)
    assert curve["high"][0] == pytest.approx(0.158 + half, abs=1e-5)
    assert curve["n"] == 10


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 4), st.integers(2, 12)),
        elements=st.floats(0, 1, allow_subnormal=False),
    )
)
def test_any_accuracies_make_a_valid_curve(tmp_path_factory, values):
    curve = results.curve(**CURVE, x=np.arange(len(values)), task_values=values)
    document = {
        "experiment": "any", "case": "a", "dataset": "glyphs", "profile": "smoke", "changed": {},
        "config": {"meta_learning": {"seed": 0, "ways": 5}},
        "provenance": {
            "commit": "unknown", "versions": {}, "data_digest": "0" * 64, "started": "", "seconds": 0,
        },
        "curves": [curve],
    }  # fmt: skip
    path = results.write(tmp_path_factory.getbasetemp(), document, {results.key(curve): values})
    assert results.read(path)["curves"] == [curve]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([[0.5, math.nan]], "nan at point 0, task 1"),
        ([[0.5, 0.5], [0.5, 1.5]], "1.5 at point 1, task 1"),
        ([[-0.1, 0.5]], "-0.1"),
        ([[0.5]], "at least 2 tasks"),
        ([0.5, 0.5], "must be \\[points, tasks\\]"),
        (np.zeros((3, 4)), "one row per point"),
    ],
)
def test_a_curve_of_wrong_values_is_refused(values, words):
    x = [0] if np.shape(values) != (2, 2) else [0, 1]
    with pytest.raises(ResultError, match=words):
        results.curve(**CURVE, x=x, task_values=values)


WRONG = {
    "an unknown case": (put("case", value="d"), "case: 'd' is not one of"),
    "a missing field": (lambda d: d.pop("profile"), "'profile' is a required property"),
    "no changed fields": (lambda d: d.pop("changed"), "'changed' is a required property"),
    "a configuration without groups": (put("config", value={"seed": 0}), "config"),
    "a configuration without its seed": (lambda d: d["config"]["meta_learning"].pop("seed"), r"config\.meta_learning"),
    "an extra field": (put("extra", value=1), "extra"),
    "an unknown metric": (put("curves", 0, "metric", value="accuracy"), r"curves\.0\.metric"),
    "an accuracy above 1": (put("curves", 0, "mean", 1, value=1.2), r"curves\.0\.mean\.1: 1\.2 is greater"),
    "a list too short": (lambda d: d["curves"][0]["low"].pop(), "have 3, 3, 2, 3 entries"),
    "an interval that does not contain its mean": (put("curves", 0, "low", 0, value=1.0), "interval are not those of"),
    "another mean": (put("curves", 1, "mean", value=[0.0, 0.0, 0.0]), "after/all/softmax/meta_test"),
    "another n": (put("curves", 0, "n", value=11), "float32 (3, 11)"),
    "a single task": (put("curves", 0, "n", value=1), "1 is less than the minimum of 2"),
    "x out of order": (put("curves", 0, "x", value=[0, 50, 10]), "does not increase"),
    "an infinite x": (put("curves", 0, "x", 2, value=1e999), "not finite"),
    "a curve twice": (lambda d: d["curves"].append(d["curves"][0]), "is there twice"),
    "the attacker's curve": (put("curves", 0, "user", value=1), r"curves\.0\.user"),
    "a missing curve": (lambda d: d["curves"].pop(), "meta_test: in one of the document and its npz file"),
    "images that are not stored": (put("images", value={"target": {}}), "target: in one of"),
    "half a commit": (put("provenance", "commit", value="abc"), r"provenance\.commit"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_broken_contract_is_neither_written_nor_read(tmp_path, made, name):
    change, words = WRONG[name]
    document, values = made()
    path = results.write(tmp_path, document, values)
    change(document)
    with pytest.raises(ResultError) as raised:
        results.write(tmp_path / "new", document, values)
    said = [str(raised.value)]
    assert not (tmp_path / "new").exists()
    damage(path, change)
    path.write_text(path.read_text().replace("Infinity", "1e999"))  # the one way to write infinity in JSON
    for reader in (results.read, results.read_values):
        with pytest.raises(ResultError) as raised:
            reader(path)
        said.append(str(raised.value))
        assert str(path) in said[-1]
    if name != "an infinite x":  # refused earlier when written, since it is not JSON
        assert all(words in text or re.search(words, text) for text in said), said


def test_nan_is_refused(tmp_path, made):
    document, values = made()
    with pytest.raises(ResultError, match=r"fine_tuning-a\.json: this cannot be stored as JSON"):
        results.write(tmp_path, {**document, "changed": {"attack.boost": math.nan}}, values)
    path = results.write(tmp_path, document, values)
    path.write_text(path.read_text().replace("0.001", "NaN"))
    with pytest.raises(ResultError, match="NaN is not JSON"):
        results.read(path)
    values["after/2/softmax/main"] = np.full((3, 10), np.nan)
    with pytest.raises(ResultError, match="nan at point 0, task 0"):
        results.write(tmp_path / "new", document, values)
    assert not (tmp_path / "new").exists()


def test_a_result_of_another_configuration_names_the_fields_that_differ(tmp_path, made):
    path = results.write(tmp_path, *made())
    learning = {"seed": 3, "ways": 5, "inner_learning_rate": 0.001}
    config = {"meta_learning": learning, "attack": {"boost": 3.0}}
    assert results.read(path, config)["case"] == "a"
    with pytest.raises(ResultError) as raised:
        results.read(path, {"meta_learning": {**learning, "seed": 4}, "attack": {"boost": 5.0}})
    for words in (str(path), "attack.boost is 3.0 there and 5.0", "meta_learning.seed is 3 there and 4", "Delete it"):
        assert words in str(raised.value)
    assert "inner_learning_rate" not in str(raised.value)


@pytest.mark.parametrize("part", [0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_named(tmp_path, made, part):
    path = results.write(tmp_path, *made())
    for damaged in (path, path.with_suffix(".npz")):
        whole = damaged.read_bytes()
        damaged.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(ResultError) as raised:
            results.read(path)
        assert str(damaged) in str(raised.value) and "elete" in str(raised.value)
        damaged.write_bytes(whole)
    results.read(path)


def test_a_document_or_values_too_large_to_read_are_named(tmp_path, made):
    path = results.write(tmp_path, *made())
    for large, most in ((path, results.LARGEST), (path.with_suffix(".npz"), npz.LARGEST)):
        whole = large.read_bytes()
        os.truncate(large, most + 1)  # zeros that take no space
        with pytest.raises(ResultError, match=rf"{large.name} cannot be read \(has {most + 1} bytes"):
            results.read(path)
        large.write_bytes(whole)
    results.read(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"epochs": 5}', "is not a result of tfmeta"),
        ("[1, 2]", "is not a result of tfmeta"),
        ("<html></html>", "is truncated or damaged"),
        ("\xff\xfe", "is truncated or damaged"),
        ("[" * 100_000, "is truncated or damaged"),
        ('{"format": "tfmeta-result-9"}', "is of another version"),
    ],
)
def test_a_file_that_is_no_result_is_named(tmp_path, text, words):
    path = tmp_path / "fine_tuning-a.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ResultError, match=words) as raised:
        results.read(path)
    assert str(path) in str(raised.value)


def test_values_of_another_run_are_refused(tmp_path, made):
    path = results.write(tmp_path, *made(seed=0))
    other = results.write(tmp_path / "other", *made(seed=1))
    path.with_suffix(".npz").write_bytes(other.with_suffix(".npz").read_bytes())
    with pytest.raises(ResultError, match=r"is not the file that fine_tuning-a\.json was written with"):
        results.read(path)
    path.with_suffix(".npz").unlink()
    with pytest.raises(ResultError, match=r"fine_tuning-a\.npz is missing"):
        results.read(path)


def test_forged_values_are_refused(tmp_path, made):
    path = results.write(tmp_path, *made())
    forged = npz.pack({**results.read_values(path), "after/2/softmax/main": np.zeros((3, 10), np.float32)})
    path.with_suffix(".npz").write_bytes(forged)
    damage(path, put("values_sha256", value=hashlib.sha256(forged).hexdigest()))
    with pytest.raises(ResultError, match="mean and interval are not those"):
        results.read(path)


def test_a_missing_result_is_named(tmp_path):
    with pytest.raises(ResultError, match=r"nowhere-a\.json is missing"):
        results.read(tmp_path / "nowhere-a.json")


def test_a_full_disk_separates_no_document_from_its_values(tmp_path, made):
    """The kernel stops the second of the two files; the earlier run's document and values both stay."""
    path = results.write(tmp_path, *made(seed=0))
    before = {p: p.read_bytes() for p in sorted(tmp_path.iterdir())}
    code = f"""
import json, resource, numpy as np
from tfmeta.errors import StorageError
from tfmeta.store import results
document = json.load(open({str(path)!r}))
values = results.read_values({str(path)!r})
document["images"] = {{"target": {{}}}}
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
try:
    results.write({str(tmp_path)!r}, document, {{**values, "target": np.zeros((9, 84, 84, 3), np.uint8)}})
except StorageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, timeout=60)
    assert "fine_tuning-a.npz could not be written" in done.stdout, done.stderr
    assert {p: p.read_bytes() for p in sorted(tmp_path.iterdir())} == before


def test_images_are_stored_with_a_result(tmp_path, made):
    document, _ = made(curves=[], experiment="illustration", images={"target": {"title": "t", "names": ["a"]}})
    images = np.arange(28 * 28, dtype=np.uint32).astype(np.uint8).reshape(1, 28, 28, 1)
    path = results.write(tmp_path, document, {"target": images})
    np.testing.assert_array_equal(results.read_values(path)["target"], images)
    assert results.read_values(path)["target"].dtype == np.uint8
    with pytest.raises(ResultError, match="spare: in one of the document and its npz file"):
        results.write(tmp_path, document, {"target": images, "spare": images})


def test_reading_loads_neither_tensorflow_nor_matplotlib(tmp_path, made):
    path = results.write(tmp_path, *made())
    code = (
        "import sys; from tfmeta.store import results; results.read(sys.argv[1]); "
        "print([m for m in ('tensorflow', 'tensorflow_federated', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code, path], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
