"""Intervals over pairs, seeds and examples, and paired tests, against slow and obvious computations."""

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import binomtest

from modelstitch.errors import MeasureError
from modelstitch.records.answers import pack
from modelstitch.records.record import Record
from modelstitch.stats.examples import unpack
from modelstitch.stats.pooling import normalised, paired_test, pool


def record(stitched, top, bottom="a", upper="b", unit="points", weights=None, data="d", test=""):
    stitched, top = np.asarray(stitched, float), np.asarray(top, float)
    weights = np.ones(len(stitched)) if weights is None else np.asarray(weights, float)
    config = {"bottom": {"name": bottom}, "top": {"name": upper}, "data": {"fingerprint": data}}
    return Record(f"{bottom}-{upper}", config, examples=pack(stitched, top, weights, unit, test))


def points(n, stitched, top, seed, **more):
    """Wrong with the given probabilities."""
    generator = np.random.default_rng(seed)
    return record(*(100.0 * (generator.random(n) < p) for p in (stitched, top)), **more)


@pytest.mark.parametrize(("unit", "stitched"), [("points", [0, 100, 100, 0, 100]), ("nats", [0.5, 1.25, 3, 0, 2])])
def test_examples_come_back_as_they_were(unit, stitched):
    found = unpack(record(stitched, [0, 0, 100, 0, 100] if unit == "points" else [0.5, 1, 1, 1, 1], unit=unit))
    top = [0, 0, 100, 0, 100] if unit == "points" else [0.5, 1, 1, 1, 1]
    assert found.deltas.tolist() == (np.array(stitched) - np.array(top)).tolist()
    assert found.unit == unit


def test_the_stitched_errors_alone():
    row = record([0, 100, 100, 0], [0, 100, 0, 100])
    assert unpack(row, alone=True).deltas.tolist() == [0, 100, 100, 0]
    assert (pool([row]).value, pool([row], alone=True).value) == (0, 50)


def slow_interval(groups, resamples, seed):
    """groups[pair][fit] = deltas (n,): draw examples once, then pairs, then fits; everything in loops."""
    generator = np.random.default_rng(seed)
    n = len(groups[0][0])
    means = []
    for _ in range(resamples):
        drawn = generator.integers(0, n, n)
        total = 0.0
        for _ in groups:
            group = groups[generator.integers(0, len(groups))]
            total += np.mean([group[generator.integers(0, len(group))][drawn].mean() for _ in group])
        means.append(total / len(groups))
    return np.quantile(means, [0.025, 0.975])


@pytest.mark.slow
@pytest.mark.parametrize(("pairs", "fits"), [(1, 1), (1, 4), (4, 1), (3, 3)])
def test_the_interval_is_the_hierarchical_bootstrap(pairs, fits):
    records = [
        points(400, 0.1 + 0.06 * i + 0.02 * j, 0.1, seed=10 * i + j, bottom=f"bottom{i}", upper="top")
        for i in range(pairs)
        for j in range(fits)
    ]
    found = pool(records, resamples=4000)
    groups = [[unpack(r).deltas for r in records[i * fits : (i + 1) * fits]] for i in range(pairs)]
    low, high = slow_interval(groups, 4000, 1)
    assert (found.pairs, found.seeds, found.examples) == (pairs, pairs * fits, 400)
    assert found.value == pytest.approx(np.mean([np.mean([d.mean() for d in g]) for g in groups]))
    assert found.low == pytest.approx(low, abs=0.06 * (high - low))
    assert found.high == pytest.approx(high, abs=0.06 * (high - low))


def test_pairs_that_disagree_widen_the_interval():
    same = [points(1000, 0.15, 0.1, seed=i, bottom=f"b{i}") for i in range(4)]
    apart = [points(1000, 0.1 + 0.1 * i, 0.1, seed=i, bottom=f"b{i}") for i in range(4)]
    narrow, wide = pool(same), pool(apart)
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_both_directions_are_one_pair():
    found = pool([points(50, 0.2, 0.1, 0, bottom="a", upper="b"), points(50, 0.2, 0.1, 1, bottom="b", upper="a")])
    assert (found.pairs, found.seeds) == (1, 2)


@pytest.mark.parametrize(
    ("joined", "wider"),
    [
        (list(combinations("abcdefgh", 2)), True),
        ([*zip("abcd", "efgh")], False),
        ([("a", "b"), ("b", "c")], False),
    ],
    ids=["all pairs", "apart", "a chain"],
)
def test_networks_are_drawn_where_pairs_share_them(joined, wider):
    own = dict(zip("abcdefgh", range(8)))
    shared = [points(400, (own[a] + own[b]) / 20, 0, 0, bottom=a, upper=b) for a, b in joined]
    apart = [points(400, (own[a] + own[b]) / 20, 0, 0, bottom=f"{a}{b}", upper=f"{b}{a}") for a, b in joined]
    one, other = pool(shared), pool(apart)
    assert one.value == other.value
    assert (one.high - one.low > 1.5 * (other.high - other.low)) == wider


