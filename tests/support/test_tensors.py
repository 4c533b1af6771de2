"""Tensors in files: every byte counts, and so does what they are kept for."""

import numpy as np
import pytest
import torch

from modelstitch.support import hashing, tensors
from modelstitch.support.hashing import DamagedError, sealed, unsealed

KINDS = {
    "whole": torch.arange(6).reshape(2, 3),
    "half": torch.linspace(0, 1, 5).bfloat16(),
    "flag": torch.tensor([True, False]),
    "scalar": torch.tensor(2.5, dtype=torch.float64),
    "empty": torch.zeros(0, 3),
}


def test_what_is_written_is_read_back(tmp_path):
    digest = tensors.save(tmp_path / "file", KINDS, {"of": "a test"})
    found, texts = tensors.load(tmp_path / "file")
    assert texts == {"of": "a test"}
    assert found.keys() == KINDS.keys()
    assert all(torch.equal(found[k], v) and found[k].dtype == v.dtype for k, v in KINDS.items())
    assert hashing.of_tensors(found, texts) == digest
    assert hashing.of_tensors(found, {"of": "another"}) != digest


def test_no_flipped_bit_is_believed(tmp_path):
    path = tmp_path / "file"
    tensors.save(path, KINDS, {"of": "a test"})
    whole, draw = path.read_bytes(), np.random.default_rng(0)
    for _ in range(400):
        changed = bytearray(whole)
        changed[draw.integers(len(whole))] ^= 1 << draw.integers(8)
        path.write_bytes(changed)
        try:
            found, texts = tensors.load(path)
        except DamagedError:
            continue
        assert (texts, hashing.of_tensors(found, texts)) == ({"of": "a test"}, hashing.of_tensors(KINDS, texts))


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0{}"])
def test_what_is_no_such_file_is_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DamagedError):
        tensors.load(tmp_path / "file")


def test_a_seal_tells_every_change():
    values = sealed({"a": 0.1, "b": [1, None, "é"], "c": {"d": (1, 2)}})
    assert unsealed(values) == {"a": 0.1, "b": [1, None, "é"], "c": {"d": (1, 2)}}
    for changed in ({**values, "a": 0.2}, {**values, "e": 1}, {**values, "digest": "0"}, {"a": 1}, [], None):
        with pytest.raises(DamagedError):
            unsealed(changed)
    assert sealed(values) == values
