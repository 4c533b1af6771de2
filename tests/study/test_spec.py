"""The spec: what TOML may say, and one sentence for each mistake."""

import pytest

from modelstitch.errors import StudyError
from modelstitch.study.declared import data_of
from modelstitch.study.spec import load_spec, parse_spec

GOOD = """
name = "digits, three donors"
data = "digits"
pairs = [["seed0", "seed1"], ["seed1", "seed0"]]
layers = ["layer1", "layer1 -> layer2"]
families = ["identity", "affine", "low-rank:8"]
objectives = ["match", "task"]
controls = ["self", "class-noise"]
seeds = [0, 1]
engine = "ray"

[donors]
seed0 = "zoo:resnet8"
seed1 = { model = "timm:resnet18", weights = "w.safetensors" }
other = "donors/other"

[fit]
steps = 50
learning_rate = 1
"""

BASE = {"name": "n", "data": "digits", "donors": {"a": "zoo:x", "b": "zoo:y"}}


def test_a_good_file(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(GOOD)
    spec = load_spec(path)
    assert spec.donors["seed0"].model == "zoo:resnet8"
    assert spec.donors["seed1"].weights == "w.safetensors"
    assert spec.donors["other"].folder == "donors/other"
    assert spec.ordered_pairs() == (("seed0", "seed1"), ("seed1", "seed0"))
    assert spec.layers == ("layer1", "layer1 -> layer2")
    assert (spec.fit.steps, spec.fit.learning_rate, spec.fit.batch_size) == (50, 1.0, 128)
    assert "engine" not in spec.identity()
    assert parse_spec(spec.identity() | {"engine": "ray"}) == spec


def test_all_pairs_are_ordered_pairs_of_two_donors():
    spec = parse_spec({**BASE, "donors": {"a": "zoo:x", "b": "zoo:y", "c": "zoo:z"}})
    assert len(spec.ordered_pairs()) == 6
    assert all(bottom != top for bottom, top in spec.ordered_pairs())


def test_one_number_of_samples_is_an_option_of_the_fit_wherever_it_stands():
    here, there = parse_spec({**BASE, "samples": 50}), parse_spec({**BASE, "fit": {"samples": 50}})
    assert here == there
    assert (here.fit.samples, here.samples) == (50, ())
    assert parse_spec({**BASE, "samples": [50, 60]}).samples == (50, 60)
    with pytest.raises(StudyError, match="samples in one place"):
        parse_spec({**BASE, "samples": 50, "fit": {"samples": 60}})


def test_a_spec_does_not_change():
    with pytest.raises(Exception, match="frozen"):
        parse_spec(BASE).name = "other"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fit": {"steps": 0}}, "fit.steps: expected greater than or equal to 1, found 0."),
        ({"fit": {"steps": "9"}}, "fit.steps: expected a valid integer, found '9'."),
        ({"fit": {"steps": True}}, "fit.steps: expected a valid integer, found True."),
        ({"fit": {"learning_rate": float("nan")}}, "fit.learning_rate: expected"),
        ({"fit": {"stesp": 5}}, "fit.stesp is unknown; did you mean 'steps'?"),
        ({"layer": "all"}, "layer is unknown; did you mean 'layers'?"),
        ({"donors": {"a": {"weigths": "w", "model": "zoo:x"}}}, "did you mean 'weights'?"),
        (
            {"objectives": ["labels"]},
            "objectives: expected match, sensitivity, task, distill, downstream, or several of the last three",
        ),
        ({"objectives": []}, "objectives: expected a list with at least one entry, found []."),
        ({"seeds": [1, 1]}, "seeds: expected distinct whole numbers from 0 in a list, such as [0, 1], found [1, 1]."),
        ({"seeds": 3}, "seeds: expected distinct whole numbers from 0 in a list, such as [0, 1], found 3."),
        ({"controls": ["noise"]}, "controls: expected self, other-seed"),
        (
            {"families": ["os.system('x')"]},
            "families.0: expected a family such as 'affine', 'low-rank:4' or 'conv:3', found",
        ),
        ({"families": ["torch.nn.Linear"]}, "families.0: "),
        ({"pairs": [["a", "z"]]}, "expected names of the networks 'a', 'b' in pairs, not 'z'."),
        (
            {"pairs": ["ab"]},
            "pairs: expected 'all', 'ring' or a list of [bottom, top] names of networks, found ['ab'].",
        ),
        ({"layers": 3}, "layers: expected 'matching', 'all', or layers such as 'layer2'"),
        ({"layers": ["a -> b -> c"]}, "layers: expected layers that can be read"),
        ({"layers": ["x@l1"]}, "layers without network names"),
        ({"donors": {"class-noise": "zoo:x"}}, "other than 'class-noise'"),
        ({"donors": {"a->b": "zoo:x"}}, "donor names without '->'"),
        ({"donors": {"a": "zoo:x"}}, "at least two networks where pairs = 'all'"),
        ({"donors": {"a": {"model": "my.module:Net"}}}, "a model name such as 'timm:resnet18'"),
        ({"donors": {"a": {"model": "zoo:x", "folder": "d"}}}, "either a model name or a donor folder"),
        ({"donors": {"a": {"folder": "d", "weights": "w"}}}, "a donor folder alone"),
        ({"donors": {"a": {"model": "zoo:x", "mean": 0.5}}}, "both mean and std, or neither"),
        ({"normalisation": "train"}, "expected 'frozen', 'recalibrated' or 'batch', found 'train'."),
        ({"name": "two\nlines"}, "name: expected a name of one line"),
        ({"data": None}, "data: expected a valid string, found None."),
        ({"steps": 0}, "fit.steps: expected greater than or equal to 1, found 0."),
        ({"steps": 5, "fit": {"steps": 5}}, "steps in one place, not also under fit"),
        ({"fit": {"downstream": []}}, "fit.downstream: expected 'all', 'penultimate' or a list of layers, found []."),
        ({"other_seeds": {"a": "z"}}, "expected names of the networks 'a', 'b' in other_seeds, not 'z'."),
        ({"seeds": [-1], "engine": "spark"}, "(1 more after it)."),
    ],
)
def test_one_sentence_for_each_mistake(change, message):
    with pytest.raises(StudyError) as caught:
        parse_spec({**BASE, **change}, where="study.toml")
    text = str(caught.value)
    assert text.startswith("study.toml: ")
    assert message in text
    assert "\n" not in text
    assert "pydantic" not in text


