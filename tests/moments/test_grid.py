"""One pass over all layers equals the moments pair by pair, merges, resumes, and keeps its memory."""

from __future__ import annotations

import subprocess
import sys
from itertools import product

import pytest
import torch

from modelstitch.engine.fit.closed import _spread
from modelstitch.errors import MeasureError, NonFiniteError, StudyError
from modelstitch.moments.grid import MomentsGrid, NullGrid, Side, SpreadGrid
from modelstitch.moments.moments import Moments
from modelstitch.stitchers import Adapter, Layout
from modelstitch.stitchers import rows as rows_of

BOTTOM, TOP = {"stem": 3, "layer1.0": 5, "layer2": 4}, {"blocks.0": 6, "head": 2}
PAIRS = list(product(BOTTOM, TOP))
SUMS = ("mean_x", "mean_y", "xx", "yy", "xy")


def activations(rows=90, offset=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        {name: torch.randn(rows, width, generator=generator) + offset for name, width in layers.items()}
        for layers in (BOTTOM, TOP)
    ]


def take(side, rows):
    return {name: value[rows] for name, value in side.items()}


def collect(x, y, batches, **settings):
    grid = MomentsGrid(BOTTOM, TOP, **settings)
    for rows in batches:
        grid.update(take(x, rows), take(y, rows))
    return grid


def assert_equal(a, b, tolerance):
    assert a.n == b.n
    for name in SUMS:
        torch.testing.assert_close(getattr(a, name).double(), getattr(b, name).double(), atol=tolerance, rtol=tolerance)


UNEVEN = torch.arange(90).split([1, 40, 7, 42])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-4)])
@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_every_pair_equals_its_own_moments(a, b, offset, dtype, tolerance):
    x, y = activations(offset=offset)
    grid = collect(x, y, UNEVEN, dtype=dtype)
    assert grid.pair(a, b).xy.dtype == dtype
    assert_equal(grid.pair(a, b), Moments.of(x[a], y[b]), tolerance)


@pytest.mark.parametrize("split", [0, 1, 45, 89])
def test_two_halves_equal_the_whole(split):
    x, y = activations(offset=100.0)
    first, second = collect(x, y, [torch.arange(split)]), collect(x, y, [torch.arange(split, 90)])
    whole = collect(x, y, [torch.arange(90)])
    before = first.xy.clone()
    total = first + second
    assert torch.equal(before, first.xy)
    for a, b in PAIRS:
        assert_equal(total.pair(a, b), whole.pair(a, b), 1e-9)


def test_a_saved_pass_is_taken_up_where_it_stopped(tmp_path):
    x, y = activations()
    path = tmp_path / "grid.safetensors"
    collect(x, y, UNEVEN[:2]).save(path)
    resumed = MomentsGrid.load(path)
    assert resumed.n == 41
    for rows in torch.arange(90)[resumed.n :].split([7, 42]):
        resumed.update(take(x, rows), take(y, rows))
    whole = collect(x, y, UNEVEN)
    for a, b in PAIRS:
        assert_equal(resumed.pair(a, b), whole.pair(a, b), 0.0)
    assert list(resumed.bottom_layers.items()) == list(BOTTOM.items())
    assert [file.name for file in tmp_path.iterdir()] == ["grid.safetensors"]


def test_float32_comes_back_as_float32(tmp_path):
    x, y = activations()
    collect(x, y, UNEVEN, dtype=torch.float32).save(tmp_path / "grid")
    assert MomentsGrid.load(tmp_path / "grid").dtype == torch.float32


