"""Every field of a question once: what is taken and refused, whatever the door."""

from __future__ import annotations

import numpy as np
import pytest

from modelstitch.data.tasks import CLASSIFICATION, NEXT_TOKEN
from modelstitch.engine.controls import CONTROLS
from modelstitch.errors import DataError, StudyError
from modelstitch.study.keywords import CompareOptions
from modelstitch.study.question import OBJECTIVES, Comparison, Question, read
from modelstitch.study.spec import parse_spec

BASE = {
    "name": "s",
    "data": "digits",
    "pairs": [["a", "b"]],
    "donors": dict.fromkeys("abc", "zoo:small-resnet?width=4"),
}


def written(**values):
    """By a study file."""
    return parse_spec({**BASE, **values})


def called(**values):
    """By Python."""
    return read(CompareOptions, values, "abc")


@pytest.mark.parametrize("name", [*CONTROLS, "none"])
def test_every_control_is_taken_everywhere(name):
    others = {"other_seeds": {"b": "c"}}
    wanted = () if name == "none" else (name,)
    for ask in (written, called):
        assert ask(controls=[name], **others).controls == ask(controls=name, **others).controls == wanted


@pytest.mark.parametrize("name", [*OBJECTIVES, "distill+task", "downstream+distill+task", "downstream + task"])
def test_every_objective_is_taken_everywhere(name):
    wanted = (name.replace(" ", ""),)
    assert called(objective=name).objectives == called(objective=[name]).objectives == wanted
    assert called(objective=[name.split("+")]).objectives == wanted
    assert written(objective=name).objectives == written(objectives=[name.split("+")]).objectives == wanted


def test_one_value_or_several_as_in_python():
    assert written(family="low-rank:2").families == written(families=["low-rank:2"]).families == ("low-rank:2",)
    for ask in (written, called):
        assert ask(layers="block1").layers == ("block1",)
        assert ask(layers=[["block1", "block2"]]).layers == ("block1 -> block2",)
        assert ask(samples=[10, 20]).samples == (10, 20)
        assert (ask(samples=10).samples, ask(samples=10).fit.samples, ask(steps=9).fit.steps) == ((), 10, 9)
    assert written(fit={"samples": [10, 20]}).samples == (10, 20)
    assert (
        called(seeds=range(3)).seeds
        == called(seeds=np.arange(3)).seeds
        == called(seeds=iter([0, 1, 2])).seeds
        == (0, 1, 2)
    )
    assert called(layers=(name for name in ("block1", "block2"))).layers == ("block1", "block2")
    assert type(called(seeds=np.arange(1)).seeds[0]) is int


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"controls": ["other-seed"]},
            "expected a network in other_seeds (--other-seed on the command line) beside the control 'other-seed'",
        ),
        ({"controls": ["none", "self"]}, "'none' alone"),
        ({"controls": ["noise"]}, "expected self, other-seed"),
        ({"controls": 3}, "expected self, other-seed"),
        ({"objective": ["match+task"]}, "expected no 'match' among several stages: it is solved"),
        ({"objective": ["luck"]}, "expected match, sensitivity, task"),
        ({"objective": [[]]}, "expected match, sensitivity, task"),
        ({"family": "os.system('x')"}, "expected a family such as 'affine'"),
        ({"family": []}, "expected a list with at least one entry"),
        (
            {"family": 3},
            "expected a family such as 'affine', or a list of them (a class of your own is entered first: "
            "ms.stitchers.FAMILIES[cls.family] = cls), found 3",
        ),
        ({"controls": {"self", "random"}}, "expected self, other-seed"),
        ({"layers": ["a -> b -> c"]}, "expected layers that can be read"),
        ({"layers": ["x@l1"]}, "expected layers without network names"),
        ({"layers": []}, "expected 'matching', 'all', or layers such as"),
        ({"seeds": [0.5]}, "expected distinct whole numbers from 0"),
        ({"seeds": [True]}, "expected distinct whole numbers from 0"),
        ({"pairs": "some"}, "expected 'all', 'ring' or a list of"),
        ({"pairs": [["a", "z"]]}, "expected names of the networks 'a', 'b', 'c' in pairs, not 'z'"),
        ({"both": "no"}, "expected a valid boolean"),
        ({"samples": [10, 0]}, "expected greater than or equal to 1, found 0"),
        ({"steps": 0}, "expected greater than or equal to 1, found 0"),
        ({"learning_rate": float("nan")}, "expected "),
        ({"downstream": []}, "expected 'all', 'penultimate' or a list of layers"),
        ({"normalisation": "train"}, "expected 'frozen', 'recalibrated' or 'batch', found 'train'"),
        ({"expected_error": {"z": 1.0}}, "expected names of the networks 'a', 'b', 'c' in expected_error, not 'z'"),
        ({"expected_error": -1.0}, "expected "),
        ({"other_seeds": {"z": "c"}}, "expected names of the networks 'a', 'b', 'c' in other_seeds, not 'z'"),
        ({"step": 3}, "did you mean 'steps'?"),
    ],
)
def test_what_one_door_refuses_no_other_takes(values, words):
    for ask in (written, called):
        with pytest.raises(StudyError) as caught:
            ask(**values)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def test_which_pairs():
    def pairs(names="abc", **values):
        return [bottom + top for bottom, top in Comparison(networks=tuple(names), **values).ordered_pairs()]

    assert pairs() == ["ab", "ac", "ba", "bc", "ca", "cb"]
    assert pairs(both=False) == ["ab", "ac", "bc"]
    assert pairs(pairs="ring", both=False) == ["ab", "bc", "ca"]
    assert pairs(pairs="ring") == ["ab", "bc", "ca", "ba", "cb", "ac"]
    assert pairs("ab", pairs="ring") == ["ab", "ba"]
    assert pairs(pairs=[("c", "a"), ("a", "a")]) == ["ca", "aa"]


def test_controls_follow_from_what_is_given():
    asked = Question(controls="self", other_seeds={"b": "c"})
    assert asked.for_labels(CLASSIFICATION).controls == ("self", "other-seed")
    assert Question(controls=(), other_seeds={"b": "c"}).for_labels(CLASSIFICATION).controls == ("other-seed",)
    usual, of_sequences = (Question().for_labels(task).controls for task in (CLASSIFICATION, NEXT_TOKEN))
    assert usual == tuple(name for name in CONTROLS if name != "recalibration")
    assert [name for name in usual if name not in of_sequences] == ["class-noise", "class-noise-strong"]
    with pytest.raises(DataError, match=r"class-noise-strong control needs one class label per sample: leave it out"):
        Question(controls=("self", "class-noise-strong")).for_labels(NEXT_TOKEN)


def test_what_decides_no_result_is_no_part_of_a_study():
    assert written(expected_error=5.0, error_tolerance=1.0).identity() == written().identity()
    assert not {"limit", "both", "second", "engine"} & set(written().identity())
    assert written(limit=60, both=False).identity() == {**written().identity(), "limit": 60, "both": False}


def test_starts_are_a_part_of_a_study_where_a_fit_may_have_several():
    assert written().identity()["starts"] == Question().starts == 3
    for more in ({"starts": 1}, {"controls": ("self", "random")}, {"objective": "match"}):
        assert "starts" not in written(**more).identity()