def test_a_missing_field():
    with pytest.raises(StudyError, match="study: donors is missing"):
        parse_spec({"name": "n", "data": "d"}, where="study")


def test_a_file_that_is_no_toml(tmp_path):
    with pytest.raises(StudyError, match=r"Cannot read the study .*none\.toml: expected a TOML file"):
        load_spec(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(StudyError, match="expected a TOML file"):
        load_spec(tmp_path / "bad.toml")


def test_a_misspelt_table_is_named_before_what_it_leaves_missing():
    with pytest.raises(StudyError, match=r"donor is unknown .*did you mean 'donors'"):
        parse_spec({"name": "n", "data": "digits", "donor": BASE["donors"]})


def test_a_task_and_a_metric_are_part_of_a_study_where_they_are_named():
    plain = {"name": "s", "data": "digits", "donors": {"a": "zoo:small-resnet", "b": "zoo:small-resnet"}}
    assert {"task", "metric"}.isdisjoint(parse_spec(plain).identity())
    named = parse_spec(plain | {"task": "retrieval:5", "metric": "top-5"})
    assert (named.identity()["task"], named.identity()["metric"]) == ("retrieval:5", "top-5")
    assert data_of(parse_spec(plain | {"task": "retrieval:5", "limit": 40}))[0].task.k == 5
