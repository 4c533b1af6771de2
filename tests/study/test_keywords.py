"""Keywords, options and words of a question are those of its fields."""

from __future__ import annotations

import inspect
from typing import get_type_hints

import click
import pytest

import modelstitch as ms
from modelstitch.api import plan_compare
from modelstitch.cli.compare import compare as compare_command
from modelstitch.cli.options import FIT, GRID
from modelstitch.cli.stitch import stitch as stitch_command
from modelstitch.engine.fit.options import FitOptions, FitSpec
from modelstitch.study.keywords import BESIDE, CompareOptions, StitchOptions, default_of, field_of
from modelstitch.study.question import Question
from modelstitch.study.spec import StudySpec, parse_spec

FIELDS = [name for name in Question.model_fields if name != "fit"]
ONE = {"families": "family", "objectives": "objective"}
SPEC = parse_spec({"name": "s", "data": "digits", "donors": dict.fromkeys("ab", "zoo:small-resnet?width=4")})
COMMANDS = {
    "compare": {p.name: p for p in compare_command.params if isinstance(p, click.Option)},
    "stitch": {p.name: p for p in stitch_command.params if isinstance(p, click.Option)},
}


def single(value):
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


def test_every_field_says_what_it_is():
    for model in (StudySpec, FitSpec):
        assert not [name for name, field in model.model_fields.items() if not field.description]


def test_the_keywords_are_the_fields():
    fields = {ONE.get(name, name) for name in FIELDS} | set(FitSpec.model_fields)
    assert set(CompareOptions.__annotations__) == fields | set(BESIDE)
    assert set(StitchOptions.__annotations__) < {*CompareOptions.__annotations__, "seed"}
    assert set(FitOptions.__annotations__) == set(FitSpec.model_fields) - {"samples"}
    hints = get_type_hints(FitOptions)
    plain = {name: field.annotation for name, field in FitSpec.model_fields.items()}
    nested = ("downstream", "samples", "positions", "anchors_by")  # with checks inside
    assert {n: h for n, h in hints.items() if n not in nested} == {n: h for n, h in plain.items() if n not in nested}


@pytest.mark.parametrize("function", [ms.compare, plan_compare])
@pytest.mark.parametrize("name", [*FIELDS, *FitSpec.model_fields])
def test_python_and_study_files_have_one_default(function, name):
    keyword = ONE.get(name, name)
    found = inspect.signature(function).parameters[keyword].default
    assert found == default_of(keyword)
    in_a_file = getattr(SPEC.fit, name) if name in FitSpec.model_fields else getattr(SPEC, name)
    assert found == (None if in_a_file == {} else in_a_file if name == "seeds" else single(in_a_file))
    first = field_of(keyword).description.split()[0]
    assert f": {first[0].lower()}{first[1:]}" in function.__doc__


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_has_the_same_defaults_and_words(command):
    for keyword in (*FIT, *(GRID if command == "compare" else ())):
        option = COMMANDS[command][keyword]
        assert option.help.removesuffix(" May be repeated.") == field_of(keyword).description
        default = option.default if option.default.__class__.__name__ != "Sentinel" else None
        assert (single(default) if option.multiple else default) == default_of(keyword), keyword


def test_every_field_is_on_the_command_line_of_compare():
    missing = {ONE.get(name, name) for name in [*FIELDS, *FitSpec.model_fields]} - set(COMMANDS["compare"])
    assert missing == {"pairs", "other_seeds"}  # of two networks there is one pair; --other-seed names a network for it


def test_help_names_the_options_of_a_fit_with_their_defaults():
    for function in (ms.stitch, ms.compare):
        assert "steps: optimiser steps at most; the objective match takes none; 640 by default." in function.__doc__
        assert "**question" not in function.__doc__
        assert "question" not in inspect.signature(function).parameters
    assert inspect.signature(ms.stitch).parameters["seed"].default == 0
    assert inspect.signature(ms.stitch).parameters["learning_rate"].default == 1e-2


def test_the_words_of_the_families_name_every_family():
    from modelstitch.stitchers import FAMILIES

    described = field_of("family").description
    assert all(name in described for name in FAMILIES)
