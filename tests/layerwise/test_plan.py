"""How similarities will be computed, known before anything runs."""

import pytest

from layerwise.small import world
from modelstitch.errors import MeasureError, NetworkError
from modelstitch.layerwise.plan import chosen_measures, plan_similarity, width
from modelstitch.measures import MEASURES

LAYERS = (["0", "2"], ["0"])


def plan(n=3000, **options):
    a, b, data = world(n)
    return plan_similarity(a, b, data, **{"layers": LAYERS, "available": 10**9, **options})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("measures", "view", "ways"),
    [
        (("cca",), "pool", ["sums"]),
        (("mutual_knn",), "pool", ["rows"]),
        (("cka_linear_debiased",), "pool", ["sums"]),
        (("cka_linear_debiased",), "flatten", ["sums"]),
        (("cka_minibatch",), "flatten", ["minibatch"]),
        (("cca", "mutual_knn"), "pool", ["sums", "rows"]),
    ],
)
def test_each_measure_has_its_way(measures, view, ways):
    found = plan(measures=measures, view=view)
    assert [step.way for step in found.steps] == ways
    assert found.examples == 3000
    assert sorted(m.name for step in found.steps for m in step.measures) == sorted(
        m.name for m in chosen_measures(measures)
    )


def test_layers_that_do_not_fit_together_are_taken_in_blocks():
    whole = plan(measures=("cca",)).steps[0]
    assert len(whole.blocks) == 1
    parts = plan(measures=("cca",), available=whole.size - 1).steps[0]
    assert len(parts.blocks) > 1
    assert parts.size < whole.size
    assert parts.passes == len(parts.blocks)
    pairs = {(b, t) for block in parts.blocks for b in block.left for t in block.right}
    assert pairs == {("a@0", "b@0"), ("a@2", "b@0")}


def test_the_plan_is_said_in_words():
    words = plan(measures=("cca", "mutual_knn")).describe()
    assert words.startswith("3,000 examples. ")
    assert "2 passes in all" in words
    assert "sums of all layers" in words
    assert "all activations kept" in words


def test_features_of_a_row():
    a, *_ = world()
    assert width(a.layer("0"), "pool") == 5
    assert width(a.layer("0"), "flatten") == 5 * 4 * 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"view": "mean"}, MeasureError, "The view 'mean' is unknown: expected one of pool, flatten"),
        ({"measures": []}, MeasureError, "No measure was chosen"),
        ({"layers": (["0"],)}, MeasureError, "The layers must be two lists"),
        ({"layers": ([], ["0"])}, MeasureError, "No layer of 'a' was chosen"),
        (
            {"measures": ("mutual_knn",), "samples": 11},
            MeasureError,
            "mutual_knn needs at least 12 examples, found 11 in the val split",
        ),
        (
            {"measures": ("cca",), "available": 100},
            MeasureError,
            "need .* of memory, found 100 bytes available: use view='pool'",
        ),
    ],
)
def test_what_cannot_be_is_told_at_once(options, error, words):
    with pytest.raises(error, match=words):
        plan(**options)


def test_a_module_is_no_network():
    a, b, data = world()
    with pytest.raises(NetworkError, match="The top must be a modelstitch Network"):
        plan_similarity(a, b.module, data)
    with pytest.raises(MeasureError, match="The data must be modelstitch Data, found list"):
        plan_similarity(a, b, [])
    assert set(MEASURES)
