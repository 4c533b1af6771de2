"""The first mistake of checked values, in one sentence: in a file by its place, in a call by its keyword."""

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelstitch.support.mistakes import sentence, unknown


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    steps: int = Field(default=1, ge=1)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    families: list[str] = []
    name: str
    fit: Inner = Inner()


def known(place):
    return list((Inner if len(place) > 1 else Outer).model_fields)


@pytest.mark.parametrize(
    ("values", "in_a_file", "in_a_call"),
    [
        (
            {"name": "a", "fit": {"steps": 0}},
            "s.toml: fit.steps: expected greater than or equal to 1, found 0.",
            "The option 'steps' is wrong: expected greater than or equal to 1, found 0.",
        ),
        (
            {"name": "a", "families": [3]},
            "s.toml: families.0: expected a valid string, found 3.",
            "The option 'family' is wrong: expected a valid string, found 3.",
        ),
        (
            {"name": "a", "fit": {"stesp": 3}},
            "s.toml: fit.stesp is unknown; did you mean 'steps'?",
            "There is no option 'stesp': did you mean 'steps'?",
        ),
        (
            {"name": "a", "zzz": 3},
            "s.toml: zzz is unknown; known are families, name, fit.",
            "There is no option 'zzz': known are families, name, fit.",
        ),
        (
            {"nam": "a"},
            "s.toml: nam is unknown (1 more after it); did you mean 'name'?",
            "There is no option 'nam': did you mean 'name'?",
        ),
        (
            {"name": "a", "families": "x" * 200},
            f"s.toml: families: expected a valid list, found '{'x' * 76}....",
            f"The option 'family' is wrong: expected a valid list, found '{'x' * 76}....",
        ),
    ],
)
def test_the_first_mistake(values, in_a_file, in_a_call):
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(values)
    assert sentence(caught.value, known, where="s.toml") == in_a_file
    assert sentence(caught.value, known, called={"families": "family"}) == in_a_call


def test_an_option_that_there_is_not():
    assert unknown("step", ["steps", "seed"]) == "There is no option 'step': did you mean 'steps'?"
    assert unknown("luck", ["steps", "seed"]) == "There is no option 'luck': known are steps, seed."
