"""Which seams are summed together, and what is not finite takes none beside it along."""

import pytest
import torch
from torch import nn

import modelstitch as ms
from modelstitch.engine.fit.closed import _blocks, collect
from modelstitch.engine.fit.options import FitSpec
from modelstitch.engine.senders import NetworkSender
from modelstitch.engine.streams import open_stream
from modelstitch.engine.sweep import Sweep
from modelstitch.moments.moments import Moments
from modelstitch.stitchers import Affine, rows


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
        open_stream(seam, sweep.sender, top, *seam, family=Affine, options={}, objective="match", init="closed", later=(),
                    device=sweep.device)
        for seam in seams
    ]  # fmt: skip
    return streams, sweep


EVERY = [(b, t) for b in ("one", "two", "three") for t in ("one", "two", "three")]
GROUPED = {
    "all": (EVERY, [(("one", "two", "three"), ("one", "two")), (("one", "two", "three"), ("three",))]),
    "matching": ([("one", "one"), ("two", "two")], [(("one",), ("one",)), (("two",), ("two",))]),
}


@pytest.mark.parametrize("name", GROUPED)
def test_seams_are_summed_together_where_that_takes_fewer_products(name):
    seams, wanted = GROUPED[name]
    streams, sweep = sweep_of(seams)
    blocks = _blocks({(s.seam, None): [s] for s in streams}, sweep, apart=False)
    assert [(tuple(b.group.adapters), tuple(b.group.tops)) for b in blocks] == wanted
    assert sum(len(b.keys) for b in blocks) == len(seams)


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


def test_a_bottom_that_is_not_finite_takes_no_other_along():
    streams, sweep = sweep_of(EVERY, bad=True)
    collect(streams, sweep)
    assert [s.bottom_layer for s in streams if s.failed] == ["two"] * 3 + ["three"] * 3
    assert all("a@" in s.failed and "NaN or infinity" in s.failed for s in streams if s.failed)
    assert all(s.moments is not None for s in streams if not s.failed)
