"""Python, the command line and study files take the same names and have the same defaults."""

from __future__ import annotations

import inspect

import click
import pytest

import modelstitch as ms
from modelstitch.cli.common import fitting
from modelstitch.cli.compare import compare as compare_command
from modelstitch.cli.stitch import stitch as stitch_command
from modelstitch.engine.controls import CONTROLS
from modelstitch.engine.fit.normalisation import POLICIES
from modelstitch.engine.fit.options import FitSpec
from modelstitch.errors import StudyError
from modelstitch.study import question
from modelstitch.study.spec import StudySpec, parse_spec

BASE = {
    "name": "s",
    "data": "digits",
    "pairs": [["a", "b"]],
    "donors": dict.fromkeys("abc", "zoo:small-resnet?width=4"),
}


def written(**values):
    return parse_spec({**BASE, **values})


def defaults(function):
    return {name: p.default for name, p in inspect.signature(function).parameters.items()}


def options(command):
    return {option.name: option for option in command.params if isinstance(option, click.Option)}


def test_what_is_asked_where_nothing_is_said():
    spec, one, several = written(), defaults(ms.stitch), defaults(ms.compare)
    assert (one["family"], one["objective"], one["seed"]) == (question.FAMILY, question.OBJECTIVE, question.SEEDS[0])
    for asked in (several, defaults(ms.compare_many)):
        assert (asked["family"], asked["objective"], asked["layers"]) == ("affine", "task", "matching")
        assert (spec.families, spec.objectives) == ((asked["family"],), (asked["objective"],))
        assert (spec.layers, spec.seeds, spec.controls) == (asked["layers"], asked["seeds"], asked["controls"])
        assert spec.normalisation == asked["normalisation"] == one["normalisation"]
    assert spec.fit == FitSpec()


@pytest.mark.parametrize("command", [compare_command, stitch_command])
def test_the_command_line_leaves_unsaid_what_is_unsaid(command):
    """An option that has a value of its own would be a second default."""
    for name in ("families", "objectives", "normalisation", "controls", "seams", *FitSpec.model_fields):
        option = options(command).get(name)
        assert option is None or not isinstance(option.default, str | int | float), name


def test_every_option_of_a_fit_is_on_the_command_line():
    assert not set(FitSpec.model_fields) - {p.name for p in fitting(click.command()(lambda: None)).params}


@pytest.mark.parametrize("name", [*CONTROLS, "none"])
def test_every_control_is_taken_everywhere(name):
    spec = written(controls=[name], other_seeds={"b": "c"} if name == "other-seed" else {})
    assert spec.controls == question.written_controls((name,))
    assert written(controls=name, other_seeds={"b": "c"}).controls == spec.controls
    assert name in options(compare_command)["controls"].type.choices


@pytest.mark.parametrize("name", [*question.OBJECTIVES, "distill+task", "downstream+distill+task", "downstream + task"])
def test_every_objective_is_taken_everywhere(name):
    from modelstitch.api import _objectives

    wanted = (name.replace(" ", ""),)
    assert _objectives(name)[0] == _objectives([name])[0] == written(objectives=[name]).objectives == wanted
    assert written(objective=name).objectives == written(objectives=[name.split("+")]).objectives == wanted


def test_one_value_or_several_as_in_python():
    assert written(family="low-rank:2").families == written(families=["low-rank:2"]).families == ("low-rank:2",)
    assert written(layers="block1").layers == ("block1",)
    assert written(layers=[["block1", "block2"]]).layers == ("block1 -> block2",)
    assert written(fit={"samples": [10, 20]}).samples == written(samples=[10, 20]).samples == (10, 20)
    assert (written(samples=10).samples, written(samples=10).fit.samples) == ((), 10)


@pytest.mark.parametrize(("values", "message"), [
    ({"controls": ["other-seed"]}, "other_seeds = {top = "),
    ({"controls": ["none", "self"]}, "'none' alone"),
    ({"objectives": ["match+task"]}, "objectives: expected match, task"),
    ({"objectives": ["luck"]}, "objectives: expected match, task"),
    ({"family": "affine", "families": ["affine"]}, "either family or families"),
    ({"samples": [1], "fit": {"samples": [2]}}, "samples in one place"),
    ({"expected_error": {"z": 1.0}}, "expected errors of the donors a, b, c, not 'z'"),
])  # fmt: skip
def test_what_a_study_file_does_not_take(values, message):
    with pytest.raises(StudyError) as caught:
        written(**values)
    assert message in str(caught.value)


def test_who_names_another_seed_asks_for_the_control():
    chosen = question.chosen_controls
    assert chosen(("self",), sequences=False, other_seeds={"b": 1}) == ("self", "other-seed")
    assert chosen((), sequences=False, other_seeds={"b": 1}) == ("other-seed",)
    assert chosen(("self",), sequences=False, other_seeds=()) == ("self",)
    assert not any(CONTROLS[name].classes for name in chosen(None, sequences=True, other_seeds=()))
    with pytest.raises(StudyError, match="needs a network of another seed"):
        chosen(("other-seed",), sequences=False, other_seeds=())


def test_rooms_below_know_the_same_names():
    assert tuple(POLICIES) == question.NORMALISATIONS


def test_what_decides_no_result_is_no_part_of_a_study():
    assert written(expected_error=5.0, error_tolerance=1.0).identity() == written().identity()
    assert "limit" not in written().identity()
    assert written(limit=60).identity()["limit"] == 60
    assert set(StudySpec.model_fields) >= {"limit", "expected_error", "error_tolerance"}
