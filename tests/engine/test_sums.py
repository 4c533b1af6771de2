"""Which rows of a batch are summed."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from modelstitch.engine.sums import Group, all_positions, draw
from modelstitch.moments.moments import Moments
from modelstitch.stitchers import Layout, adapter_between


def test_positions_are_drawn_anew_of_each_example():
    kept = draw(9, 5, 3, torch.Generator().manual_seed(0))
    assert len(kept) == 15
    assert [int(k) // 9 for k in kept] == [i for i in range(5) for _ in range(3)]
    assert len(set(kept.tolist())) == 15
    assert draw(9, 5, None, torch.Generator()) is None
    assert draw(9, 5, 9, torch.Generator()) is None


def test_no_padding_is_drawn():
    mask = torch.arange(6) < torch.tensor([2, 6, 4])[:, None]
    for positions in (1, 3, 6, None):
        kept = draw(6, 3, positions, torch.Generator().manual_seed(1), mask)
        assert bool(mask.flatten()[kept].all())
        assert len(kept) == sum(min(n, positions or 6) for n in (2, 6, 4))


def test_drawn_or_padded_positions_are_not_all():
    def data(inputs):
        return SimpleNamespace(mask="attention_mask", batches=lambda *_: iter([SimpleNamespace(inputs=inputs)]))

    assert all_positions(data(torch.zeros(1)), None)
    assert not all_positions(data(torch.zeros(1)), 4)
    assert not all_positions(data({"attention_mask": torch.ones(1)}), None)


@pytest.mark.parametrize("whole", [True, False])
def test_a_bottom_with_fewer_positions_gives_the_sums_of_the_adapted(whole):
    torch.manual_seed(0)
    below, above = torch.randn(6, 3, 2, 2), torch.randn(6, 4, 5, 5)
    small, large = Layout("map", (3, 2, 2)), Layout("map", (4, 5, 5))

    def layer(layout, channels):
        positions = layout.shape[1:]
        return SimpleNamespace(
            kind="map", shape=layout.shape, channels=channels, positions=positions, over="image", grid=positions
        )

    sides = [SimpleNamespace(layer=partial(lambda found, _: found, layer(at, c))) for at, c in ((small, 3), (large, 4))]
    adapter = adapter_between(sides[0].layer("b"), sides[1].layer("t"))
    group = Group("map", ["t"], {"b": adapter})
    group.reserve(*sides, whole=whole, dtype=torch.float64, device=torch.device("cpu"))
    for part in torch.arange(6).split(4):
        group.add({"b": below[part]}, {"t": above[part]}, None, None)
    x, y = (v.movedim(1, -1).flatten(0, 2) for v in (adapter(below), above))
    wanted, found = Moments.of(x, y), group.pair("b", "t")
    for name in ("xx", "yy", "xy", "mean_x"):
        assert torch.allclose(getattr(found, name), getattr(wanted, name), atol=1e-4), name
    assert found.n == wanted.n == 150
