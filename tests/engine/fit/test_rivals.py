"""Two states on the same samples: clear differences are told, slight ones are not, equal errors ask for no more."""

import pytest
import torch

from modelstitch.engine.fit.rivals import hope, joined, least, means, undecided


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
    ("one", "other", "open_"),
    [
        (range(100), range(100), False),  # no sample tells them apart
        (range(100), range(200), False),  # 100 samples, all to one side
        (range(100), range(102), True),  # two samples
        (range(20), range(15, 35), True),  # as many errors, on other samples
        (range(100), range(60, 160), True),
        (range(300), range(200, 400), False),
    ],
)
def test_more_samples_are_asked_for_where_chance_may_do_it(one, other, open_):
    one, other = seen(list(one)), seen(list(other))
    assert undecided(one, other) is open_
    assert undecided(other, one) is open_


def test_no_difference_on_a_few_samples_says_little():
    assert undecided(seen([], of=100), seen([], of=100))
    assert not undecided(seen([], of=300), seen([], of=300))


def test_samples_count_as_the_task_weighs_them():
    weights = torch.ones(1000, dtype=torch.float64)
    light, heavy = weights.clone(), weights.clone()
    light[:40], heavy[:40] = 0.05, 20.0
    assert undecided(seen([], weights=light), seen(list(range(8)), weights=light))
    assert not undecided(seen([], weights=heavy), seen(list(range(40)), weights=heavy))


def test_equal_states_are_seldom_told_apart():
    generator = torch.Generator().manual_seed(0)
    told = 0
    for _ in range(400):
        one, other = (seen(torch.rand(1000, generator=generator) < 0.1) for _ in range(2))
        told += not undecided(one, other)
    assert told <= 12  # one in a hundred, 4 of 400


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
    assert (hope(best, before, last, share) > 1.0) is worth


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
