"""Which families need what of the sums, and that both ways come from them."""

import numpy as np
import pytest
import torch

import modelstitch as ms
from modelstitch.arrays.given import Vectors, vectors
from modelstitch.arrays.maps import unit
from modelstitch.arrays.solve import (
    BACK,
    THERE,
    Pairs,
    improve,
    looks_twice,
    needs_both,
    of_directions,
    solved,
)
from modelstitch.arrays.sums import PairSums
from modelstitch.errors import ArrayError
from modelstitch.moments.moments import Moments
from modelstitch.stitchers.base import Site
from modelstitch.stitchers.mlp import MLP

# family: products of the new side, rows of length 1, a second look
NEEDS = {
    "affine": (False, False, False),
    "low-rank:2": (False, False, False),
    "orthogonal": (False, False, False),
    "standard-orthogonal": (True, False, False),
    "relative": (True, True, False),
    "relative-whitened": (True, False, True),
    "mlp": (False, False, True),
}


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    old = rng.normal(size=(200, 4))
    return Pairs(Vectors(old), Vectors(old @ rng.normal(size=(4, 5)) + 2), None)


@pytest.mark.parametrize("family", NEEDS)
def test_what_a_family_needs(family):
    assert (needs_both(family), of_directions(family), looks_twice(family)) == NEEDS[family]


@pytest.mark.parametrize("family", ["affine", "relative", "relative-whitened", "mlp:4"])
def test_the_way_back_is_solved_where_it_is_asked_for(family, pairs, monkeypatch):
    for name in ("FEWEST_STEPS", "MOST_STEPS"):
        monkeypatch.setattr(f"modelstitch.arrays.solve.{name}", 5)
    seen = PairSums.empty(4, 5, both=True)
    seen.add(pairs.old, pairs.new, directions=of_directions(family))
    one, two = (solved(seen, family, both=both, rows=pairs) for both in (False, True))
    assert (list(one), list(two)) == ([THERE], [THERE, BACK])
    assert np.array_equal(one[THERE].weight, two[THERE].weight)
    assert two[BACK](two[THERE](pairs.old.values)).shape == (200, 4)


def test_rows_that_never_change_are_refused(pairs):
    seen = PairSums.empty(4, 5, both=True)
    seen.add(Vectors(np.ones((200, 4))), pairs.new)
    with pytest.raises(ArrayError, match="No column of the old embeddings ever changes"):
        solved(seen, "relative-whitened", rows=pairs)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    for name in ("FEWEST_STEPS", "MOST_STEPS"):
        monkeypatch.setattr(f"modelstitch.arrays.solve.{name}", 200)


def started(x, y, seed=0):
    moments = Moments.of(torch.from_numpy(x), torch.from_numpy(y))
    return MLP.solve(moments, Site(x.shape[1], y.shape[1], "vector"), seed=seed, hidden=32)


def loss(mlp, x, y):
    with torch.no_grad():
        return float((mlp(torch.from_numpy(x)) - torch.from_numpy(y)).square().mean())


def data(n, bend):
    x = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    return x, (np.abs(x) if bend else 2 * x + 1).astype(np.float32)


def test_steps_take_the_error_down_and_depend_on_the_seed_alone():
    x, y = data(600, bend=True)
    ends = [improve(started(x, y), vectors(x, "x"), vectors(y, "y"), None, seed=seed) for seed in (0, 0, 1)]
    one, same, other = (loss(mlp, x, y) for mlp in ends)
    assert one < 0.5 * loss(started(x, y), x, y)
    assert one == same != other


def test_the_affine_start_stays_where_nothing_is_better():
    x, y = data(200, bend=False)
    before = started(x, y)
    found = improve(started(x, y), vectors(x, "x"), vectors(y, "y"), None, seed=0)
    assert loss(found, x, y) <= loss(before, x, y) + 1e-9


def test_rows_of_weight_zero_are_not_learned():
    x, y = data(400, bend=True)
    y = y.copy()
    y[::2] = 100
    weights = torch.ones(400)
    weights[::2] = 0
    moments = Moments.of(torch.from_numpy(x), torch.from_numpy(y), weights=weights)
    mlp = MLP.solve(moments, Site(3, 3, "vector"), hidden=32)
    found = improve(mlp, vectors(x, "x"), vectors(y, "y"), weights, seed=0)
    assert loss(found, x[1::2], y[1::2]) < 0.3


RNG = np.random.default_rng(0)
OLD = RNG.normal(size=(300, 6)) + 1
TURN = np.linalg.qr(RNG.normal(size=(6, 6)))[0]


def cosines(x, anchors):
    """Relative representations (n, anchors) of rows x (n, p), with anchors (k, p)."""
    return unit(x) @ unit(anchors).T


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
