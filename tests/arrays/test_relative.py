"""Relative maps against the formulas, anchor by anchor."""

import numpy as np
import pytest

import modelstitch as ms
from modelstitch.arrays.maps import unit
from modelstitch.arrays.relative import cosines

RNG = np.random.default_rng(0)
OLD = RNG.normal(size=(300, 6)) + 1
TURN = np.linalg.qr(RNG.normal(size=(6, 6)))[0]


def test_cosines_are_those_of_single_pairs():
    found = cosines(OLD[:5], OLD[10:13])
    for i in range(5):
        for j in range(3):
            a, b = OLD[i], OLD[10 + j]
            assert found[i, j] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("k", [4, 6, 50])
@pytest.mark.parametrize("q", [6, 9])
def test_a_relative_map_reads_cosines_to_old_anchors_among_the_new(k, q):
    new = OLD @ RNG.normal(size=(6, q)) + 0.1 * RNG.normal(size=(300, q))
    w = ms.align(OLD[:k], new[:k], "relative", both=True)
    length = np.linalg.norm(new[:k], axis=1).mean()
    wanted = length * cosines(OLD, OLD[:k]) @ np.linalg.pinv(unit(new[:k]), rcond=1e-3).T
    np.testing.assert_allclose(w.transform(OLD), wanted, rtol=1e-4, atol=1e-4 * length)
    back = np.linalg.norm(OLD[:k], axis=1).mean()
    wanted = back * cosines(new, new[:k]) @ np.linalg.pinv(unit(OLD[:k]), rcond=1e-3).T
    np.testing.assert_allclose(w.inverse_transform(new), wanted, rtol=1e-4, atol=1e-4 * back)


def test_a_turned_and_scaled_copy_is_found_from_as_many_anchors_as_columns():
    new = 3 * OLD @ TURN
    w = ms.align(OLD[:6], new[:6], "relative")
    np.testing.assert_allclose(unit(w.transform(OLD)), unit(new), atol=1e-6)


def test_whitening_undoes_any_invertible_map():
    new = OLD @ RNG.normal(size=(6, 6)) + 5
    w = ms.align(OLD, new, "relative-whitened", both=True)
    centred, found = new - new.mean(0), w.transform(OLD) - new.mean(0)
    cosine = (unit(centred) * unit(found)).sum(1)
    assert cosine.min() > 0.999
    assert (unit(OLD - OLD.mean(0)) * unit(w.inverse_transform(new) - OLD.mean(0))).sum(1).min() > 0.999


def test_anchors_may_come_at_any_time_unless_they_are_looked_at_twice(tmp_path):
    new = OLD @ TURN
    parts = ms.arrays.Aligner("relative", both=True).partial_fit(OLD[:20], new[:20]).partial_fit(OLD[20:50], new[20:50])
    whole = ms.align(OLD[:50], new[:50], "relative", both=True)
    np.testing.assert_allclose(parts.transform(OLD), whole.transform(OLD), rtol=1e-8)
    with pytest.raises(ms.StitchError, match="'relative-whitened' looks at samples twice"):
        ms.arrays.Aligner("relative-whitened").partial_fit(OLD, new)
    for family in ("relative", "relative-whitened"):
        w = ms.align(OLD, new, family, both=True)
        w.save(tmp_path / "map.safetensors")
        again = ms.arrays.Aligner.load(tmp_path / "map.safetensors")
        assert np.array_equal(again.transform(OLD), w.transform(OLD))
        assert np.array_equal(again.inverse_transform(new[:1]), w.inverse_transform(new[:1]))


def test_weights_count_anchors_more():
    new = OLD @ TURN + 0.3 * RNG.normal(size=OLD.shape)
    weights = np.r_[np.zeros(100), np.ones(100), np.full(100, 2.0)]
    often = np.r_[np.arange(100, 300), np.arange(200, 300)]
    for family in ("relative", "relative-whitened"):
        one = ms.align(OLD, new, family, weights=weights)
        two = ms.align(OLD[often], new[often], family)
        np.testing.assert_allclose(one.transform(OLD), two.transform(OLD), rtol=1e-6)