def test_tokens_weigh_as_they_are_many():
    found = pool([record([1, 5], [0, 0], unit="nats", weights=[3, 1])])
    assert found.value == 2.0
    assert found.unit == "nats"


def test_one_example_has_no_interval():
    found = pool([record([100], [0])])
    assert (found.value, found.low, found.high) == (100, None, None)


def slow_flip_test(deltas):
    """Every assignment of signs."""
    used = deltas[deltas != 0]
    sums = np.array([np.dot(signs, used) for signs in product((-1, 1), repeat=len(used))])
    return float((np.abs(sums) >= abs(used.sum()) - 1e-9).mean())


@pytest.mark.parametrize("seed", range(6))
def test_the_paired_test_is_every_flip_of_signs(seed):
    one, other = points(40, 0.35, 0.2, seed), points(40, 0.15, 0.2, seed + 100)
    deltas = unpack(one).deltas - unpack(other).deltas
    deltas[np.flatnonzero(deltas)[12:]] = 0  # 2^12 signs are enough
    first, second = (
        record(np.where(deltas > 0, 100, 0), np.zeros(40)),
        record(np.where(deltas < 0, 100, 0), np.zeros(40)),
    )
    reduced = np.sign(deltas) * 100
    assert paired_test(first, second).p == pytest.approx(slow_flip_test(reduced), abs=1e-12)
    assert paired_test(first, second).difference.value == pytest.approx(reduced.mean())


def test_with_two_tops_differences_of_two_count_double():
    one, other = record([100, 100, 100, 0, 100], [0, 0, 100, 0, 0]), record([0, 100, 0, 0, 0], [100, 0, 100, 100, 0])
    deltas = unpack(one).deltas - unpack(other).deltas
    assert set(np.abs(deltas)) == {0, 100, 200}
    assert paired_test(one, other).p == pytest.approx(slow_flip_test(deltas), abs=1e-12)


def test_with_one_top_it_is_mcnemars_exact_test():
    one, other = points(3000, 0.14, 0.1, 1), points(3000, 0.12, 0.1, 2)
    top = unpack(one).source
    other = replace(other, examples={**other.examples, "top": one.examples["top"]})
    assert unpack(other).source == top
    deltas = unpack(one).deltas - unpack(other).deltas
    expected = binomtest(int((deltas > 0).sum()), int((deltas != 0).sum())).pvalue
    assert paired_test(one, other).p == pytest.approx(expected, rel=1e-6)


OLD, SPLIT = {"data": "whole"}, {"data": "whole", "test": "split"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (OLD, OLD),
        (SPLIT, SPLIT),
        (SPLIT, {"data": "fewer to fit on", "test": "split"}),
        (OLD, SPLIT),
        (SPLIT, OLD),
    ],
)
def test_cells_on_one_test_split_are_paired_whatever_they_were_fitted_on(one, other):
    first, second = points(300, 0.3, 0.1, 1, **one), points(300, 0.2, 0.1, 2, bottom="c", **other)
    plain = points(300, 0.3, 0.1, 1), points(300, 0.2, 0.1, 2, bottom="c")
    assert paired_test(first, second) == paired_test(*plain)
    assert pool([first, second]) == pool(plain)
    assert normalised([first], [second], [first]) == normalised([plain[0]], [plain[1]], [plain[0]])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (SPLIT, {"data": "whole", "test": "another"}),
        (OLD, {"data": "other"}),
        (OLD, {"data": "other", "test": "split"}),
    ],
)
def test_cells_that_may_be_on_other_examples_are_not(one, other):
    with pytest.raises(MeasureError, match="different test examples"):
        paired_test(points(300, 0.3, 0.1, 1, **one), points(300, 0.2, 0.1, 2, **other))


def test_nats_are_flipped_at_random():
    generator = np.random.default_rng(3)
    one = record(generator.normal(0.4, 1, 12), np.zeros(12), unit="nats")
    other = record(np.zeros(12), np.zeros(12), unit="nats")
    assert paired_test(one, other).p == pytest.approx(slow_flip_test(unpack(one).deltas), abs=0.02)


def test_equal_penalties_do_not_differ():
    one = points(200, 0.2, 0.1, 0)
    found = paired_test(one, one)
    assert (found.p, found.difference.value) == (1.0, 0)
    assert -2 < found.difference.low < 0 < found.difference.high < 2  # three of 200 may differ, and none be seen


def test_several_fits_are_tested_over_pairs_and_seeds():
    def side(extra, seed):
        return [points(500, 0.15 + extra, 0.1, seed + i, bottom=f"b{i // 2}") for i in range(16)]

    clear, none = paired_test(side(0.15, 0), side(0, 50)), paired_test(side(0, 0), side(0, 50))
    assert 2 / 2**8 <= clear.p < 0.01 < 0.05 < none.p
    assert (clear.difference.pairs, clear.difference.seeds) == (8, 16)
    assert clear.difference.low > 0
    assert "hierarchical" in clear.how
    assert "sign flips over 8 pairs" in clear.how


