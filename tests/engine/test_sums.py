"""The sums of bottom layers with top layers at the top's positions equal those of rows put together by hand."""

import pytest
import torch

from modelstitch.engine.sums import all_positions, draw, group_by_positions
from modelstitch.errors import StitchError
from modelstitch.moments.moments import Moments
from modelstitch.stitchers import adapter_between, rows

CPU = torch.device("cpu")
BOTTOMS, TOPS = ["block1", "block3"], ["block2", "block3"]


@pytest.mark.parametrize("whole", [True, False])
def test_every_pair_of_layers(pair, digits, whole):
    bottom, top = pair
    groups = group_by_positions(bottom, top, BOTTOMS, TOPS)
    for group in groups:
        group.reserve(bottom, top, whole=whole, dtype=torch.float64, device=CPU)
    parts = []
    with torch.no_grad():
        for batch in digits.subset(90).batches("fit", 40):
            below, above = bottom.taps(BOTTOMS)(batch.inputs), top.taps(TOPS)(batch.inputs)
            for group in groups:
                group.add(below, above, None, None)
            parts.append((below, above))
    for group in groups:
        for b in BOTTOMS:
            for t in group.tops:
                adapter = adapter_between(bottom.layer(b), top.layer(t))
                x = torch.cat([rows(adapter(below[b]), group.kind) for below, _ in parts]).double()
                y = torch.cat([rows(above[t], group.kind) for _, above in parts]).double()
                found, wanted = group.pair(b, t), Moments.of(x, y)
                assert found.n == wanted.n
                for name in ("mean_x", "mean_y", "xx", "yy", "xy"):
                    mine, theirs = getattr(found, name), getattr(wanted, name)
                    assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max())), (b, t, name)


def test_tops_of_the_same_positions_share_a_group(pair):
    bottom, top = pair
    groups = group_by_positions(bottom, top, BOTTOMS, ["stem", "block1", "block2", "block3"])
    shapes = [{top.layer(t).positions for t in group.tops} for group in groups]
    assert all(len(found) == 1 for found in shapes)
    assert sorted(t for group in groups for t in group.tops) == ["block1", "block2", "block3", "stem"]


@pytest.mark.parametrize("masked", [False, True])
def test_positions_are_drawn_anew_of_each_example_and_none_of_padding(masked):
    mask = torch.arange(6) < torch.tensor([[6], [4], [1]]) if masked else None
    kept = draw(6, 3, 2, torch.Generator().manual_seed(0), mask)
    of = kept // 6
    assert of.bincount(minlength=3).tolist() == ([2, 2, 1] if masked else [2, 2, 2])
    assert len(set(kept.tolist())) == len(kept)
    if masked:
        assert bool(mask.flatten()[kept].all())


def test_all_positions_need_no_draw():
    assert draw(6, 3, None, torch.Generator()) is None
    assert draw(6, 3, 9, torch.Generator()) is None
    mask = torch.tensor([[True, False], [True, True]])
    assert draw(2, 2, None, torch.Generator(), mask).tolist() == [0, 2, 3]
    with pytest.raises(StitchError, match="positions must be 1 or more, found 0"):
        draw(6, 3, 0, torch.Generator())


def test_whether_every_position_counts(digits):
    assert all_positions(digits, None)
    assert not all_positions(digits, 4)
