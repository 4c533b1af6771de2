"""One text for equal values; what JSON cannot hold is named."""

import hashlib

import pytest

from modelstitch.errors import StudyError
from modelstitch.study.canonical import canonical_json, cell_hash


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
