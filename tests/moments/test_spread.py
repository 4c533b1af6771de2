"""Sums at unlike positions equal those of enlarged rows."""

from __future__ import annotations

import pytest
import torch

from modelstitch.engine.fit.closed import _spread
from modelstitch.errors import MeasureError, NonFiniteError
from modelstitch.moments.moments import Moments
from modelstitch.moments.spread import SpreadGrid
from modelstitch.stitchers import Adapter, Layout
from modelstitch.stitchers import rows as rows_of

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
