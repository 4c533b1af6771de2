"""Every way of computing equals the measures of the saved activations; bad input is named."""

from __future__ import annotations

import json
from collections import namedtuple
from types import SimpleNamespace

import polars as pl
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import modelstitch as ms
from modelstitch.errors import (
    MeasureError,
    NetworkError,
    NonFiniteError,
    StudyError,
    UnknownLayerError,
)
from modelstitch.layerwise import plan_similarity
from modelstitch.layerwise.passes import Rows
from modelstitch.layerwise.ways import _Centred
from modelstitch.measures import MEASURES, Measure, linear_cka
from modelstitch.report.similarities import best_pairs
from modelstitch.support.hashing import unsealed

N = 210
Kind, Masked = namedtuple("Kind", "kind"), namedtuple("Masked", "mask")


class Net(nn.Module):
    """Two convolutions and a head; ``lift`` moves the features' mean away from 0, in standard deviations."""

    def __init__(self, seed, width=6, lift=0.0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.one = nn.Conv2d(3, width, 3, padding=1)
            self.two = nn.Conv2d(width, width, 3, stride=2, padding=1)
            self.head = nn.Linear(width * 16, 5)
        self.lift = lift

    def forward(self, x):
        x = torch.relu(self.one(x)) + self.lift
        x = torch.tanh(self.two(x - self.lift)) + self.lift
        return self.head(torch.flatten(x, 1))


def make_data(n=N, dtype=torch.float32):
    x = torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    y = torch.arange(n) % 5
    return ms.Data(TensorDataset(x[:10] + 0, y[:10]), TensorDataset(x, y), TensorDataset(x[:10] * 1, y[:10]))


@pytest.fixture(scope="module")
def world():
    data = make_data()
    example = torch.zeros(2, 3, 8, 8)
    nets = ms.Network(Net(0), example, "a"), ms.Network(Net(1, 9, lift=100.0), example, "b")
    return *nets, data, ("one", "two", "head"), ("one", "two")


def rows(network, names, data, view, seed=0):
    """Activations in the order in which the pass sees them, as float64 rows."""
    order = torch.cat([batch.ids for batch in data.batches("val", 64, seed=seed)])
    inputs = torch.stack([data.dataset("val")[int(i)][0] for i in order])
    with torch.no_grad():
        values = network.taps(names)(inputs)
    pooled = view == "pool"
    return {k: (v.mean((2, 3)) if pooled and v.ndim == 4 else v.flatten(1)).double() for k, v in values.items()}


@pytest.mark.slow
@pytest.mark.parametrize("view", ["pool", "flatten"])
def test_every_way_equals_the_measure_of_saved_activations(world, view):
    a, b, data, below, above = world
    names = ["cka", "cka_linear_debiased", "cka_minibatch", "procrustes_similarity", "rsa"]
    found = ms.similarity(a, b, data, measures=names, layers=(below, above), view=view, shuffles=2)
    steps = plan_similarity(a, b, data, measures=names, layers=(below, above), view=view, shuffles=2).steps
    ways = {m.name: step.way for step in steps for m in step.measures}
    assert ways["cka_linear_debiased"] == ("sums" if view == "pool" else "gram")
    assert ways["cka_minibatch"] == "minibatch"
    assert ways["rsa"] == "rows"
    x, y = rows(a, below, data, view), rows(b, above, data, view)
    assert len(found.similarities) == len(names) * len(below) * len(above)
    for r in found.similarities:
        assert r["value"] == pytest.approx(MEASURES[r["measure"]](x[r["bottom_layer"]], y[r["top_layer"]]), abs=1e-6), (
            r["measure"],
            r,
        )
        assert r["null_mean"] is not None


@pytest.mark.slow
@pytest.mark.parametrize("view", ["pool", "flatten"])
def test_blocks_of_layers_and_examples_change_nothing(world, view, monkeypatch):
    a, b, data, below, above = world
    monkeypatch.setattr("modelstitch.layerwise.ways.CHUNK", 32)
    monkeypatch.setattr("modelstitch.layerwise.plan.CHUNK", 32)
    names = ["cka", "cka_linear_debiased", "mutual_knn", "cca_mean"] if view == "pool" else ["cka", "mutual_knn"]
    options = {"measures": names, "layers": (below, above), "view": view, "shuffles": 0}
    whole = ms.similarity(a, b, data, **options)
    assert repr(whole).startswith("Results(a -> b: cka_linear_biased, ")
    assert "\n" not in repr(whole)
    plans = [
        plan_similarity(a, b, data, **options, available=size)
        for size in range(10_000, 4_000_000, 20_000)
        if fits(lambda size=size: plan_similarity(a, b, data, **options, available=size))
    ]
    tight = plans[0]
    assert any(len(step.blocks) > 1 for step in tight.steps)
    size = tight.size + 20_000
    blocked = ms.similarity(a, b, data, **options, available=size)
    few, all_at_once = (plan_similarity(a, b, data, **options, **at_most) for at_most in ({"available": size}, {}))
    assert few.size <= size
    assert sum(step.passes for step in few.steps) > sum(step.passes for step in all_at_once.steps)
    for one, other in zip(whole.similarities, blocked.similarities, strict=True):
        assert [one[key] for key in ("bottom_layer", "top_layer", "measure")] == [
            other[key] for key in ("bottom_layer", "top_layer", "measure")
        ]
        assert one["value"] == pytest.approx(other["value"], abs=1e-6)


def fits(call):
    try:
        call()
    except MeasureError:
        return False
    return True


def test_examples_in_blocks_of_the_gram_matrices(world, monkeypatch):
    a, b, data, _, _ = world
    monkeypatch.setattr("modelstitch.layerwise.ways.CHUNK", 16)
    monkeypatch.setattr("modelstitch.layerwise.plan.CHUNK", 16)
    options = {"measures": ["cka_linear_debiased"], "layers": (["one"], ["one"]), "view": "flatten", "shuffles": 3}
    whole = ms.similarity(a, b, data, **options)
    plan = plan_similarity(a, b, data, **options)
    blocked = ms.similarity(a, b, data, **options, available=plan.size - 150_000)
    tight = plan_similarity(a, b, data, **options, available=plan.size - 150_000)
    (step,) = tight.steps
    assert step.held < N
    assert step.passes > 1
    assert "passes" in tight.describe()
    assert blocked.similarities[0]["value"] == pytest.approx(whole.similarities[0]["value"], abs=1e-9)
    assert blocked.similarities[0]["null_mean"] == pytest.approx(whole.similarities[0]["null_mean"], abs=1e-9)


def test_null_levels_are_near_nothing_for_the_unbiased(world):
    a, b, data, below, above = world
    names = ["cka_linear_debiased", "cka_minibatch"]
    for r in ms.similarity(a, b, data, measures=names, layers=(below, above), view="flatten", shuffles=10).similarities:
        assert abs(r["null_mean"]) < 0.1
        assert r["null_low"] <= r["null_mean"] <= r["null_high"]


@pytest.mark.parametrize("measure", ["cka", "rsa", "cka_linear_debiased", "procrustes_permutation"])
def test_values_are_held_against_the_best_of_shuffled_grids(world, measure):
    a, b, data, below, above = world
    found = ms.similarity(a, b, data, measures=[measure], layers=(below, above), shuffles=19)
    best = min(found.similarities, key=lambda r: (r["p_grid"], -r["score_grid"]))
    for r in found.similarities:
        assert 1 / 20 <= r["p"] <= r["q"] <= 1
        assert r["p"] <= r["p_grid"] <= 1
        assert 0 <= r["score_grid"] <= r["score"] <= 1
    (said,) = best_pairs(found.similarities)
    assert f"{best['bottom_layer']} of a and {best['top_layer']} of b are most alike" in said
    assert ("no more than" in said) == (best["p_grid"] > 0.05)
    plain = ms.similarity(a, b, data, measures=[measure], layers=(below, above), shuffles=0)
    assert plain.frame["p_grid"].null_count() == len(plain.frame)
    assert best_pairs(plain.similarities) == []


def test_a_users_own_measure_and_double_precision(world):
    _, _, _, below, above = world
    mine = Measure("mine", lambda x, y: linear_cka(x, y) ** 0.5, "similarity", "root", "here")
    data, example = make_data(40, torch.float64), torch.zeros(2, 3, 8, 8, dtype=torch.float64)
    a, b = (ms.Network(Net(seed).double(), example, name) for seed, name in ((0, "a"), (1, "b")))
    found = ms.similarity(a, b, data, measures=[mine, "cka", "cka_minibatch"], layers=(below, above), view="flatten")
    x, y = rows(a, below, data, "flatten"), rows(b, above, data, "flatten")
    for r in found.similarities:
        assert r["value"] == pytest.approx(
            {**MEASURES, "mine": mine}[r["measure"]](x[r["bottom_layer"]], y[r["top_layer"]]), abs=1e-9
        )


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x, y: 1 / 0, "the measure 'mine' raised ZeroDivisionError: division by zero"),
        (lambda x, y: float("nan"), "the measure 'mine' raised NonFiniteError: mine came out as nan"),
        (lambda x, y: 7.0, "mine came out as 7: expected a value from 0 to 1"),
    ],
)
def test_a_users_own_measure_that_fails_takes_no_other_with_it(world, function, words):
    a, b, data, below, above = world
    mine = Measure("mine", function, "similarity", "none", "here")
    found = ms.similarity(a, b, data, measures=[mine, "rsa"], layers=(below, above), view="flatten").similarities
    assert {r["measure"] for r in found if r["value"] is not None} == {"rsa"}
    assert all(words in r["note"] for r in found if r["measure"] == "mine")


