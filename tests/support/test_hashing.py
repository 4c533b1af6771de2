"""One hasher for all that is kept: equal for equal values, another one for any change, and seals."""

import hashlib
from pathlib import Path

import pytest
import torch

from modelstitch.errors import StudyError
from modelstitch.support import hashing
from modelstitch.support.hashing import canonical_json, cell_hash


def test_bytes_and_files_have_the_plain_sha256(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    assert hashing.of(b"abc") == hashing.of_file(path) == hashlib.sha256(b"abc").hexdigest()


def test_parts_are_counted_one_after_the_other(tmp_path):
    x = torch.tensor([1, 2], dtype=torch.uint8)
    assert hashing.of("a", b"bc", x) == hashlib.sha256(b"abc\1\2").hexdigest()
    assert hashing.of("abc", digits=16) == hashlib.sha256(b"abc").hexdigest()[:16]
    assert hashing.number("abc") == int.from_bytes(hashlib.sha256(b"abc").digest()[:7], "big")
    for name in "xy":
        (tmp_path / name).write_text(name)
    assert hashing.of_file(tmp_path / "x", tmp_path / "y") == hashing.of("xy")


def test_nothing_else_hashes():
    root = Path(hashing.__file__).parents[1]
    assert [p.name for p in root.rglob("*.py") if "import hashlib" in p.read_text(encoding="utf-8")] == ["hashing.py"]


def test_json_counts_values_and_not_their_order():
    assert hashing.of_json({"a": 1, "b": [1, 2]}) == hashing.of_json({"b": [1, 2], "a": 1})
    assert hashing.of_json({"a": 1}) != hashing.of_json({"a": 1.5})
    assert hashing.of_json([1, 2]) != hashing.of_json([2, 1])


X = torch.arange(6.0)
CHANGES = {
    "a value": {"x": X + 1},
    "a shape": {"x": X.view(2, 3)},
    "a type": {"x": X.double()},
    "a name": {"y": X},
    "one more": {"x": X, "y": X},
    "nothing": {},
}


@pytest.mark.parametrize("case", CHANGES)
def test_every_change_of_tensors_counts(case):
    assert hashing.of_tensors(CHANGES[case]) != hashing.of_tensors({"x": X})


def test_what_tensors_hold_counts_and_not_how_they_lie():
    strided = torch.stack([X, X], 1)[:, 0]
    assert not strided.is_contiguous()
    assert hashing.of_tensors({"x": strided}) == hashing.of_tensors({"x": X})
    assert hashing.of_tensors({"b": X, "a": X}) == hashing.of_tensors({"a": X, "b": X})
    assert hashing.of_tensors({"x": X}, {"format": "1"}) != hashing.of_tensors({"x": X})
    assert hashing.of_tensors({"x": torch.zeros(0, 3)}) != hashing.of_tensors({"x": torch.zeros(0, 4)})


def test_a_seal_is_taken_off_again():
    values = {"a": 1, "b": {"c": [1.5, None]}}
    assert hashing.unsealed(hashing.sealed(values)) == values
    assert hashing.sealed(hashing.sealed(values)) == hashing.sealed(values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: {**v, "a": 2}, "its content has the digest"),
        (lambda v: {k: x for k, x in v.items() if k != "b"}, "its content has the digest"),
        (lambda v: {k: x for k, x in v.items() if k != "digest"}, "it has no digest"),
        (lambda v: [v], "it has no digest"),
    ],
)
def test_a_change_under_a_seal_is_noticed(change, words):
    with pytest.raises(hashing.DamagedError, match=words):
        hashing.unsealed(change(hashing.sealed({"a": 1, "b": 2})))


def test_equal_values_have_one_text():
    assert canonical_json({"b": [1, None], "a": {"d": True, "c": "ü"}}) == '{"a":{"c":"ü","d":true},"b":[1,null]}'
    assert canonical_json({"a": (1, 2)}) == canonical_json({"a": [1, 2]})
    assert canonical_json({"b": 1, "a": 2}, indent=1) == '{\n "a": 2,\n "b": 1\n}'


def test_a_cell_is_named_by_its_configuration():
    config = {"family": "affine", "seed": 0}
    assert cell_hash(config) == hashlib.sha256(b'{"family":"affine","seed":0}').hexdigest()[:16]
    assert cell_hash(dict(reversed(config.items()))) == cell_hash(config)
    assert cell_hash({**config, "seed": 1}) != cell_hash(config)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            {"metrics": [{"metric": "loss", "value": 1.0}, {"metric": "penalty", "value": float("nan")}]},
            "The record, metrics, metric 'penalty', value is nan: expected a finite number or null",
        ),
        ({"a": {"b": float("inf")}}, "The record, a, b is inf"),
        ({"a": {1, 2}}, "The record cannot be written as JSON: expected plain values, found Object of type set"),
        ({"a": "\ud800"}, "cannot be written as JSON"),
    ],
)
def test_what_json_cannot_hold_is_named(value, words):
    with pytest.raises(StudyError, match=words):
        canonical_json(value)


def test_the_whole_is_called_as_asked():
    with pytest.raises(StudyError, match="The config, rate is nan"):
        cell_hash({"rate": float("nan")})
