"""Sums under shuffled pairings: nothing common is left, passes add up, memory is counted."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelstitch.errors import MeasureError
from modelstitch.moments.grid import MomentsGrid
from modelstitch.moments.null import NullGrid, derangement
from modelstitch.moments.spread import SpreadGrid
from modelstitch.support.footprint import Footprint

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


@pytest.mark.parametrize("parts", [[90], [30, 30, 30]])
def test_null_sums_leave_out_what_batches_have_in_common(parts):
    draw, shift = torch.Generator().manual_seed(0), 100 * (torch.arange(90) // 30)[:, None]
    rows = {name: torch.randn(90, width, generator=draw) + shift for name, width in (BELOW | ABOVE).items()}
    grid = NullGrid(BELOW, ABOVE, shuffles=20)
    for some in torch.arange(90).split(parts):
        grid.take({name: rows[name][some] for name in BELOW}, {name: rows[name][some] for name in ABOVE})
    moments = grid.pair("b", "c")
    scale = moments.xx.diagonal().outer(moments.yy.diagonal()).sqrt()
    nulls = torch.stack([grid.null("b", "c", k).xy / scale for k in range(20)])
    assert float(nulls.mean(0).abs().max()) < 0.1
    assert float((moments.xy / scale).min()) > 0.99


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


def test_a_file_of_sums_is_no_grid_of_another_kind(tmp_path):
    grid = SpreadGrid({"x": 3}, {"y": 2}, spread=None)
    grid.save(tmp_path / "sums")
    for kind in (SpreadGrid, NullGrid):
        with pytest.raises(
            MeasureError, match=f"A {kind.__name__} keeps more than a file of sums holds: read the file with"
        ):
            kind.load(tmp_path / "sums")


@given(st.integers(0, 60), st.integers(0, 2**40))
def test_nothing_keeps_its_place_and_nothing_is_lost(n, seed):
    order = derangement(n, torch.Generator().manual_seed(seed))
    assert sorted(order.tolist()) == list(range(n))
    assert n < 2 or not bool((order == torch.arange(n)).any())


def test_what_batches_have_in_common_is_no_product_by_itself():
    x, y = (torch.randn(8, 300, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    taken = []
    for shuffles in (0, 5):
        grid = NullGrid({"a": 300}, {"b": 300}, shuffles=shuffles)
        with Footprint() as held:
            grid.update({"a": x}, {"b": y})
        taken.append(held.most)
    assert taken[1] < taken[0] + 3 * y.double().nbytes  # rows in another order