def test_a_users_own_measure_that_fails_on_shuffled_pairs_keeps_its_value(world):
    a, b, data, below, above = world
    calls = []

    def once_a_pair(x, y):
        calls.append(1)
        if len(calls) % 2 == 0:
            raise KeyError("shuffled")
        return 0.5

    mine = Measure("mine", once_a_pair, "similarity", "none", "here")
    found = ms.similarity(
        a, b, data, measures=[mine, "rsa"], layers=(below, above), view="flatten", shuffles=2
    ).similarities
    own = [r for r in found if r["measure"] == "mine"]
    assert all(r["value"] == 0.5 and r["null_mean"] is None for r in own)
    assert all("pairs shuffled: the measure 'mine' raised KeyError: 'shuffled'" in r["note"] for r in own)
    assert all(r["null_mean"] is not None for r in found if r["measure"] != "mine")


def test_donors_and_random_state_are_left_alone(world):
    a, b, data, below, above = world
    strides = [p.stride() for p in a.module.parameters()]
    before, state = (a.fingerprint(), b.fingerprint()), torch.get_rng_state()
    ms.similarity(a, b, data, measures=["cka_minibatch"], layers=(below, above), view="flatten")
    assert (a.fingerprint(), b.fingerprint()) == before
    assert [p.stride() for p in a.module.parameters()] == strides
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.slow
@pytest.mark.parametrize("measure", ["cka", "cka_linear_debiased", "cka_minibatch", "rsa"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_name_the_layer_and_the_sample(measure, value):
    data = make_data(40)
    images = data.dataset("val").tensors[0]
    images[17, 0, 3, 3] = value
    example = torch.zeros(2, 3, 8, 8)
    a, b = (ms.Network(Net(seed), example, name) for seed, name in ((0, "a"), (1, "b")))
    with pytest.raises(NonFiniteError, match="a@one hold NaN or infinity, first for the sample 17: expected finite"):
        ms.similarity(a, b, data, measures=[measure], layers=(["one"], ["one"]), view="flatten")


def test_half_precision_that_overflows_is_named():
    data = make_data(30, torch.float16)
    data.dataset("val").tensors[0][4] = 60_000.0
    example = torch.zeros(2, 3, 8, 8, dtype=torch.float16)
    nets = Net(0), Net(1)
    for net in nets:
        net.one.weight.data.abs_()
    a, b = (ms.Network(net.half(), example, name) for net, name in zip(nets, "ab"))
    with pytest.raises(NonFiniteError, match=r"sample 4: .* use float32 where float16 overflows"):
        ms.similarity(a, b, data, measures=["cka_minibatch"], layers=(["one"], ["one"]), view="flatten")


def test_finite_numbers_whose_squares_overflow_are_measured():
    data = make_data(40)
    data.dataset("val").tensors[0].mul_(1e25)
    example = torch.zeros(2, 3, 8, 8)
    net = ms.Network(Net(0), example, "a")
    for measure in ("cka_minibatch", "cka_linear_debiased", "cka"):
        (r,) = ms.similarity(net, net, data, measures=[measure], layers=(["one"], ["one"]), view="flatten").similarities
        assert r["value"] == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("measure", ["cka", "cka_linear_debiased", "cka_minibatch", "rsa"])
@pytest.mark.parametrize("level", [0.0, 0.1])
def test_layers_that_never_vary_are_named_and_the_others_measured(measure, level):
    dead = Net(0)
    with torch.no_grad():
        dead.two.weight.zero_()
        dead.two.bias.fill_(level)
    example, data = torch.zeros(2, 3, 8, 8), make_data(40)
    a, b = ms.Network(dead, example, "a"), ms.Network(Net(1), example, "b")
    found = ms.similarity(a, b, data, measures=[measure], layers=(["one", "two"], ["one"]), view="flatten", shuffles=0)
    alive, constant = found.similarities
    assert alive["value"] is not None
    assert constant["value"] is None
    assert "is not defined where nothing varies" in constant["note"]
    assert "two" in constant["note"]
    assert found.frame["value"].to_list()[1] is None
    with pytest.raises(MeasureError, match="nothing varies"):
        ms.similarity(a, b, data, measures=[measure], layers=(["two"], ["one"]), view="flatten", shuffles=0)


def test_a_measure_that_is_not_defined_takes_no_other_with_it(world):
    a, b, data, _, _ = world
    found = ms.similarity(a, b, data, measures=["cka", "cca"], layers=(["head"], ["two"]), samples=10, shuffles=0)
    cka, cca = found.similarities
    assert (
        cka["value"]
        == ms.similarity(a, b, data, measures="cka", layers=(["head"], ["two"]), samples=10).similarities[0]["value"]
    )
    assert cca["value"] is None
    assert "cca_mean_squared" in cca["note"]
    assert cca["note"] in found.notes
    with pytest.raises(MeasureError, match="cca_mean_squared"):
        ms.similarity(a, b, data, measures="cca", layers=(["head"], ["two"]), samples=10)


@pytest.mark.parametrize("offsets", [(0, 0), (0, 100), (100, 0), (1, 100)])
def test_a_large_mean_is_taken_off_whenever_it_comes(offsets):
    taken = _Centred(SimpleNamespace(rows=lambda value, *_, **__: value))
    batches = [torch.randn(64, 500, generator=torch.Generator().manual_seed(i)) + of for i, of in enumerate(offsets)]
    for x in batches:
        given = x.clone()
        made, wide = taken.gram(x, "layer", None), x.double() - x.double().mean(0)
        assert torch.equal(x, given)
        centred = made - made.mean(0) - made.mean(1, keepdim=True) + made.mean()
        assert float((centred - wide @ wide.T).abs().max()) < 1e-3  # 0.05 where a mean of 100 is left


def test_channels_that_are_nearly_equal_are_told_apart():
    """Means over positions lose the digits in which such channels differ, unless they are taken in float64."""
    draw = torch.Generator().manual_seed(0)
    steps = 10 + torch.randn(200, 3, generator=draw)[:, :, None, None] * torch.tensor([1e-3, 1e-2, 1.0])[:, None, None]
    x = (steps + torch.randn(200, 3, 32, 32, generator=draw)).contiguous(memory_format=torch.channels_last)
    rows = Rows.rows(SimpleNamespace(view="pool", places={"l": (None, Kind("map"))}), x, "l", Masked(None))
    assert rows.dtype == x.dtype
    assert float((rows.double() - x.double().mean((2, 3))).abs().max()) < 1e-6


MISTAKES = [
    ({"measures": []}, MeasureError, "No measure was chosen"),
    ({"measures": ["ckaa"]}, MeasureError, "There is no measure 'ckaa': expected one of"),
    ({"view": "mean"}, MeasureError, "The view 'mean' is unknown: expected one of pool, flatten"),
    ({"layers": ("one", "one")}, MeasureError, "The layers must be two lists"),
    ({"layers": ([], ["one"])}, MeasureError, "No layer of 'a' was chosen"),
    ({"layers": (["on"], ["one"])}, UnknownLayerError, "has no layer 'on': did you mean 'one'"),
    ({"samples": 2}, MeasureError, "cka_linear_biased needs at least 3 examples, found 2 in the val split of data"),
    ({"measures": ["mutual_knn"], "samples": 11}, MeasureError, "mutual_knn needs at least 12 examples, found 11"),
    ({"measures": ["cka_minibatch"], "samples": 3}, MeasureError, "at least 4 examples, found 3"),
    (
        {"measures": ["cka_linear_debiased"], "view": "flatten", "available": 1000},
        MeasureError,
        r"Similarities of 'one' by blocks of the Gram matrices .* need .* of memory, found 1\.0 kB available: use "
        r"cka_min",
    ),
    (
        {"measures": ["cca"], "available": 1000},
        MeasureError,
        r"Similarities of 'one' by sums of all layers need .* of memory, found 1\.0 kB available: use view='pool'",
    ),
    ({"layers": (["one"], None)}, MeasureError, "The layers must be two lists"),
    ({"shuffles": -1}, MeasureError, "The number of shuffles must be 0 or more, found -1"),
    (
        {"bottom": nn.Linear(2, 2)},
        NetworkError,
        r"The bottom must be a modelstitch Network, found Linear: make one with",
    ),
    ({"top": None}, NetworkError, "The top must be a modelstitch Network, found NoneType"),
    ({"data": torch.zeros(2)}, MeasureError, "The data must be modelstitch Data, found Tensor: make one with"),
    ({"measures": ["rsa"], "available": 1000}, MeasureError, r"need .* found 1\.0 kB available: use fewer samples"),
]


@pytest.mark.parametrize(("change", "kind", "message"), MISTAKES)
def test_mistakes(world, change, kind, message):
    a, b, data, _, _ = world
    options = {"bottom": a, "top": b, "data": data, "measures": ["cka"], "layers": (["one"], ["one"])} | change
    with pytest.raises(kind, match=message):
        ms.similarity(**options)


@pytest.mark.slow
def test_pictures_and_pages(world, tmp_path):
    a, b, data, below, above = world
    found = ms.similarity(a, b, data, measures=["cka", "r2"], layers=(below, above))
    assert "<svg" in found._repr_html_()
    assert len(found.figure(metrics=["cka"]).axes) == 1
    text = found.report(tmp_path / "page.html", command="made by hand").read_text()
    assert "3 bottom layers by 2 top layers" in text
    assert text.count("<svg") == 1
    assert text.count("<table>") == 3
    assert "made by hand" in text
    assert "null " in text


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".parquet", ".json", ".csv"])
def test_similarities_are_saved_whole_and_opened(world, tmp_path, ending):
    a, b, data, below, above = world
    found = ms.similarity(a, b, data, measures=["cka", "cca"], layers=(below, above), samples=10, shuffles=2)
    path = found.save(tmp_path / f"new/values{ending}")
    if ending == ".json":
        assert unsealed(json.loads(path.read_text()))["similarities"] == found.similarities
    if ending != ".parquet":
        return
    again = ms.open(path)
    assert again.frame.equals(found.frame)
    assert (again.notes, again.weights, repr(again)) == (found.notes, found.weights, repr(found))
    page = again.report(tmp_path / "page.html").read_text()
    assert page == found.report(tmp_path / "other.html").read_text()
    table = pl.read_parquet(path)
    for changed in (table.with_columns(n=pl.lit(11)), table.head(2), table.with_columns(spec=pl.lit("{}"))):
        changed.write_parquet(path)
        with pytest.raises(StudyError, match="its rows are not those of its digest"):
            ms.open(path)


