"""The one bootstrap over samples."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control

import modelstitch as ms
from modelstitch.stats import bootstrap
from modelstitch.stats.bootstrap import controlled


def test_bootstrap_agrees_with_plain_resampling():
    generator = np.random.default_rng(0)
    deltas = generator.choice([-100.0, 0.0, 100.0], p=[0.1, 0.7, 0.2], size=300)
    low, high = bootstrap.interval(bootstrap.means([deltas], np.ones(300))[:, 0])
    draws = deltas[generator.integers(0, 300, (4000, 300))].mean(1)
    slow_low, slow_high = np.quantile(draws, [0.025, 0.975])
    assert low == pytest.approx(slow_low, abs=0.7)
    assert high == pytest.approx(slow_high, abs=0.7)


def test_columns_are_drawn_together_and_weighted():
    generator = np.random.default_rng(1)
    one, weights = generator.normal(size=50), generator.integers(1, 9, 50).astype(float)
    both = bootstrap.means([one, one + 2], weights)
    assert both.shape == (bootstrap.RESAMPLES, 2)
    assert both[:, 1] - both[:, 0] == pytest.approx(np.full(len(both), 2.0))
    assert both[:, 0].mean() == pytest.approx(np.average(one, weights=weights), abs=0.05)
    assert not np.array_equal(both, bootstrap.means([one, one + 2], weights, source=1))


def test_an_end_that_is_drawn_counts_as_a_sample():
    wrong = np.full(8, 100.0)
    drawn = bootstrap.means([wrong], np.ones(8), ends=(0.0, 100.0))[:, 0]
    assert drawn.max() == 100.0
    assert drawn.min() < 90.0  # the other end is drawn, too
    assert bootstrap.means([wrong], np.ones(8))[:, 0].min() == 100.0


def test_the_frame_and_the_pooled_table_give_one_fit_one_interval():
    data = ms.load_data("digits", limit=300)
    networks = [ms.load("zoo:small-resnet?width=4&blocks=2", seed=s, name=f"net{s}") for s in (0, 1)]
    r = ms.compare(*networks, data, layers=["block1", "block2"], objective="match", controls=(), both=False)
    own = r.frame.filter(metric="penalty").sort("top_layer").select("value", "low", "high").rows()
    assert own == r.pooled.filter(control="pair").sort("top_layer").select("value", "low", "high").rows()


@pytest.mark.parametrize("true", [0.1, 0.3, 1.0])
def test_intervals_of_rare_errors_hold_the_truth(true):
    """Of 600 examples, true percent are lost by the stitch alone."""
    generator, held = np.random.default_rng(3), 0
    for seed in range(60):
        deltas = 100.0 * (generator.random(600) < true / 100)
        low, high = bootstrap.interval(bootstrap.means([deltas], np.ones(600), ends=(-100, 100), seed=seed)[:, 0])
        assert low <= deltas.mean() <= high
        held += low <= true <= high
    assert held >= 54


@pytest.mark.parametrize("deltas", [[0.0] * 20, [100.0] * 20, [-100.0] * 3, [100.0, -100.0]])
def test_an_interval_of_right_and_wrong_is_no_point_and_holds_its_value(deltas):
    low, high = bootstrap.interval(bootstrap.means([np.array(deltas)], np.ones(len(deltas)), ends=(-100, 100))[:, 0])
    assert low < high
    assert low <= np.mean(deltas) <= high


def test_what_is_right_or_wrong_has_ends():
    assert bootstrap.ends_of("points") == bootstrap.ends_of("points of recall@5") == (-100.0, 100.0)
    assert bootstrap.ends_of("points", alone=True) == (0.0, 100.0)
    for unit in ("MSE", "nats/token", "points of labels", "points of pixels"):
        assert bootstrap.ends_of(unit) is None


def test_draws_are_of_all_samples_and_come_again():
    found = np.concatenate(list(bootstrap.draws(3000, resamples=1500)))  # in several pieces
    assert found.shape == (1500, 3000)
    assert (found.sum(1) == 3000).all()
    assert found.var() == pytest.approx(1, abs=0.01)
    again = next(bootstrap.draws(3000, resamples=1500))
    assert (again == found[: len(again)]).all()
    assert (next(bootstrap.draws(3000, seed=1)) != again).any()


def test_what_is_not_defined_is_left_out_of_an_interval():
    assert bootstrap.interval(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.02, 0.03, 0.04], [0.04] * 4),
        ([0.001, 0.5, 0.04, 0.9], [0.004, 2 / 3, 0.08, 0.9]),
        ([[0.02, 1.0], [0.5, 0.01]], [[0.04, 1.0], [2 / 3, 0.04]]),
    ],
)
def test_step_by_step(p, q):
    found = controlled(p)
    assert found.shape == np.shape(p)
    assert found == pytest.approx(np.array(q))


def test_they_are_those_of_scipy():
    p = np.random.default_rng(0).random((5, 7)) ** 2
    p[2] = p[3]  # ties
    assert controlled(p).ravel() == pytest.approx(false_discovery_control(p.ravel()))
