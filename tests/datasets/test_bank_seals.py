"""A damaged bank is noticed, whatever of it is damaged, and made again."""

import json
import logging
import time

import numpy as np
import pytest
from bank_maker import IMAGES, Maker, fetch, only

from tfmeta.store import sealed


def _cut(npy, sidecar):
    npy.write_bytes(npy.read_bytes()[:-7])


def _empty(npy, sidecar):
    npy.write_bytes(b"")


def _header(npy, sidecar):
    npy.write_bytes(b"<html>" + npy.read_bytes()[6:])


def _dtype(npy, sidecar):
    npy.write_bytes(npy.read_bytes().replace(b"|u1", b"|i1"))


def _content(npy, sidecar):
    data = bytearray(npy.read_bytes())
    data[-50] ^= 1
    npy.write_bytes(data)


def _no_json(npy, sidecar):
    sidecar.write_text(sidecar.read_text()[:40])


def _other_json(npy, sidecar):
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "identity": {}}))


def _list(npy, sidecar):
    sidecar.write_text("[1, 2]")


def _put(**fields):
    """Return a damage: other values in the side file."""

    def damage(npy, sidecar):
        sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **fields}))

    return damage


SIDE = [
    _put(splits=["background", "evaluation", "background"]), _put(names=["a", "c", "b"]), _put(digest="0" * 64),
    _put(source="elsewhere"), _put(remarks=[]), _put(counts=[4, 4, 3]), _put(more=1), _put(seal="0" * 64),
    _put(seal=None), _put(source=float("nan")),
]  # fmt: skip
DAMAGES = [_cut, _empty, _header, _dtype, _content, _no_json, _other_json, _list, *SIDE]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_reported_and_made_again(tmp_path, caplog, damage):
    maker = Maker()
    fetch(tmp_path, maker)
    damage(only(tmp_path, "*.npy"), only(tmp_path, "*.json"))
    caplog.clear()
    assert (fetch(tmp_path, maker).images == IMAGES).all()
    assert maker.times == 2
    (said,) = [message for message in caplog.messages if "damaged" in message]
    assert str(only(tmp_path, "*.npy")) in said
    fetch(tmp_path, maker)
    assert maker.times == 2


def test_a_bank_of_before_banks_were_sealed_is_made_again_in_place_and_says_so(tmp_path, caplog):
    maker = Maker()
    digest = fetch(tmp_path, maker).digest
    npy, sidecar = only(tmp_path, "*.npy"), only(tmp_path, "*.json")
    stored = json.loads(sidecar.read_text())
    del stored["seal"]
    sidecar.write_text(json.dumps(stored))
    with caplog.at_level(logging.INFO):
        bank = fetch(tmp_path, maker)
    assert maker.times == 2 and bank.digest == digest
    assert f"{npy} is of before banks were sealed" in caplog.text and "damaged" not in caplog.text
    assert only(tmp_path, "*.npy") == npy and "seal" in json.loads(sidecar.read_text())


@pytest.mark.slow
def test_every_flip_and_truncation_of_a_bank_is_found_or_changes_nothing(tmp_path):
    maker = Maker()
    made = fetch(tmp_path, maker)
    npy, sidecar = only(tmp_path, "*.npy"), only(tmp_path, "*.json")
    rng, found = np.random.default_rng(3), 0
    whole = {path: path.read_bytes() for path in (npy, sidecar)}
    for number in range(200):
        path = (npy, sidecar)[number % 2]
        data, place = bytearray(whole[path]), int(rng.integers(len(whole[path])))
        if number % 8 < 2:
            del data[place:]
        else:
            data[place] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        times = maker.times
        bank = fetch(tmp_path, maker)
        found += maker.times - times
        assert (bank.images == IMAGES).all() and (bank.names, bank.splits) == (made.names, made.splits)
        assert (bank.digest, bank.source, bank.counts) == (made.digest, made.source, None)
        for each, content in whole.items():
            each.write_bytes(content)
    assert found > 180  # the others are flips of white space


def test_a_process_hashes_a_bank_once_and_again_when_a_file_changes(tmp_path, monkeypatch):
    maker, hashed, digest = Maker(), [], sealed.file_digest
    fetch(tmp_path, maker)
    npy, sidecar = only(tmp_path, "*.npy"), only(tmp_path, "*.json")
    time.sleep(0.15)  # until another change would have another time stamp
    monkeypatch.setattr(sealed, "file_digest", lambda path: hashed.append(path) or digest(path))
    for count, change in enumerate([lambda: None, npy.touch, sidecar.touch], 1):
        change()
        time.sleep(0.15)
        assert all((fetch(tmp_path, maker).images == IMAGES).all() for _ in range(3))
        assert hashed == [npy] * count
    _content(npy, sidecar)
    assert (fetch(tmp_path, maker).images == IMAGES).all() and maker.times == 2