def test_similarities_are_not_pooled(world):
    a, b, data, _, _ = world
    found = ms.similarity(a, b, data, measures=["cka"], layers=(["one"], ["one"]), shuffles=0)
    with pytest.raises(StudyError, match="Similarities are not pooled"):
        found.pooled  # noqa: B018


def test_a_page_shows_layers_without_a_value(tmp_path):
    dead = Net(0)
    with torch.no_grad():
        dead.two.weight.zero_()
    example = torch.zeros(2, 3, 8, 8)
    a, b = ms.Network(dead, example, "a"), ms.Network(Net(1), example, "b")
    found = ms.similarity(a, b, make_data(40), measures=["cka"], layers=(["one", "two"], ["one"]), shuffles=0)
    text = found.report(tmp_path / "page.html").read_text()
    assert "2 bottom layers by 1 top layers" in text
    assert "nothing varies" in text
    assert "–" in text


def test_bright_cells_are_layers_more_alike(world):
    a, b, data, below, above = world
    found = ms.similarity(a, b, data, measures=["cka", "procrustes"], layers=(below, above))
    near, far = (axes.collections[0].cmap.name for axes in found.figure().axes)
    assert (near, far) == ("cividis", "cividis_r")


@pytest.fixture(scope="module")
def family(world):
    a, b, data, *_ = world
    return [a, b, ms.Network(Net(2, 4), torch.zeros(2, 3, 8, 8), "c")], data


