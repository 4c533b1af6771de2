"""Fit options: checked values, and one sentence for a mistake."""

import pytest
from pydantic import ValidationError

from modelstitch.engine.fit.options import FitSpec
from modelstitch.errors import StitchError
from modelstitch.study.keywords import CompareOptions
from modelstitch.study.question import read


def fit_spec(values):
    """The options as a question reads them."""
    return read(CompareOptions, values, ["one", "two"]).fit


def test_what_is_left_out_has_its_default():
    assert fit_spec({}) == FitSpec()
    changed = fit_spec({"steps": 3, "downstream": ["block1", "output"], "samples": 10})
    assert (changed.steps, changed.downstream, changed.samples) == (3, ("block1", "output"), 10)
    assert changed.batch_size == FitSpec().batch_size


def test_options_stay_as_they_are():
    with pytest.raises(ValidationError, match="frozen"):
        FitSpec().steps = 3


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"step": 3}, "There is no option 'step': did you mean 'steps'?"),
        ({"zzz": 3}, "There is no option 'zzz': known are .*batch_size, steps"),
        ({"steps": 0}, "The option 'steps' is wrong: expected greater than or equal to 1, found 0"),
        ({"steps": 1.5}, "The option 'steps' is wrong: expected a valid integer, found 1.5"),
        ({"steps": True}, "The option 'steps' is wrong: expected a valid integer, found True"),
        ({"learning_rate": float("nan")}, "The option 'learning_rate' is wrong: expected .*, found nan"),
        ({"learning_rate": 0.0}, "'learning_rate' is wrong: expected greater than 0"),
        ({"weight_decay": -1.0}, "'weight_decay' is wrong: expected greater than or equal to 0"),
        ({"whiten": 1}, "'whiten' is wrong: expected a valid boolean, found 1"),
        ({"init": "zeros"}, "'init' is wrong: expected 'closed' or 'random', found 'zeros'"),
        ({"downstream": 3}, "'downstream' is wrong: expected 'all', 'penultimate' or a list of layers, found 3"),
        (
            {"downstream": "block1"},
            "'downstream' is wrong: expected 'all', 'penultimate' or a list of layers, found 'block1'",
        ),
    ],
)
def test_a_mistake_is_one_sentence(values, words):
    with pytest.raises(StitchError, match=words):
        fit_spec(values)
