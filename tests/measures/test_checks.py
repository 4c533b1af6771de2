"""A user's mistake gets one sentence: what, expected, found, what to try."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.spatial
import torch
from problems import problem

from modelstitch.errors import MeasureError, NonFiniteError
from modelstitch.measures import MEASURES, cka, evaluate, minibatch_cka, mutual_knn, rbf_cka, svcca
from modelstitch.measures import checks as room
from modelstitch.measures.checks import bounded, distances, pair, tolerance

X, Y = (torch.from_numpy(side) for side in problem("ordinary", 0))


def at(row, column, value):
    broken = X.clone()
    broken[row, column] = value
    return broken


MISTAKES = [
    (X[0], Y, MeasureError, r"X must be a matrix \(examples, features\) .* found shape \(6,\): flatten"),
    (X, Y[None], MeasureError, r"Y must be a matrix .* found shape \(1, 30, 5\)"),
    (X[:, :0], Y, MeasureError, r"with at least one feature, found shape \(30, 0\)"),
    (X, Y[:-2], MeasureError, "expected as many rows in Y as in X, found 30 and 28; pass activations of the"),
    (X[:2], Y[:2], MeasureError, "me needs at least 3 examples, found 2: pass activations of more examples"),
    (at(4, 1, float("nan")), Y, NonFiniteError, "X holds NaN or infinity, first at example 4, feature 1"),
    (Y, at(7, 0, -float("inf")), NonFiniteError, "Y holds NaN or infinity, first at example 7, feature 0"),
    (torch.full((30, 3), 0.1), Y, MeasureError, "at least one feature of X that differs between examples"),
    (X, torch.zeros(30, 2), MeasureError, "at least one feature of Y that differs"),
    (X, Y.to(torch.complex128), MeasureError, "Y must be a matrix of real numbers .*, found complex"),
    (np.array([["a"]] * 30), Y, MeasureError, "X must be a matrix of real numbers"),
    (X.numpy() * 1j, Y, MeasureError, "X must be a matrix of real numbers"),
    ((X * 1e4).half() * 1e2, Y, NonFiniteError, "use float32 where float16 overflows"),
]


@pytest.mark.parametrize(("x", "y", "kind", "message"), MISTAKES)
def test_mistakes(x, y, kind, message):
    with pytest.raises(kind, match=message):
        pair(x, y, measure="me", needed=3)


def test_layers_are_named_by_the_user():
    with pytest.raises(NonFiniteError, match=r"vit@blocks\.4 holds NaN or infinity, first at example 2"):
        evaluate(X, at(2, 0, float("nan")), ["cka"], names=("resnet18@layer2", "vit@blocks.4"))


@pytest.mark.parametrize("name", MEASURES)
def test_the_stated_number_of_examples_is_the_least(name):
    measure = MEASURES[name]
    needed = measure.min_examples
    with pytest.raises(MeasureError, match=rf"{name}.* needs at least {needed} examples, found {needed - 1}"):
        measure.function(X[: needed - 1, :1], Y[: needed - 1, :1])
    assert measure.low <= measure.function(X[:needed, :1], Y[:needed, :1]) <= measure.high


SETTINGS = [
    (lambda: minibatch_cka(X, Y, batch=3), "at least 4 examples in a minibatch, found batch=3"),
    (lambda: mutual_knn(X, Y, k=0), "at least one neighbour, found k=0"),
    (lambda: mutual_knn(X, Y, k=29), "mutual_knn with k=29 needs at least 31 examples, found 30"),
    (lambda: rbf_cka(X, Y, fraction=0), "a positive fraction of the median distance, found fraction=0"),
    (lambda: rbf_cka(X, Y, fraction=1e8), "constant kernel of X at fraction=1e.08: choose a smaller one"),
    (lambda: rbf_cka(X[[0] * 28 + [1, 2]], Y), "positive median distance between examples, found 0 in X"),
    (lambda: svcca(X, Y, share=1.1), "share of the variance above 0 and up to 1, found share=1.1"),
    (lambda: evaluate(X, Y, ["ckaa"]), "no measure 'ckaa': expected one of cka_linear_biased, .* your own"),
    (lambda: evaluate(X, Y, []), "No measure was chosen"),
    (
        lambda: MEASURES["cca_mean"](X[:6], Y[:6]),
        "found 5 directions in 6 examples; use more than 7 examples, or a measure without a fitted map",
    ),
    (lambda: MEASURES["pwcca"](X, torch.cat([X[:, :3], Y[:, :2]], 1)), "found 2 equal neighbours"),
    (lambda: MEASURES["cka_linear_debiased"](torch.eye(9), X[:9]), "unbiased HSIC of X with itself is 0"),
    (lambda: MEASURES["rsa"](X[:9], torch.eye(9)), "all examples of Y the same distance apart"),
]


@pytest.mark.parametrize(("call", "message"), SETTINGS)
def test_settings_and_degenerate_activations(call, message):
    with pytest.raises(MeasureError, match=message):
        call()


def test_what_leaves_is_never_nan_and_never_out_of_range():
    assert bounded(1 + 1e-12, 0, 1, "me") == 1.0
    with pytest.raises(NonFiniteError, match="me came out as nan"):
        bounded(float("nan"), 0, 1, "me")
    with pytest.raises(MeasureError, match=r"me came out as 1\.1: expected a value from 0 to 1"):
        bounded(1.1, 0, 1, "me")


def test_distances_that_do_not_fit_are_refused_with_their_size(monkeypatch):
    monkeypatch.setattr("modelstitch.support.memory.available_bytes", lambda: 10_000)
    message = "that cka_rbf takes between 30 examples need 43.2 kB of memory, found 10.0 kB available: use fewer"
    with pytest.raises(MeasureError, match=message):
        cka.rbf_cka(X, Y)


def test_any_real_dtype_and_gradients_are_taken():
    expected = MEASURES["cka_linear_biased"](X.float(), Y)
    assert MEASURES["cka_linear_biased"](X.float().requires_grad_(), Y) == expected
    assert MEASURES["cka_linear_biased"](X.float().numpy()[::-1], Y.flip(0)) == pytest.approx(expected)
    assert MEASURES["cka_linear_biased"]((X * 10).to(torch.int8), Y) == pytest.approx(expected, abs=0.05)
    assert MEASURES["cka_linear_biased"](X.bfloat16(), Y) == pytest.approx(expected, abs=0.05)


def test_what_enters_a_product_is_centred_of_unit_norm_and_exactly_0_where_constant():
    x = torch.cat([X + 1e3, torch.full((30, 1), 1e12 / 3)], 1)
    a, b = pair(x, Y.float(), measure="me", needed=3)
    assert a.dtype == b.dtype == torch.float64
    assert torch.equal(a[:, -1], torch.zeros(30, dtype=torch.float64))
    for side in (a, b):
        assert torch.linalg.norm(side) == pytest.approx(1, abs=1e-12)
        assert side.mean(0).abs().max() < 1e-15


def test_distances_are_scipys():
    x = np.random.default_rng(0).normal(size=(30, 5)) + 1e6
    found = distances(torch.from_numpy(x), "rsa")
    wanted = scipy.spatial.distance.squareform(scipy.spatial.distance.pdist(x))
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-9)


def test_equal_examples_lie_at_distance_nothing_far_from_the_origin():
    x = torch.full((3, 4), 1e8, dtype=torch.float64) + torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    found = distances(x, "knn")
    assert float(found[0, 1]) == 0
    assert float(found[0, 2]) == pytest.approx(2.0)


def test_an_orthogonal_map_breaks_no_tie():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6))
    turned = x @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 3
    one, other = (distances(torch.from_numpy(side), "knn") for side in (x, turned))
    assert bool(((one - other).abs() <= tolerance(one, one.max())).all())
    assert bool((tolerance(one, one.max()) < 1e-6 * one.max()).all())


def test_more_than_fits_is_refused(monkeypatch):
    def refused(n, what, hint):
        raise MeasureError(f"{what} need {n}: {hint}")

    monkeypatch.setattr(room, "require", refused)
    with pytest.raises(
        MeasureError, match="The distances that rsa takes between 2,000 examples need 192000000: use fewer examples"
    ):
        distances(torch.zeros(2000, 1), "rsa")