ALL = ["cka_linear_debiased", "cka_minibatch", "cca", "procrustes", "r2", "rsa"]
ASKED = {"measures": ALL, "layers": ["one", "two"], "shuffles": 2}
NUMBERS = ("value", "null_mean", "null_low", "p", "score", "p_grid")


@pytest.fixture(scope="module")
def pairwise(family):
    """The rows of every two networks, each pair by itself."""
    networks, data = family
    found = {}
    for bottom in networks:
        for top in networks:
            if bottom is not top:
                rows = ms.similarity(bottom, top, data, **{**ASKED, "layers": (["one", "two"],) * 2}).similarities
                found |= {(r["measure"], bottom.name, r["bottom_layer"], top.name, r["top_layer"]): r for r in rows}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["free", "kept", "blocks"])
def test_a_family_gives_the_values_of_its_pairs(family, pairwise, memory, monkeypatch):
    networks, data = family
    options = dict(ASKED)
    if memory == "kept":
        monkeypatch.setattr("modelstitch.layerwise.plan.Bytes.rows", lambda self, block: block.features)
    if memory == "blocks":
        whole = plan_similarity(networks, data=data, **ASKED)
        options |= {"measures": ALL[:5], "available": max(step.size for step in whole.steps[:2]) * 2 // 3}
    plan = plan_similarity(networks, data=data, **options)
    assert plan.describe().startswith("3 networks, 3 pairs. 210 examples. ")
    by_way = {step.way: step for step in plan.steps}
    assert by_way["sums"].kept == (memory == "kept")
    assert any(len(step.blocks) > 1 for step in plan.steps) == (memory != "free"), plan
    found = ms.similarity(networks, data=data, **options)
    assert found.pairs == [("a", "b"), ("a", "c"), ("b", "c")]
    seen = {}
    for r in found.similarities:
        key = r["measure"], r["bottom"], r["bottom_layer"], r["top"], r["top_layer"]
        seen[key] = seen.get(key, 0) + 1
        same = NUMBERS if memory != "blocks" and (r["bottom"], r["top"]) in found.pairs else NUMBERS[:1]
        assert [r[n] for n in same] == pytest.approx([pairwise[key][n] for n in same], abs=1e-9), key
    assert set(seen.values()) == {1}
    assert len(seen) == 3 * 4 * len(options["measures"]) + 3 * 4  # R2 looks one way


def test_pairs_may_be_named(family, pairwise):
    networks, data = family
    found = ms.similarity(networks, data=data, pairs=[("c", "a"), ("b", "a")], **{**ASKED, "measures": ["r2"]})
    assert found.pairs == [("c", "a"), ("b", "a")]
    for r in found.similarities:
        key = r["measure"], r["bottom"], r["bottom_layer"], r["top"], r["top_layer"]
        assert r["value"] == pytest.approx(pairwise[key]["value"], abs=1e-9)
    assert len(found.similarities) == 8


class Fails(Net):
    """A network whose activations are not finite for some samples."""

    def forward(self, x):
        return super().forward(x / (x[:, :1, :1, :1] > -2))


@pytest.mark.parametrize("measure", ["cka", "cka_minibatch", "cka_linear_debiased", "rsa"])
def test_a_network_that_fails_on_a_batch_is_named_and_the_others_stand(family, measure):
    networks, data = family
    bad = ms.Network(Fails(3), torch.zeros(2, 3, 8, 8), "bad")
    asked = {"measures": [measure], "layers": ["one"], "shuffles": 0, "view": "flatten"}
    found = ms.similarity([networks[0], bad, *networks[1:]], data=data, **asked)
    assert found.pairs == [("a", "b"), ("a", "c"), ("b", "c")]
    (said,) = found.cautions
    assert "The network 'bad' failed on a batch and is left out, with its pairs: The activations of bad@one" in said
    alone = ms.similarity(networks, data=data, **asked)
    assert [r["value"] for r in found.similarities] == [r["value"] for r in alone.similarities]
    with pytest.raises(NonFiniteError, match="The activations of bad@one hold NaN or infinity"):
        ms.similarity([networks[0], bad], data=data, **asked)


def test_a_family_too_large_for_memory_is_told_what_fits(family):
    networks, data = family
    with pytest.raises(MeasureError, match=r"need .* of memory, found 1\.0 kB available: use"):
        ms.similarity(networks, data=data, **ASKED, available=1000)


def test_groups_are_kept_and_checked_before_anything_runs(family, tmp_path):
    networks, data = family
    asked = {"measures": ["cka"], "layers": ["one"], "shuffles": 0}
    with pytest.raises(MeasureError, match="groups= does not cover b, c"):
        ms.similarity(networks, data=data, groups={"a": "x"}, **asked)
    found = ms.similarity(networks, data=data, groups={"a": "x", "b": "y", "c": "y"}, **asked)
    turned = ms.similarity(networks[::-1], data=data, groups={"a": "x", "b": "y", "c": "y"}, **asked)
    assert ms.open(turned.save(tmp_path / "turned.parquet")).family().names == ("c", "b", "a")  # in the order given
    kin = ms.open(found.save(tmp_path / "r.parquet")).family()
    assert kin.groups == {"a": "x", "b": "y", "c": "y"}
    assert found.family({"a": "y", "b": "y", "c": "x"}).groups["c"] == "x"
    assert found.figure().axes[0].get_title(loc="left") == "cka_linear_biased, all layers"
    assert len(found.figure("matrix", pair=("a", "c")).axes) == 1


@pytest.mark.slow
def test_penalties_stand_beside_similarities(family):
    networks, data = family
    stitched = ms.compare(networks, data=data, layers=["one", "two"], objective="match", controls=(), steps=1)
    alike = ms.similarity(networks, data=data, measures=["cka"], layers=["one", "two"], shuffles=0)
    kin = stitched.family({"a": "x", "b": "y", "c": "y"}, similarities=alike)
    assert list(kin.measures) == ["penalty", "r2", "cka_linear_biased"]
    assert kin.separation.filter(layer="all layers").height == 3
    table = stitched.frame.filter(metric="penalty", bottom="a", top="b", top_layer="one")["value"]
    back = stitched.frame.filter(metric="penalty", bottom="b", top="a", top_layer="one")["value"]
    assert kin.values["penalty"][0, 1, 0] == pytest.approx((table[0] + back[0]) / 2)
    other = ms.similarity([*networks[:2], networks[2].named("d")], data=data, measures=["cka"], layers=["one"])
    with pytest.raises(MeasureError, match="must be of its networks, a, b, c, found a, b, d"):
        stitched.family(similarities=other)
    elsewhere = ms.similarity(networks, data=make_data(60), measures=["cka"], layers=["one"], shuffles=0)
    with pytest.raises(MeasureError, match="must be of its data"):
        stitched.family(similarities=elsewhere)