def test_a_killed_save_leaves_the_old_file(tmp_path, monkeypatch):
    x, y = activations()
    collect(x, y, UNEVEN[:1]).save(tmp_path / "grid")

    def killed(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr("modelstitch.support.tensors.save_file", killed)
    with pytest.raises(StudyError, match="no space left"):
        collect(x, y, UNEVEN).save(tmp_path / "grid")
    assert MomentsGrid.load(tmp_path / "grid").n == 1


def test_bytes_are_known_beforehand():
    grid = MomentsGrid(BOTTOM, TOP)
    held = sum(tensor.untyped_storage().nbytes() for tensor in grid.tensors().values())
    assert MomentsGrid.bytes_needed(BOTTOM, TOP) == held
    assert MomentsGrid.bytes_needed({"a": 1000}, {"b": 2000}, torch.float32) == 4 * (2 + 1 + 4) * 10**6 + 24_000


WIDE = {f"layer{i}": 2048 for i in range(40)}
MISTAKES = [
    (
        lambda: MomentsGrid(WIDE, WIDE, available=10**9),
        r"The moments of 40 x 40 layers need 56\.4 GB of memory, found 1\.0 GB available: choose fewer",
    ),
    (lambda: MomentsGrid({}, TOP), "at least one bottom layer, each with a channel, found"),
    (
        lambda: MomentsGrid(BOTTOM, {"head": 0}),
        "at least one top layer, each with a channel, found {'head': 0}",
    ),
    (lambda: MomentsGrid(BOTTOM, TOP, dtype=torch.float16), r"float64 or float32, found torch\.float16"),
    (
        lambda: MomentsGrid(BOTTOM, TOP).pair("layer9", "head"),
        "no bottom layer 'layer9': expected one of stem, ",
    ),
    (
        lambda: MomentsGrid(BOTTOM, TOP).pair("stem", "stem"),
        r"no top layer 'stem': expected one of blocks\.0, ",
    ),
    (lambda: MomentsGrid(BOTTOM, TOP) + MomentsGrid(TOP, TOP), "Moments of different layers cannot be added"),
    (lambda: MomentsGrid.load("nowhere.safetensors"), r"nowhere\.safetensors holds no grid of moments"),
]


@pytest.mark.parametrize(("call", "message"), MISTAKES)
def test_mistakes(call, message):
    with pytest.raises(MeasureError, match=message):
        call()


def test_the_moments_of_a_pair_are_not_a_grid(tmp_path):
    x, y = activations()
    Moments.of(x["stem"], y["head"]).save(tmp_path / "pair")
    with pytest.raises(MeasureError, match=r"holds no grid of moments .* expected a file that save wrote"):
        MomentsGrid.load(tmp_path / "pair")


def missing(x, y):
    del y["head"]


def wide(x, y):
    x["stem"] = x["stem"][:, :2]


def uneven(x, y):
    y["head"] = y["head"][:-1]


def broken(x, y):
    x["layer1.0"][17, 2] = float("nan")


def arrays(x, y):
    x["stem"] = x["stem"].numpy()


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (arrays, MeasureError, r"The bottom layer stem must come as a tensor, found ndarray: try torch\.as_tensor"),
        (missing, MeasureError, r"every top layer of the grid: expected blocks\.0, head, found blocks\.0"),
        (wide, MeasureError, r"The bottom layer stem .* expected shape \(90, 3\), found \(90, 2\)"),
        (uneven, MeasureError, r"The top layer head .* expected shape \(90, 2\), found \(89, 2\)"),
        (
            broken,
            NonFiniteError,
            r"The bottom activations at layer1\.0 hold NaN or infinity, first in row 17",
        ),
    ],
)
def test_a_bad_batch_is_refused_and_leaves_the_sums(spoil, kind, message):
    x, y = activations()
    grid = collect(x, y, UNEVEN)
    before = {name: tensor.clone() for name, tensor in grid.tensors().items()}
    spoil(x, y)
    with pytest.raises(kind, match=message):
        grid.update(x, y)
    assert grid.n == 90
    assert all(torch.equal(before[name], tensor) for name, tensor in grid.tensors().items())


MEMORY = """
import resource, torch
from modelstitch.moments.grid import MomentsGrid
from modelstitch.moments.grid import NullGrid
torch.set_num_threads(1)
layers = {f"layer{i}": 64 for i in range(8)}
grid = MomentsGrid(layers, layers)
def feed(batches):
    for _ in range(batches):
        grid.update(*({name: torch.randn(256, width) for name, width in layers.items()} for _ in range(2)))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
once = feed(20)
print(once, feed(180), grid.n)
"""


