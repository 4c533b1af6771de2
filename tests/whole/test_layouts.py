"""Layers whose batch is not first: everything gives the numbers of the same network written with the batch first."""

import pytest
import torch
from torch import nn

import modelstitch as ms
from modelstitch.stitchers.adapters import rows

pytestmark = pytest.mark.slow


class Attends(nn.Module):
    """A transformer over the rows of a digit, with positions or the batch first."""

    def __init__(self, batch_first):
        super().__init__()
        self.stem, self.head = nn.Linear(8, 12), nn.Linear(12, 10)
        layer = nn.TransformerEncoderLayer(12, 2, 16, batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.batch_first = batch_first

    def forward(self, x):
        y = self.stem(x[:, 0])
        y = self.encoder(y) if self.batch_first else self.encoder(y.transpose(0, 1)).transpose(0, 1)
        return self.head(y.mean(1))


class Frames(nn.Module):
    """Four pieces of a digit as the frames of a film.

    Folded into the batch, or along time with kernels of one frame.
    """

    def __init__(self, batch_first):
        super().__init__()
        self.folded = not batch_first
        if self.folded:
            self.one, self.two = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, stride=2)
        else:
            self.one = nn.Conv3d(1, 4, (1, 3, 3), padding=(0, 1, 1))
            self.two = nn.Conv3d(4, 6, (1, 3, 3), stride=(1, 2, 2))
        self.head = nn.Linear(6, 10)

    def forward(self, x):
        x = x.unflatten(2, (2, 4)).unflatten(4, (2, 4)).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (n, 4, 1, 4, 4)
        if self.folded:
            y = self.two(self.one(x.flatten(0, 1)).relu())
            return self.head(y.mean((2, 3)).view(x.shape[0], 4, 6).mean(1))
        return self.head(self.two(self.one(x.transpose(1, 2)).relu()).mean((2, 3, 4)))


KINDS = {
    "positions first": (Attends, ("encoder.layers.0", "encoder.layers.1")),
    "frames folded": (Frames, ("one", "two")),
}


@pytest.fixture(scope="module")
def data():
    return ms.load_data("digits", limit=200)


@pytest.fixture(scope="module", params=KINDS)
def pairs(request):
    """Two networks with the batch first, the same two without, and their layers."""
    kind, layers = KINDS[request.param]
    first, other = [], []
    for seed in (0, 1):
        torch.manual_seed(seed)
        modules = kind(True), kind(False)
        weights = modules[0].state_dict()
        modules[1].load_state_dict({k: v.view(modules[1].state_dict()[k].shape) for k, v in weights.items()})
        for module, into in zip(modules, (first, other)):
            into.append(ms.Network(module, torch.randn(2, 1, 8, 8), f"net{seed}"))
    return first, other, layers


def alike(found, wanted):
    assert len(found) == len(wanted) > 0
    assert found["metric"].to_list() == wanted["metric"].to_list()
    assert found["value"].to_list() == pytest.approx(wanted["value"].to_list(), rel=2e-3, abs=2e-3, nan_ok=True)


ASKED = {
    "families": (("identity", "permutation", "orthogonal", "low-rank:2", "affine", "norm-affine-norm", "mlp"), ()),
    "controls": (("affine",), ("self", "random", "class-noise", "identity", "shuffled")),
}


@pytest.mark.parametrize("what", ASKED)
def test_every_family_and_control(pairs, data, what):
    first, other, layers = pairs
    families, controls = ASKED[what]
    options = {
        "data": data,
        "layers": layers[:1],
        "family": families,
        "objective": "match",
        "samples": 60,
        "device": "cpu",
        "controls": controls,
    }
    found, wanted = ms.compare(*other, **options), ms.compare(*first, **options)
    assert not found.failed
    metrics = found.frame.select("metric").unique()
    assert len(metrics) > 2
    alike(
        found.frame.sort("control", "family", "bottom", "bottom_layer", "metric"),
        wanted.frame.sort("control", "family", "bottom", "bottom_layer", "metric"),
    )


def test_a_convolution_and_steps_of_a_task(pairs, data):
    first, other, layers = pairs
    for family in ("affine", "conv:3") if "one" in layers else ("affine",):
        found, wanted = (
            ms.stitch(*p, layers[0], data, family=family, steps=5, samples=100, device="cpu") for p in (other, first)
        )
        assert found.metrics["loss"] == pytest.approx(wanted.metrics["loss"], rel=1e-3)


def test_matrix_and_similarity(pairs, data):
    first, other, layers = pairs
    every = (layers, layers)
    found, wanted = (ms.matrix(*p, data, layers=every, samples=100) for p in (other, first))
    for metric, near in (("error", 1e-6), ("relative_mse", 1e-4)):
        one, two = (each.frame.filter(metric=metric)["value"].to_list() for each in (found, wanted))
        assert one == pytest.approx(two, rel=near)
    for view in ("pool", "flatten"):
        tables = [
            ms.similarity(*p, data, layers=every, view=view, shuffles=2, device="cpu").frame for p in (other, first)
        ]
        values = [table["value"].fill_null(0).to_list() for table in tables]
        assert values[0] == pytest.approx(values[1], rel=1e-4, abs=1e-5)


def test_the_sums_are_those_of_axes_moved_by_hand(pairs, data):
    _, (net, _), layers = pairs
    x = torch.cat([batch.inputs for batch in data.few("fit", 50)])[:50]
    seen = {}
    for layer in layers:
        net.module.get_submodule(layer).register_forward_hook(lambda m, a, y, layer=layer: seen.update({layer: y}))
    with torch.no_grad():
        net.module.eval()(x)
        values = net.taps(layers)(x)
    for layer in layers:
        by_hand = seen[layer]
        folded = by_hand.ndim == 4
        by_hand = by_hand.view(50, 4, *by_hand.shape[1:]).transpose(1, 2) if folded else by_hand.transpose(0, 1)
        by_hand = by_hand.double()
        flat = (by_hand.movedim(1, -1) if folded else by_hand).reshape(-1, net.layer(layer).channels)
        found = rows(values[layer], net.layer(layer).kind).double()
        torch.testing.assert_close(found.T @ found, flat.T @ flat, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(found, flat, rtol=1e-5, atol=1e-5)


def test_a_network_without_cuts_says_why():
    class Round(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(64, 10), nn.Linear(64, 10)

        def forward(self, x):
            return self.one(x.flatten(1)) + self.two(x.flatten(1))

    net = ms.Network(Round(), torch.randn(2, 1, 8, 8), "round")
    with pytest.raises(ms.StitchError, match=r"can be compared by itself .*'one' is not exact: bypassed by"):
        ms.similarity(net, net, data=ms.load_data("digits", limit=100))