@pytest.mark.parametrize(
    ("pairs", "fits", "least"),
    [
        (2, 1, 2 / 4),
        (2, 5, 2 / 4),
        (5, 1, 2 / 32),
        (6, 1, 2 / 64),
        (1, 3, 2 / 8),
        (1, 2, 2 / 4),
    ],
)
def test_p_is_never_below_what_a_flip_of_so_few_signs_allows(pairs, fits, least):
    """All but one of three hundred examples differ, and all pairs agree: only their number is small."""
    zeros = np.zeros(300)
    one = [record(100.0 * (np.arange(300) != i), zeros, bottom=f"b{i % pairs}") for i in range(pairs * fits)]
    other = [record(zeros, zeros, bottom=f"b{i % pairs}") for i in range(pairs * fits)]
    found = paired_test(one, other)
    assert found.p == pytest.approx(least)
    assert paired_test(other, one).p == found.p


def test_both_directions_of_a_pair_are_one_unit():
    ones, zeros = np.full(50, 100.0), np.zeros(50)
    ends = [("a", "b"), ("b", "a"), ("c", "b")]
    one, other = ([record(errors, zeros, bottom=b, upper=t) for b, t in ends] for errors in (ones, zeros))
    assert paired_test(one, other).p == pytest.approx(0.5)


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [2, 3, 8])
def test_where_pairs_differ_by_chance_alone_few_tests_say_otherwise(pairs):
    """The true difference of each pair is drawn around 0: at most one in twenty tests may find p below 0.05."""
    generator, found = np.random.default_rng(pairs), []
    for trial in range(60):
        shifts = generator.normal(0, 0.1, pairs)
        one = [points(300, 0.4 + d, 0.1, 1000 * trial + i, bottom=f"b{i}") for i, d in enumerate(shifts)]
        other = [points(300, 0.4 - d, 0.1, 1000 * trial + 500 + i, bottom=f"b{i}") for i, d in enumerate(shifts)]
        found.append(paired_test(one, other).p)
    assert np.mean(np.array(found) < 0.05) <= (0.05 if pairs < 6 else 0.05 + 2 * (0.05 * 0.95 / 60) ** 0.5)


def test_many_pairs_are_flipped_at_random():
    one = [points(50, 0.9, 0.1, i, bottom=f"b{i}") for i in range(20)]
    other = [points(50, 0.1, 0.1, 99 + i, bottom=f"b{i}") for i in range(20)]
    assert 0 < paired_test(one, other).p < 0.001


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: paired_test([points(5, 0.5, 0.5, 0)] * 2, points(5, 0.5, 0.5, 0)), "expected 2, found 1"),
        (lambda: paired_test(points(5, 0.5, 0.5, 0), points(6, 0.5, 0.5, 0)), "different test examples"),
        (lambda: paired_test(points(5, 0.5, 0.5, 0), points(5, 0.5, 0.5, 0, data="e")), "different test examples"),
        (lambda: paired_test(3, 4), "needs records or stitched models that were measured, found int"),
        (lambda: pool([]), "at least one record, found none"),
        (lambda: pool([points(5, 0.5, 0.5, 0), record([1.0], [1.0], unit="nats")]), "nats and points cannot be pooled"),
        (
            lambda: pool([{"cell": "x", "config": {"bottom": {"name": "a"}, "top": {"name": "b"}}}]),
            "The record x keeps no examples",
        ),
    ],
)
def test_mistakes_get_one_sentence(call, words):
    with pytest.raises(MeasureError) as error:
        call()
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_the_normalised_penalty_has_an_interval_or_a_reason():
    def three(random):
        return [[points(800, p, 0.1, s) for s in (i, i + 1)] for i, p in ((0, 0.2), (10, 0.1), (20, random))]

    found, reason = normalised(*three(0.5))
    means = [np.mean([unpack(r).deltas.mean() for r in group]) for group in three(0.5)]
    assert reason == ""
    assert found.value == pytest.approx((means[0] - means[1]) / (means[2] - means[1]))
    assert 0 < found.low < found.value < found.high < 1
    assert normalised(*three(0.1)) == (None, "random and self do not differ beyond their intervals")
    assert normalised(three(0.5)[0], [], three(0.5)[2]) == (None, "no self control")


def test_fits_that_answer_alike_are_one_fit():
    one, other = points(80, 0.2, 0.2, 1), points(80, 0.5, 0.2, 2)
    alone = paired_test(one, other)
    again = paired_test([one] * 6, [other] * 6)
    assert (again.p, again.how) == (alone.p, alone.how)
    assert (again.difference.pairs, again.difference.seeds) == (1, 1)
    more = paired_test([one] * 6 + [points(80, 0.2, 0.2, 3)], [other] * 7)
    assert "2 fits of one pair" in more.how
    assert more.p >= 0.5
    with pytest.raises(MeasureError, match="expected at least one, found none"):
        paired_test([], [])
