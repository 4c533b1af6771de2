"""Calibration: the same numbers as one by one, p-values that hold under the null, and intervals that cover."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelstitch.errors import MeasureError, NonFiniteError
from modelstitch.measures import MEASURES, Measure, calibrate, find
from modelstitch.measures.calibrate import against_chance


def layers(seed: int, n: int = 40, widths: tuple[int, ...] = (5, 3), noise: float = 1.0):
    """Layers: the first, third, ... share something with those of every seed, the others nothing."""
    g, shared = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(99)
    base = torch.randn(n, 4, generator=shared, dtype=torch.float64)
    return [
        at % 2 * base @ torch.randn(4, w, generator=g, dtype=torch.float64)
        + noise * torch.randn(n, w, generator=g, dtype=torch.float64)
        for at, w in enumerate(widths, 1)
    ]


def one_by_one(x, y, measure, permutations, level, seed=0):
    """The definitions, with a loop over everything: values, p, thresholds and scores; of the best pair last."""
    measure, g = find(measure), torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(x[0]), generator=g) for _ in range(permutations)]
    sign = 1 if measure.kind == "similarity" else -1
    tables = [
        [[sign * measure(a, b if order is None else b[order]) for b in y] for a in x] for order in (None, *orders)
    ]
    columns = [[*np.ravel(t), np.max(t)] for t in tables]
    found = []
    for seen, *null in zip(*columns):
        p = (1 + sum(v >= seen for v in null)) / (1 + permutations)
        tau = sorted([seen, *null])[math.ceil((1 - level) * (1 + permutations)) - 1]
        score = min(max((seen - tau) / (sign * measure.self_value - tau), 0), 1)
        found.append((sign * seen, p, sign * tau, score))
    return np.array(found).T


@pytest.mark.slow
@pytest.mark.parametrize("measure", [m for m in MEASURES if m != "pwcca"])
def test_a_grid_is_that_of_single_values(measure):
    x, y = layers(1), layers(2, widths=(3, 6, 4))
    found = calibrate(x, y, measure, permutations=19, level=0.1)
    values, p, thresholds, scores = one_by_one(x, y, measure, 19, 0.1)
    assert found.values.shape == (2, 3)
    for mine, best, wanted in (
        (found.values, found.values[found.best], values),
        (found.p, found.best_p, p),
        (found.thresholds, found.best_threshold, thresholds),
        (found.scores, found.best_score, scores),
    ):
        assert np.append(mine, best) == pytest.approx(wanted, abs=1e-6)
    assert found.permutations == 19
    assert found.low is None
    ordered = np.sort(found.p.ravel())  # Benjamini and Hochberg, step by step
    wanted = [min(6 * ordered[j] / (j + 1) for j in range(i, 6)) for i in range(6)]
    assert np.sort(found.q.ravel()) == pytest.approx(np.minimum(wanted, 1))


@pytest.mark.parametrize("measure", ["cka_rbf", "procrustes_distance"])
def test_shuffles_that_are_there_already_give_the_same(measure):
    x, y = layers(1), layers(2, widths=(3, 6, 4))
    found, g = calibrate(x, y, measure, permutations=19), torch.Generator().manual_seed(0)
    orders, of = [torch.randperm(40, generator=g) for _ in range(19)], MEASURES[measure]
    null = np.array([[of(a, b[order]) for a in x for b in y] for order in orders])
    chance = against_chance(found.values.ravel(), null, of)
    assert chance.p == pytest.approx(found.p.ravel())
    assert chance.q == pytest.approx(found.q.ravel())
    assert chance.score == pytest.approx(found.scores.ravel(), abs=1e-6)
    at = found.best[0] * 3 + found.best[1]
    assert chance.p_grid.min() == chance.p_grid[at] == found.best_p
    assert chance.score_grid[at] == pytest.approx(found.best_score, abs=1e-6)
    assert 0 < chance.score_grid[at] < chance.score[at]  # the best of six by chance lies above each one's chance
    assert (chance.p_grid >= chance.p).all()


def test_arrays_lists_and_own_measures():
    x, y = layers(3)[0], layers(3, widths=(4,))[0]
    one = calibrate(x.numpy(), [y.numpy()], "cka", permutations=9)
    assert one.values == pytest.approx(calibrate(x, y, "cka", permutations=9).values, abs=1e-12)
    own = Measure("mine", MEASURES["rsa"].function, "similarity", "mine", "mine", low=-1.0)
    wanted = calibrate(x, y, "rsa", permutations=9)
    assert calibrate(x, y, own, permutations=9).p == wanted.p


def test_a_dict_names_its_layers():
    x, y = layers(1), layers(2)
    named = calibrate(dict(zip(["stem", "head"], x)), y, permutations=9)
    assert named.layers == (("stem", "head"), ("layer 0 of Y", "layer 1 of Y"))
    assert named.p == pytest.approx(calibrate(x, y, permutations=9).p)
    broken = x[1].clone()
    broken[3, 0] = math.nan
    with pytest.raises(NonFiniteError, match=r"head holds NaN or infinity, first at example 3, feature 0"):
        calibrate({"stem": x[0], "head": broken}, y, permutations=9)


@pytest.mark.parametrize("measure", ["cka_linear_biased", "cka_linear_debiased"])
def test_layers_wider_than_examples_are_many_give_the_same(measure):
    x, y = layers(1, widths=(30, 50)), layers(2, widths=(25, 60))
    found = calibrate(x, y, measure, permutations=5)
    values, p, thresholds, _ = one_by_one(x, y, measure, 5, 0.05)
    assert found.values.ravel() == pytest.approx(values[:-1], abs=1e-9)
    assert found.p.ravel() == pytest.approx(p[:-1])
    assert found.thresholds.ravel() == pytest.approx(thresholds[:-1], abs=1e-6)


def test_of_activations_with_themselves_the_score_is_one():
    x = layers(4)
    found = calibrate(x, x, permutations=39)
    assert np.diag(found.scores) == pytest.approx([1, 1])
    assert found.best_score == pytest.approx(1)
    assert found.best_p == 1 / 40


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("measure", ["cka_linear_biased", "cka_linear_debiased", "procrustes_distance"])
def test_pairings_that_are_equal_but_for_rounding_count(measure, seed):
    """Of examples in a few groups many pairings give one value: p is that of all 720 pairings, counted in whole."""
    g = torch.Generator().manual_seed(seed + 4)
    x = torch.randn(2, 5, generator=g, dtype=torch.float64)[[0, 0, 0, 1, 1, 1]]
    y = torch.randn(3, 4, generator=g, dtype=torch.float64)[[0, 0, 1, 1, 1, 2]]
    sign = 1 if MEASURES[measure].kind == "similarity" else -1
    every = np.array([sign * MEASURES[measure](x, y[list(order)]) for order in itertools.permutations(range(6))])
    exact = (every >= every[0] - 1e-9).mean()
    assert calibrate(x, y, measure, permutations=999).p[0, 0] == pytest.approx(exact, abs=0.05)


def test_the_best_of_a_grid_is_held_against_the_best():
    """Of 49 unrelated pairs some lie beyond their own threshold, while the best is within that of the grid."""
    g = torch.Generator().manual_seed(0)
    x, y = ([torch.randn(30, 3, generator=g) for _ in range(7)] for _ in range(2))
    found = calibrate(x, y, permutations=99)
    assert found.p.min() <= 0.05 < found.best_p
    assert found.best_threshold > found.thresholds.max()
    assert found.best_score == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_p_never_falls_below_what_was_drawn(seed, stop):
    g = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(12, 2, generator=g, dtype=torch.float64) for _ in range(2))
    whole, short = calibrate(x, y, permutations=30, seed=seed), calibrate(x, y, permutations=30, seed=seed, stop=stop)
    for found in (whole, short):
        assert 1 / 31 <= found.p[0, 0] <= 1
        assert found.p[0, 0] == found.best_p  # one pair is the best
    assert short.permutations <= whole.permutations == 30


@pytest.mark.slow
@pytest.mark.parametrize("stop", [None, 2])
def test_unrelated_layers_are_rarely_told_apart(stop):
    """Of draws under the null at most about 1 in 20 has p <= 0.05, the best of a grid of four, too."""
    g, hits, times = torch.Generator().manual_seed(0), np.zeros(2), 300
    for seed in range(times):
        x, y = ([torch.randn(10, 2, generator=g) for _ in range(2)] for _ in range(2))
        found = calibrate(x, y, permutations=39, seed=seed, stop=stop)
        hits += (found.p[0, 0] <= 0.05, found.best_p <= 0.05)
    assert (hits / times < 0.05 + 3 * math.sqrt(0.05 * 0.95 / times)).all()
    assert (hits / times > 0.01).all()


@pytest.mark.slow
def test_intervals_cover():
    """19 of 20 hold the value that very many examples have."""
    g, weights = torch.Generator().manual_seed(0), torch.logspace(0, -1, 6, dtype=torch.float64)

    def draw(n):
        z, e = (torch.randn(n, 6, generator=g, dtype=torch.float64) for _ in range(2))
        return torch.tanh(z) * weights, z * weights + 0.7 * e

    truth = MEASURES["r2_bottom_to_top"](*draw(100_000))
    found = [calibrate(*draw(200), "r2", permutations=1, resamples=40) for _ in range(60)]
    assert sum(bool(f.low[0, 0] <= truth <= f.high[0, 0]) for f in found) >= 51


@pytest.mark.parametrize(
    ("changed", "text"),
    {
        "permutations": ({"permutations": 0}, r"at least 1 permutation.*found permutations=0"),
        "level": ({"level": 1.0}, "a level between 0 and 1"),
        "stop": ({"stop": 0}, "stop of at least 1"),
        "few for halves": ({"resamples": 3, "y": torch.randn(6, 2), "x": torch.randn(6, 3)}, r"at least 8, found 6"),
        "no layer": ({"x": []}, "X has no layers"),
        "rows": ({"y": [torch.randn(40, 2), torch.randn(39, 2)]}, r"as many rows in layer 1 of Y"),
    }.values(),
    ids=["permutations", "level", "stop", "few for halves", "no layer", "rows"],
)
def test_refusals(changed, text):
    asked = {"x": layers(0), "y": layers(1), **changed}
    with pytest.raises(MeasureError, match=text):
        calibrate(asked.pop("x"), asked.pop("y"), **asked)
