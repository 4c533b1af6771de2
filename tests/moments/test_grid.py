"""One pass over all layers equals the moments pair by pair, merges, resumes, and keeps its memory."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from modelstitch.errors import MeasureError, NonFiniteError, StudyError
from modelstitch.moments.grid import MomentsGrid, Side
from modelstitch.moments.moments import Moments
from others import told

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
def test_ten_times_the_data_take_no_more_memory(tmp_path):
    once, tenfold, n = map(int, told(MEMORY, folder=tmp_path).split())
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


CPU = torch.device("cpu")
A, B = torch.zeros(4, 2), torch.zeros(4, 3)


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
