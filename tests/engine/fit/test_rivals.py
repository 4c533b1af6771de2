"""Two states on the same samples: clear differences are told, slight ones are not, equal errors ask for no more."""

import pytest
import torch

from modelstitch.engine.fit.rivals import hope, joined, leads, least, means, undecided


def seen(wrong, of=1000, loss=1.0, weights=None):
    """A state that errs on the given samples."""
    errors = torch.zeros(of, dtype=torch.float64)
    errors[wrong] = 100.0
    return {
        "errors": errors,
        "losses": torch.full((of,), loss, dtype=torch.float64),
        "weights": torch.ones(of, dtype=torch.float64) if weights is None else weights,
    }


@pytest.mark.parametrize(
    ("best", "last", "open_", "leading"),
    [
        (range(100), range(100), False, False),  # no sample tells them apart
        (range(100), range(200), False, True),  # 100 samples, all to one side
        (range(100), range(102), False, False),  # two samples
        (range(20), range(15, 35), False, False),  # as many errors, on other samples
        (range(100), range(60, 180), True, True),  # 60 against 40
        (range(100), range(60, 165), False, False),  # 65 against 60: the best of several is so by luck
        (range(200), range(100), False, False),  # the last one is better by far
        (range(300), range(150, 480), True, True),
    ],
)
def test_an_earlier_state_is_kept_where_it_leads_by_more_than_luck(best, last, open_, leading):
    best, last = seen(list(best)), seen(list(last))
    assert undecided(best, last, still=True) is open_
    assert leads(best, last, still=True) is leading


def test_where_the_rate_is_high_the_better_of_two_is_kept():
    assert leads(seen(range(100)), seen(range(101)), still=False)
    assert not leads(seen(range(101)), seen(range(100)), still=False)
    assert not leads(seen(range(100), loss=1.0), seen(range(100), loss=0.9), still=False)
    for last in (range(102), range(98)):  # two samples either way tell nothing
        assert undecided(seen(range(100)), seen(last), still=False)
    assert not undecided(seen(range(100)), seen(range(200)), still=False)


def test_no_difference_on_a_few_samples_says_little():
    assert undecided(seen([], of=100), seen([], of=100), still=True)
    assert not undecided(seen([], of=300), seen([], of=300), still=True)


def test_samples_count_as_the_task_weighs_them():
    weights = torch.ones(1000, dtype=torch.float64)
    light, heavy = weights.clone(), weights.clone()
    light[:40], heavy[:40] = 0.05, 20.0
    for marks, leading in ((weights, True), (heavy, True), (light, False)):  # 20 of those samples against 8 others
        best, last = (seen(some, weights=marks) for some in (list(range(500, 508)), list(range(20))))
        assert leads(best, last, still=True) is leading
    assert not undecided(seen([], weights=heavy), seen(list(range(40)), weights=heavy), still=True)


@pytest.mark.parametrize(("apart", "most"), [(0.0, 0.08), (4.0, 1.0)])
def test_an_earlier_state_of_the_same_worth_is_seldom_kept(apart, most):
    """Two states that err on a tenth of the samples: how often the earlier one is kept, and what that costs."""
    generator = torch.Generator().manual_seed(0)
    kept = 0
    for _ in range(400):
        draws = torch.rand(2, 1000, generator=generator)
        best, last = seen(draws[0] < 0.1), seen(draws[1] < 0.1 + apart / 100)
        kept += leads(best, last, still=True)
    assert kept / 400 <= most
    assert apart == 0.0 or kept / 400 > 0.8


def test_means_are_over_all_samples():
    found = joined(seen([0, 1], of=10, loss=1.0), seen([0], of=30, loss=3.0))
    assert means(found) == (7.5, 2.5)


@pytest.mark.parametrize(
    ("best", "before", "last", "share", "worth"),
    [
        (200, 400, 200, 1.0, True),  # it gained 20 points, and as much rate is left
        (200, 210, 200, 0.5, True),  # one point, of which half may come
        (200, 210, 200, 0.16, False),
        (2000, 2100, 2000, 0.16, False),
        (2000, 2000, 2000, 1.0, False),  # no answer changed
        (1000, 2100, 2000, 0.16, False),  # it will not come near the best state
        (2000, 2500, 2000, 0.0, False),
    ],
)
def test_steps_are_taken_where_they_may_gain_what_ten_thousand_samples_tell(best, before, last, share, worth):
    of = 1000 if best < 1000 else 10_000
    best, before, last = (seen(list(range(n)), of=of) for n in (best, before, last))
    assert (hope(best, before, last, share, 9) > 1.0) is worth


def test_one_lucky_look_ends_no_fit():
    """A fit that gains two points between looks: that one of nine hides it by chance ends it in one of twenty."""
    generator, ended = torch.Generator().manual_seed(0), 0
    for _ in range(400):
        hard = torch.rand(1024, generator=generator)
        states = [
            seen(hard + 0.03 * torch.randn(1024, generator=generator) < 0.24 - 0.02 * i, of=1024) for i in range(9)
        ]
        best = [min(states[: i + 1], key=lambda s: means(s)) for i in range(9)]
        ended += any(hope(best[i], states[i - 2], states[i], 0.5, 9) <= 1.0 for i in range(2, 9))
    assert ended <= 20


def test_a_look_that_would_end_a_fit_by_itself_does_not_among_nine():
    before, last = seen(range(220), of=1024), seen([*range(190), *range(220, 228)], of=1024)
    lucky = seen([*range(190), *range(220, 252)], of=1024)  # two points worse than it is
    assert hope(last, before, last, 0.33, 9) > 1.0
    assert hope(lucky, before, lucky, 0.33, 1) < hope(lucky, before, lucky, 0.33, 9)


def test_the_least_penalty_holds_at_all_looks_together():
    """A fit that stands still 10 points above the top: nine looks pass it in 2.5 % of cases at most."""
    generator, passed = torch.Generator().manual_seed(0), 0
    for _ in range(300):
        draws = torch.rand(1000, generator=generator)
        own, stitched = seen(draws < 0.1), seen(draws < 0.2)
        worse, most = least(own, stitched, stitched, 1.0, 9)
        passed += worse > 10.0
        assert most == 0.0
    assert passed <= 8


def test_what_may_still_be_gained_comes_off_the_least_penalty():
    own, before, last = seen([]), seen(list(range(600))), seen(list(range(500)))
    still, _ = least(own, last, last, 1.0, 9)
    moving, most = least(own, before, last, 1.0, 9)
    assert most > 10.0  # it gained ten points, and as much rate is left
    assert moving == pytest.approx(still - most)
    assert least(own, before, last, 0.5, 9)[1] == pytest.approx(most / 2)
    assert least(own, before, last, 1.0, 1)[1] < most  # one look asks for less
