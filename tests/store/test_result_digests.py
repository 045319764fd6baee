"""A result that was changed after it was written is refused, and so is any damaged file of results and checkpoints."""

import json
import logging

import numpy as np
import pytest

import tfmeta
from tfmeta.errors import ResultError
from tfmeta.store import checkpoints, results

CHANGES = {
    "a digit": ('"boost": 3.0', '"boost": 3.5'),
    "a case": ('"case": "a"', '"case": "b"'),
    "a type": ('"boost": 3.0', '"boost": 3'),
    "a number too large": ('"seconds": 2.5', '"seconds": 1e999'),
    "a name": ('"seed": 3', '"need": 3'),
    "another field of the same name": ('"boost": 3.0', '"boost": 3.0, "boost": 3.5'),
    "the digest": ('"sha256": "', '"sha256": "0'),
    "no digest but null": ('"sha256": "', '"sha256": null, "changed": {}, "notes": ["'),
}


@pytest.fixture
def written(tmp_path, made):
    return results.write(tmp_path / "run", *made())


def without_digest(path):
    """Rewrite a document as it was before there were digests."""
    document = json.loads(path.read_text())
    del document["sha256"]
    path.write_text(json.dumps(document))


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("name", CHANGES)
def test_a_document_that_was_changed_by_hand_is_refused(written, name):
    old, new = CHANGES[name]
    assert old in written.read_text()
    written.write_text(written.read_text().replace(old, new))
    for reader in (results.read, results.read_values, lambda path: tfmeta.load_results(path.parent)):
        with pytest.raises(ResultError) as raised:
            reader(written)
        assert f"{written} " in str(raised.value) and "elete it and run the experiment again" in str(raised.value)
        assert "was changed after it was written" in str(raised.value) or "is truncated or damaged" in str(raised.value)


def test_another_layout_of_the_same_content_is_read(written, caplog):
    document = results.read(written)
    written.write_text(json.dumps(dict(reversed(json.loads(written.read_text()).items())), indent=8))
    assert results.read(written) == document and not warnings(caplog)


def test_a_document_that_is_read_and_written_again_gets_a_digest_of_its_own(written):
    document, values = results.load(written)
    again = results.write(written.parent, {**document, "notes": ["another"]}, values)
    assert results.read(again)["notes"] == ["another"] and results.read(again)["sha256"] != document["sha256"]


def test_a_document_of_before_there_were_digests_is_read_with_one_warning(written, caplog):
    without_digest(written)
    for _ in range(2):
        assert results.read(written)["case"] == "a"
    (warning,) = warnings(caplog)
    assert warning.startswith(f"{written}: written before results had a digest") and "\n" not in warning


def test_a_folder_of_such_documents_is_read_with_one_warning(tmp_path, made, caplog):
    for number in range(20):
        without_digest(results.write(tmp_path / f"glyphs-smoke-seed{number:02d}", *made(seed=number)))
    for _ in range(2):
        assert len(tfmeta.load_results(tmp_path)) == 20 * 2 * 3
        results.read(tmp_path / "glyphs-smoke-seed07" / "fine_tuning-a.json")
    (warning,) = warnings(caplog)
    assert warning.startswith(f"{tmp_path / 'glyphs-smoke-seed00' / 'fine_tuning-a.json'} and 19 more: written before")


def damaged(whole, rng):
    """Return a file's content with a bit flipped, cut off, or with some bytes zeroed."""
    data, kind, place = bytearray(whole), rng.integers(10), int(rng.integers(len(whole)))
    if kind == 0:
        del data[place:]
    elif kind == 1:
        data[place : place + 20] = bytes(len(data[place : place + 20]))
    else:
        data[place] ^= 1 << rng.integers(8)
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["document", "values", "checkpoint"])
def test_no_damage_gives_other_content_silently(tmp_path, made, kind):
    """Each ends in an error that names the file, or is harmless: white space, and what zip programs alone read."""
    document, values = made()
    path = results.write(tmp_path, document, values)
    arrays, manifest = {"weight00": np.arange(60, dtype=np.float32).reshape(3, 20), "step": np.int64(7)}, {"round": 3}
    checkpoints.save(tmp_path / "round.npz", arrays, manifest, {"commit": "unknown", "kept": ["one"]})
    read, damage = {
        "document": (lambda: results.load(path), path),
        "values": (lambda: results.load(path), path.with_suffix(".npz")),
        "checkpoint": (lambda: checkpoints.load(tmp_path / "round.npz", manifest), tmp_path / "round.npz"),
    }[kind]
    whole, expected, refused = damage.read_bytes(), repr(read()), 0
    rng = np.random.default_rng(5)
    for _ in range(1000):
        damage.write_bytes(damaged(whole, rng))
        try:
            assert repr(read()) == expected
        except ResultError as error:
            refused += 1
            assert str(damage) in str(error)
    assert refused > 500
