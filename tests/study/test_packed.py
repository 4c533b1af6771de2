"""Errors of every test example as plain JSON values, and back."""

import base64
import json

import numpy as np
import pytest

from modelstitch.study.packed import average, errors, numbers, pack, right

STITCHED, TOP = np.array([0.0, 100, 0, 0, 100, 0, 0, 0, 100]), np.array([0.0, 0, 0, 100, 100, 0, 0, 0, 0])
ONES = np.ones(9)


def test_points_are_kept_as_bits():
    kept = json.loads(json.dumps(pack(STITCHED, TOP, ONES, "points", "split")))
    assert (kept["n"], kept["unit"], kept["test"]) == (9, "points", "split")
    assert len(base64.b64decode(kept["stitched"])) == 2
    assert errors(kept["stitched"], 9).tolist() == STITCHED.tolist()
    assert errors(kept["top"], 9).tolist() == TOP.tolist()
    assert right(kept["stitched"], 9) == 6
    assert "weights" not in kept
    assert "test" not in pack(STITCHED, TOP, ONES, "points")


def test_nats_are_kept_as_float32_with_their_weights():
    nats, weights = np.array([0.1, 2.5, 1e-9]), np.array([3.0, 1.0, 2.0])
    kept = pack(nats, nats + 1, weights, "nats/token")
    assert numbers(kept["stitched"], 3).tolist() == nats.astype(np.float32).tolist()
    assert numbers(kept["weights"], 3).tolist() == weights.tolist()
    assert average(nats, weights) == pytest.approx((0.3 + 2.5) / 6, abs=1e-8)


@pytest.mark.parametrize(
    ("read", "text", "n", "words"),
    [
        (right, base64.b64encode(b"\xff\xff").decode(), 17, "2 bytes for 17 answers"),
        (right, base64.b64encode(b"\xff\xff").decode(), 8, "2 bytes for 8 answers"),
        (right, "%%%%", 8, "base64"),
        (errors, base64.b64encode(b"\xff").decode(), 9, "1 bytes for 9 answers"),
        (numbers, base64.b64encode(np.zeros(2, "<f4").tobytes()).decode(), 3, "2 numbers instead of 3"),
        (numbers, base64.b64encode(np.array([np.nan], "<f4").tobytes()).decode(), 1, "one that is not finite"),
        (numbers, base64.b64encode(b"abc").decode(), 1, "size"),
    ],
)
def test_what_holds_something_else_is_refused(read, text, n, words):
    with pytest.raises(ValueError, match=words):
        read(text, n)


def test_no_weight_has_no_mean():
    with pytest.raises(ZeroDivisionError):
        average(np.ones(2), np.zeros(2))