@pytest.mark.slow
def test_ten_times_the_data_take_no_more_memory():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    once, tenfold, n = map(int, done.stdout.split())
    assert n == 200 * 256
    # The peak in kilobytes. The 180 further batches hold 370 MB.
    assert tenfold - once < 20_000


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("moving", [0.0, 5.0])
def test_parts_of_a_batch_are_the_batch(offset, moving, tmp_path):
    """Whoever reads the sums settles what waits: a pair, a file, another grid."""
    x, y = activations(offset=offset)
    for side in (x, y):  # the mean moves from part to part
        for name in side:
            side[name] += moving * (torch.arange(90) // 30)[:, None]
    grid = MomentsGrid(BOTTOM, TOP)
    grid.update(take(x, UNEVEN[0]), take(y, UNEVEN[0]))
    for rows in UNEVEN[1:]:
        grid.take(take(x, rows), take(y, rows))
    grid.save(tmp_path / "grid")
    empty = MomentsGrid(BOTTOM, TOP)
    for found in (grid, MomentsGrid.load(tmp_path / "grid"), grid + empty):
        for a, b in PAIRS:
            assert_equal(found.pair(a, b), Moments.of(x[a], y[b]), 1e-9)
    taken = MomentsGrid(BOTTOM, TOP)
    taken.take(x, y)
    empty.merge(taken)
    assert empty.pair("stem", "head").n == 90


def test_integers_beside_floats_keep_their_digits():
    x, y = activations()
    x["stem"] = 2**40 + torch.arange(270).view(90, 3)
    found = collect(x, y, UNEVEN).pair("stem", "head")
    assert_equal(found, Moments.of(x["stem"], y["head"]), 1e-9)


@pytest.mark.parametrize("parts", [[90], [30, 30, 30]])
def test_null_sums_leave_out_what_batches_have_in_common(parts):
    x, y = activations()
    for side in (x, y):
        for name in side:
            side[name] += 100 * (torch.arange(90) // 30)[:, None]
    grid = NullGrid(BOTTOM, TOP, shuffles=20)
    for rows in torch.arange(90).split(parts):
        grid.take(take(x, rows), take(y, rows))
    moments = grid.pair("stem", "head")
    scale = moments.xx.diagonal().outer(moments.yy.diagonal()).sqrt()
    nulls = torch.stack([grid.null("stem", "head", k).xy / scale for k in range(20)])
    assert float(nulls.mean(0).abs().max()) < 0.1
    assert float((moments.xy / scale).min()) > 0.99


CPU = torch.device("cpu")


def side(dtype=torch.float64):
    return Side("bottom", {"a": 2, "b": 3}, dtype, CPU)


def test_layers_lie_side_by_side_less_the_base():
    one = side()
    a, b = torch.randn(4, 2) + 5, torch.randn(4, 3)
    joined, found = one.centre({"b": b, "a": a}, 4, None)
    both = torch.cat([a, b], 1).double()
    assert torch.allclose(joined, both - one.base)
    assert torch.allclose(one.base, both.mean(0))
    assert torch.allclose(found, (both - one.base).sum(0))
    assert one.slices == {"a": slice(0, 2), "b": slice(2, 5)}


def test_the_mean_is_that_of_all_rows_whenever_they_come():
    one = side()
    parts = [torch.randn(n, 5, generator=torch.Generator().manual_seed(n)) + n for n in (3, 7, 1)]
    for x in parts:
        _, found = one.centre({"a": x[:, :2], "b": x[:, 2:]}, len(x), None)
        one.add(found, len(x))
    assert one.waiting == 11
    assert torch.allclose(one.close(), torch.cat(parts).double().mean(0))
    assert torch.allclose(one.close(), torch.cat(parts).double().mean(0))
    assert one.waiting == 0


def test_weighted_rows_are_summed_with_their_weights():
    one, x = side(), torch.randn(4, 5)
    weights = torch.tensor([1.0, 0.0, 2.0, 3.0])
    _, found = one.centre({"a": x[:, :2], "b": x[:, 2:]}, 4, torch.zeros(5), weights)
    assert torch.allclose(found, (x.double() * weights[:, None]).sum(0))


A, B = torch.zeros(4, 2), torch.zeros(4, 3)
ROWS_AT_FAULT = {
    "one is missing": ({"a": A}, "A batch must hold every bottom layer of the grid: expected a, b, found a"),
    "one is unknown": ({"a": A, "b": B, "c": B}, "expected a, b, found a, b, c"),
    "another width": (
        {"a": A, "b": A},
        r"The bottom layer b must come as rows of 3 channels.*expected shape \(4, 3\), found \(4, 2\)",
    ),
    "other rows": ({"a": A, "b": B[:3]}, r"found \(3, 3\)"),
    "no tensor": ({"a": A, "b": B.tolist()}, "must come as a tensor, found list: try torch.as_tensor"),
}


@pytest.mark.parametrize("case", ROWS_AT_FAULT)
def test_batches_of_another_form(case):
    given, words = ROWS_AT_FAULT[case]
    with pytest.raises(MeasureError, match=words):
        side().centre(given, 4, None)


def test_the_layer_and_the_row_of_a_nan_are_named():
    b = B.clone()
    b[2, 1] = float("nan")
    with pytest.raises(NonFiniteError, match="The bottom activations at b hold NaN or infinity, first in row 2"):
        side().centre({"a": A, "b": b}, 4, None)


def test_a_sum_that_overflows_is_told_apart():
    large = torch.full((4, 2), 2e38)
    with pytest.raises(
        NonFiniteError, match="The sum of the bottom activations overflows: rescale them, or use sums in float64"
    ):
        side(torch.float32).centre({"a": large, "b": B}, 4, torch.zeros(5))


BELOW, ABOVE = {"a": 2, "b": 3}, {"c": 2}


def batches(n=5, rows=400):
    draw = torch.Generator().manual_seed(0)
    for _ in range(n):
        x = torch.randn(rows, 5, generator=draw) + 2
        yield {"a": x[:, :2], "b": x[:, 2:]}, {"c": x[:, :2] * 3 + 1}


def filled(shuffles, seed=0):
    grid = NullGrid(BELOW, ABOVE, shuffles=shuffles, seed=seed)
    for below, above in batches():
        grid.update(below, above)
    return grid


def test_the_sums_themselves_are_those_of_a_plain_grid():
    plain = MomentsGrid(BELOW, ABOVE)
    for below, above in batches():
        plain.update(below, above)
    found, wanted = filled(2).pair("b", "c"), plain.pair("b", "c")
    assert torch.equal(found.xy, wanted.xy)
    assert found.n == wanted.n == 2000


def test_a_wrong_pairing_leaves_no_correlation():
    grid = filled(4)
    right, wrong = grid.pair("a", "c"), grid.null("a", "c", 2)
    assert torch.equal(wrong.xx, right.xx)
    assert torch.equal(wrong.yy, right.yy)
    scale = (right.xx.diagonal()[:, None] * right.yy.diagonal()).sqrt()
    assert float((right.xy / scale).diagonal().min()) > 0.99
    assert float((wrong.xy / scale).abs().max()) < 0.1  # a few standard deviations of 1 / sqrt(2000)


def test_pairings_differ_and_the_seed_decides():
    one, same, other = filled(2), filled(2), filled(2, seed=1)
    assert torch.equal(one.shuffled, same.shuffled)
    assert not torch.equal(one.shuffled[0], one.shuffled[1])
    assert not torch.equal(one.shuffled, other.shuffled)


def test_two_passes_are_added():
    whole, half = filled(2), filled(2)
    half.merge(filled(2))
    assert half.n == 2 * whole.n
    assert torch.allclose(half.shuffled, 2 * whole.shuffled)


def test_passes_of_other_shuffles_are_not():
    for other in (filled(3), MomentsGrid(BELOW, ABOVE)):
        with pytest.raises(
            MeasureError, match=r"A null level of 2 shuffles cannot take up one of .: use as many in both"
        ):
            filled(2).merge(other)


def test_memory_is_counted_with_the_shuffles():
    assert filled(3).needed() - filled(0).needed() == 3 * 8 * 5 * 2


# name: (kind and shape of the bottom, of the top)
STEPS = {
    "map, twice the size": (("map", (3, 4, 4)), ("map", (2, 8, 8))),
    "map, uneven": (("map", (3, 3, 5)), ("map", (2, 7, 6))),
    "vector to map": (("vector", (3,)), ("map", (2, 4, 4))),
    "tokens to map": (("tokens", (5, 3)), ("map", (2, 6, 6))),
    "map to tokens with a prefix": (("map", (3, 2, 2)), ("tokens", (17, 2))),
    "along a line": (("sequence", (3, 4), "line"), ("tokens", (7, 2), "line")),
    "grid to map": (("grid", (2, 2, 3)), ("map", (2, 4, 6))),
}


def spread_batches(source, target, offset):
    generator = torch.Generator().manual_seed(0)
    for n in (4, 1, 7):
        yield tuple(torch.randn(n, *shape, generator=generator).double() + offset for _, shape, *_ in (source, target))


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("name", STEPS)
def test_sums_equal_those_of_enlarged_rows(name, offset):
    source, target = STEPS[name]
    adapter = Adapter(Layout(*source), Layout(*target))
    spread = _spread(adapter, target[0])
    assert spread.matrix.sum(1) == pytest.approx(1, abs=1e-6)
    first = SpreadGrid({"x": 3}, {"y": 2}, spread=None)
    grid = SpreadGrid({"x": 3}, {"y": 2}, spread=spread, beside=first)
    whole = Moments.empty(3, 2)
    for x, y in spread_batches(source, target, offset):
        large, y = rows_of(adapter(x), target[0]), rows_of(y, target[0])
        first.update({"x": large}, {"y": y})
        grid.update({"x": rows_of(x, source[0])}, {"y": y})
        whole.update(large, y)
    for found in (first.pair("x", "y"), grid.pair("x", "y")):
        assert found.n == whole.n
        for part in ("mean_x", "mean_y", "xx", "yy", "xy"):
            torch.testing.assert_close(getattr(found, part), getattr(whole, part), rtol=1e-6, atol=1e-6 * whole.n)


def test_halves_of_neighbours_equal_their_wholes():
    source, target = STEPS["map, twice the size"]
    adapter = Adapter(Layout(*source), Layout(*target))
    spread = _spread(adapter, target[0])

    def collect(part):
        first = SpreadGrid({"x": 3}, {"y": 2}, spread=None)
        grid = SpreadGrid({"x": 3}, {"y": 2}, spread=spread, beside=first)
        for x, y in part:
            above = {"y": rows_of(y, target[0])}
            first.update({"x": rows_of(adapter(x), target[0])}, above)
            grid.update({"x": rows_of(x, source[0])}, above)
        return first, grid

    given = list(spread_batches(source, target, 10.0))
    whole, one, other = collect(given), collect(given[:1]), collect(given[1:])
    for mine, others, wanted in zip(one, other, whole):
        mine.merge(others)
        for part in ("mean_x", "mean_y", "xx", "yy", "xy"):
            torch.testing.assert_close(getattr(mine.pair("x", "y"), part), getattr(wanted.pair("x", "y"), part))


def test_mistakes_of_a_step_between_positions():
    source, target = STEPS["map, twice the size"]
    spread = _spread(Adapter(Layout(*source), Layout(*target)), "map")
    grid = SpreadGrid({"x": 3}, {"y": 2}, spread=spread)
    with pytest.raises(MeasureError, match="whole examples of 16 positions, found 15 rows"):
        grid.update({"x": torch.zeros(15, 3)}, {"y": torch.zeros(64, 2)})
    with pytest.raises(MeasureError, match=r"The top layer y .* expected shape \(64, 2\), found \(60, 2\)"):
        grid.update({"x": torch.zeros(16, 3)}, {"y": torch.zeros(60, 2)})
    bad = torch.zeros(16, 3)
    bad[2] = float("nan")
    with pytest.raises(NonFiniteError, match="The bottom activations at x hold NaN or infinity, first in row 2"):
        grid.update({"x": bad}, {"y": torch.zeros(64, 2)})
    assert grid.n == 0


def test_a_file_of_sums_is_no_grid_of_another_kind(tmp_path):
    grid = SpreadGrid({"x": 3}, {"y": 2}, spread=None)
    grid.save(tmp_path / "sums")
    for kind in (SpreadGrid, NullGrid):
        with pytest.raises(
            MeasureError, match=f"A {kind.__name__} keeps more than a file of sums holds: read the file with"
        ):
            kind.load(tmp_path / "sums")


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_one_set_of_layers_has_the_sums_of_every_two(offset, tmp_path):
    generator = torch.Generator().manual_seed(3)
    widths = {"a": 3, "b": 5, "c": 2}
    rows = {name: torch.randn(90, n, generator=generator, dtype=torch.float64) + offset for name, n in widths.items()}
    whole, half, rest = (MomentsGrid(widths, None) for _ in range(3))
    for part in range(0, 90, 30):
        some = {name: x[part : part + 30] for name, x in rows.items()}
        whole.update(some, {})
        (half if part < 60 else rest).update(some, {})
    half.save(tmp_path / "half")
    for grid in (whole, MomentsGrid.load(tmp_path / "half") + rest):
        assert (grid.one_set, grid.n) == (True, 90)
        for one in widths:
            for other in widths:
                assert_equal(grid.pair(one, other), Moments.of(rows[one], rows[other]), 1e-9)
    assert whole.needed() == 8 * (10**2 + 10) == MomentsGrid.bytes_needed(widths, None)
    with pytest.raises(MeasureError, match="Moments of different layers cannot be added"):
        whole.merge(MomentsGrid(widths, widths))


def test_what_is_known_of_a_side_is_shared_until_more_rows_come():
    widths = {"a": 2, "b": 2}
    grid, x = MomentsGrid(widths, None), torch.randn(9, 2, dtype=torch.float64)
    grid.update({"a": x, "b": x + 1}, {})
    grid.pair("a", "b").known[1]["seen"] = 1
    assert grid.pair("b", "a").known[0] == {"seen": 1}
    grid.update({"a": x, "b": x + 1}, {})
    assert grid.pair("b", "a").known[0] == {}
