"""Every measure passes the contract, and the contract fails measures that break a clause."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from modelstitch.errors import MeasureError
from modelstitch.measures import MEASURES, Measure, check, linear_cka, r2_bottom_to_top
from modelstitch.measures.measure import LINEAR


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_passes(name, seed):
    check(MEASURES[name], seed=seed)


def own(function, **changes):
    given = {"kind": "similarity", "formula": "mine", "source": "mine", **changes}
    return Measure("mine", function, **given)


def test_a_users_own_measure_passes():
    check(own(lambda x, y: linear_cka(x, y) ** 0.5))


def changes_its_input(x, y):
    value = linear_cka(x, y)
    if isinstance(x, torch.Tensor):
        x *= 2
    return value


def uses_the_random_state(x, y):
    torch.rand(1)
    return linear_cka(x, y)


def accepts_nan(x, y):
    return linear_cka(torch.nan_to_num(torch.as_tensor(x)), torch.nan_to_num(torch.as_tensor(y)))


def crashes_when_few(x, y):
    return linear_cka(x, y) / (len(x) > 10)


def nan_at_offsets(x, y):
    return float("nan") if torch.as_tensor(x).mean() > 100 else linear_cka(x, y)


def fails_without_words(x, y):
    try:
        return linear_cka(x, y)
    except MeasureError:
        raise MeasureError("") from None


BROKEN = [
    (own(r2_bottom_to_top), "breaks symmetry"),
    (own(linear_cka, invariant_x=LINEAR), "breaks invariance of x to invertible linear"),
    (own(linear_cka, invariant_y=LINEAR), "breaks invariance of y to invertible linear"),
    (own(linear_cka, self_value=0.5), "the value of activations with themselves: expected 0.5, found 1"),
    (own(linear_cka, high=0.5), "expected a value from 0 to 0.5"),
    (own(lambda x, y: torch.tensor(linear_cka(x, y))), "must return a float, found Tensor"),
    (own(linear_cka, from_moments=lambda moments: 0.123), "breaks the value from moments"),
    (own(lambda x, y: linear_cka(x, y) * (1 - 1e-3 * torch.rand(1).item())), "breaks determinism"),
    (own(changes_its_input), "must leave its arguments as they are"),
    (own(uses_the_random_state), "must leave torch's random state"),
    (own(accepts_nan), "must refuse nan in x with NonFiniteError, found the value"),
    (own(crashes_when_few, high=9e9), "or raise MeasureError at fewer examples than features, found Zero"),
    (own(nan_at_offsets, invariant_x=(), invariant_y=()), "at an offset of 1,000, found nan"),
    (own(linear_cka, min_examples=5), "must refuse 4 examples with MeasureError, found the value"),
    (own(fails_without_words), "must say why it refuses"),
    (own(linear_cka, kind="likeness"), "must be of the kind similarity or distance, found 'likeness'"),
    (own(linear_cka, invariant_x=("rotation",)), r"by their names \(orthogonal, .*\), found 'rotation'"),
    ("ckaa", "There is no measure 'ckaa'"),
]


@pytest.mark.parametrize(("measure", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_a_broken_clause_is_named(measure, message):
    with pytest.raises(MeasureError, match=message):
        check(measure)


@pytest.mark.parametrize("name", MEASURES)
def test_descriptions_are_complete(name):
    measure = MEASURES[name]
    assert measure.name == name
    fields = [field.name for field in dataclasses.fields(measure) if field.name != "from_moments"]
    assert all(getattr(measure, field) is not None for field in fields)
    assert measure.formula
    assert measure.source
    assert measure.self_value == (1 if measure.kind == "similarity" else 0)
