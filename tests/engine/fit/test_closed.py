"""Which seams are summed together, and what is not finite takes none beside it along."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import modelstitch as ms
from modelstitch.engine.fit.closed import SumGroup, all_positions, collect, draw, grouped, solve
from modelstitch.engine.fit.options import FitSpec
from modelstitch.engine.senders import NetworkSender
from modelstitch.engine.sweep import Sweep, open_stream
from modelstitch.moments.moments import Moments
from modelstitch.stitchers import Affine, Layout, adapter_between, rows
from modelstitch.support.resume import Unfinished


class Net(nn.Module):
    """Three maps of unlike sizes."""

    def __init__(self, bad=False):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 5, 3, padding=1)
        self.three, self.head, self.bad = nn.Conv2d(5, 4, 2, stride=2), nn.Linear(64, 10), bad

    def forward(self, x):
        x = self.one(x).relu()
        x = self.two(x * 1e30 * 1e30 if self.bad else x)
        return self.head(self.three(x.clamp(-9, 9)).flatten(1))


def sweep_of(seams, bad=False, **fit):
    torch.manual_seed(0)
    data, example = ms.load_data("digits", limit=300), torch.rand(2, 1, 8, 8)
    bottom, top = ms.Network(Net(), example, "a"), ms.Network(Net(), example, "b")
    if bad:
        bottom.module.two.weight.data.fill_(float("inf"))
    spec = FitSpec(batch_size=64, augment=False, **fit)
    sweep = Sweep(NetworkSender(bottom), top, data, spec, torch.device("cpu"))
    streams = [
        open_stream(
            seam,
            sweep.sender,
            top,
            *seam,
            family=Affine,
            options={},
            objective="match",
            init="closed",
            later=(),
            device=sweep.device,
        )
        for seam in seams
    ]
    return streams, sweep


EVERY = [(b, t) for b in ("one", "two", "three") for t in ("one", "two", "three")]
GROUPED = {
    "all": (EVERY, [(("one", "two", "three"), ("one", "two")), (("one", "two", "three"), ("three",))]),
    "matching": ([("one", "one"), ("two", "two")], [(("one",), ("one",)), (("two",), ("two",))]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GROUPED)
def test_seams_are_summed_together_where_that_takes_fewer_products(name):
    seams, wanted = GROUPED[name]
    streams, sweep = sweep_of(seams)
    blocks = grouped({(s.seam, None): [s] for s in streams}, sweep.top)
    assert [(tuple(b.group.adapters), tuple(b.group.tops)) for b in blocks] == wanted
    assert sum(len(b.keys) for b in blocks) == len(seams)


@pytest.mark.slow
@pytest.mark.parametrize("fit", [{}, {"sums": "float32"}])
def test_sums_are_those_of_the_activations(fit):
    streams, sweep = sweep_of(EVERY, **fit)
    collect(streams, sweep)
    x = sweep.data.dataset("fit").inputs
    below, above = (n.taps(["one", "two", "three"])(x) for n in (sweep.sender.network, sweep.top))
    for stream in streams:
        b, t = stream.seam
        own = Moments.of(rows(stream.adapter(below[b]), "map").detach(), rows(above[t], "map").detach())
        near = 1e-4 if fit else 1e-6
        assert stream.moments.n == own.n
        assert torch.allclose(stream.moments.xy.double(), own.xy, rtol=near, atol=near * float(own.xy.abs().max()))


@pytest.mark.slow
def test_a_bottom_that_is_not_finite_takes_no_other_along():
    streams, sweep = sweep_of(EVERY, bad=True)
    collect(streams, sweep)
    assert [s.bottom_layer for s in streams if s.failed] == ["two"] * 3 + ["three"] * 3
    assert all("a@" in s.failed and "NaN or infinity" in s.failed for s in streams if s.failed)
    assert all(s.moments is not None for s in streams if not s.failed)


CPU = torch.device("cpu")
SEAMS = (("block1", "block1"), ("block1", "block3"), ("block3", "block3"))


def made(pair, digits, seams=SEAMS, *, objective="match", shuffled=False, **options):
    data = digits.subset(150)
    spec = FitSpec(batch_size=40, augment=False, **options)
    sweep = Sweep(NetworkSender(pair[0]), pair[1], data, spec, CPU, shuffled=shuffled)
    streams = [
        open_stream(
            i,
            sweep.sender,
            sweep.top,
            b,
            t,
            family=Affine,
            options={},
            objective=objective,
            init="closed",
            later=(),
            device=CPU,
        )
        for i, (b, t) in enumerate(seams)
    ]
    return streams, sweep


def by_hand(pair, sweep, seam, limit=None):
    bottom, top = pair
    adapter = adapter_between(bottom.layer(seam[0]), top.layer(seam[1]))
    with torch.no_grad():
        batch = next(sweep.data.batches("fit", limit or 150))
        x = rows(adapter(bottom.bottom(seam[0])(batch.inputs)), "map")
        y = rows(top.bottom(seam[1])(batch.inputs), "map")
    return Moments.of(x.double(), y.double())


@pytest.mark.slow
def test_each_family_is_solved_from_them(pair, digits):
    streams, sweep = made(pair, digits)
    collect(streams, sweep)
    solve(streams, sweep)
    for stream in streams:
        wanted = Affine.solve(by_hand(pair, sweep, stream.seam), stream.site)
        assert torch.allclose(
            stream.stitcher.weight, wanted.weight, atol=1e-2 * float(wanted.weight.detach().abs().max())
        )


def test_a_start_takes_a_few_samples_and_a_match_all(pair, digits):
    match, sweep = made(pair, digits, SEAMS[:1], start_samples=1)
    start, other = made(pair, digits, SEAMS[:1], objective="task", start_samples=1)
    collect(match, sweep)
    collect(start, other)
    positions = 64
    assert match[0].moments.n == 150 * positions
    assert start[0].moments.n == 150 * positions  # ten a channel are 160: all there are
    few, third = made(pair, digits, SEAMS[:1], objective="task", start_samples=1)
    collect(few, replace(third, data=digits))
    assert 160 * positions <= few[0].moments.n <= 200 * positions  # whole batches


def test_wrong_pairs_leave_each_side_as_it_is(pair, digits):
    right, sweep = made(pair, digits, SEAMS[:1])
    wrong, other = made(pair, digits, SEAMS[:1], shuffled=True)
    collect(right, sweep)
    collect(wrong, other)
    assert torch.allclose(wrong[0].moments.xx, right[0].moments.xx, rtol=1e-4, atol=1e-2)
    assert float(wrong[0].moments.xy.norm()) < 0.9 * float(right[0].moments.xy.norm())


@pytest.mark.slow
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_layer_of_the_top_is_named(pair, digits, value):
    from modelstitch import Network
    from modelstitch.errors import NonFiniteError
    from modelstitch.network.trace.twin import deep_copy

    broken = deep_copy(pair[1].module)
    with torch.no_grad():
        broken.block3.norm2.bias[0] = value
    top = Network(broken, torch.zeros(2, 1, 8, 8), "broken")
    streams, sweep = made((pair[0], top), digits, SEAMS[2:])
    with pytest.raises(NonFiniteError, match="The activations of broken@block3 hold NaN or infinity"):
        collect(streams, sweep)


@pytest.mark.parametrize("bad", [False, True])
def test_sums_are_left_unless_their_seam_has_failed(tmp_path, bad):
    """Else another run would take those of the batches before for those of all."""
    streams, sweep = sweep_of([("two", "two")], bad)
    collect(streams, sweep, Unfinished(tmp_path / "sums"))
    assert bool(streams[0].failed) is bad
    assert (tmp_path / "sums").exists() is not bad


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
    group = SumGroup("map", ["t"], {"b": adapter})
    group.reserve(*sides, whole=whole, dtype=torch.float64, device=torch.device("cpu"))
    for part in torch.arange(6).split(4):
        group.add({"b": below[part]}, {"t": above[part]}, None, None)
    x, y = (v.movedim(1, -1).flatten(0, 2) for v in (adapter(below), above))
    wanted, found = Moments.of(x, y), group.pair("b", "t")
    for name in ("xx", "yy", "xy", "mean_x"):
        assert torch.allclose(getattr(found, name), getattr(wanted, name), atol=1e-4), name
    assert found.n == wanted.n == 150
