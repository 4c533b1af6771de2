"""How near stitched activations come to genuine ones: from sums, and map by map, as a slow loop counts it."""

import numpy as np
import pytest
import torch

from modelstitch.data.batch import Batch
from modelstitch.engine import truth
from modelstitch.engine.senders import NetworkSender
from modelstitch.engine.sweep import open_stream
from modelstitch.engine.truth import Ends, Truths
from modelstitch.moments.moments import Moments
from modelstitch.network import Network
from modelstitch.stitchers import Affine, rows

CPU = torch.device("cpu")


class Two(torch.nn.Module):
    """Two maps of unlike sizes, and a vector."""

    def __init__(self, seed):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.one, self.two = torch.nn.Conv2d(1, 3, 3, padding=1), torch.nn.Conv2d(3, 5, 2, stride=2)
            self.flat = torch.nn.Flatten()
            self.head = torch.nn.Linear(80, 4)

    def forward(self, x):
        return self.head(self.flat(self.two(torch.relu(self.one(x)))))


SEAMS = {
    "as many positions": ("one", "one"),
    "fewer above": ("one", "two"),
    "more above": ("two", "one"),
    "vectors": ("flat", "flat"),
}
HOW = {"family": Affine, "options": {}, "objective": "match", "init": "closed", "later": (), "device": CPU}


@pytest.fixture(scope="module")
def networks():
    return [Network(Two(seed).eval(), torch.randn(3, 1, 8, 8), f"net{seed}") for seed in (0, 1)]


def batches(n=60, size=25):
    x = torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(1)) + 3
    ids = torch.arange(n)
    return [Batch(inputs=x[some], labels=ids[some], ids=ids[some]) for some in ids.split(size)]


def made(networks, seam):
    """A stream with a map of no account, its fit moments, and all activations of the samples."""
    low, high = networks
    stream = open_stream(0, NetworkSender(low), high, *seam, **HOW)
    x = torch.randn(80, 1, 8, 8, generator=torch.Generator().manual_seed(2)) + 3
    below, above = low.taps(["one", "two", "flat"]), high.taps(["one", "two", "flat"])
    with torch.no_grad():
        pair = rows(stream.adapter(below(x)[seam[0]]), stream.site.kind), rows(above(x)[seam[1]], stream.site.kind)
    stream.moments = Moments.of(*pair)
    stream.stitcher = Affine.random(stream.site, torch.Generator().manual_seed(3)).eval()
    return stream, below, above


class Other(torch.nn.Module):
    """The same map, which does not say that it is affine."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


@pytest.mark.parametrize("seam", SEAMS.values(), ids=SEAMS)
@pytest.mark.parametrize("how", ["from sums", "map by map", "from sums of wide layers"])
def test_truth_is_that_of_a_slow_loop(networks, seam, how, monkeypatch):
    stream, below, above = made(networks, seam)
    affine = stream.stitcher
    if how == "from sums of wide layers":  # whose forms are apart, or applied as they are
        monkeypatch.setattr(truth, "_APART", 1)
    if how == "map by map":
        stream.stitcher = Other(affine)
    truths = Truths([Ends(stream, "low", "high", NetworkSender(networks[0]), networks[1])])
    stitched, genuine = [], []
    with torch.no_grad():
        for batch in batches():
            x, y = below(batch.inputs), above(batch.inputs)
            s = stream.stitched(x[seam[0]])
            assert truths.add({"low": x, "high": y}, batch) == {}
            truths.stitch(stream, s, y[seam[1]], None)
            stitched.append(s.double())
            genuine.append(y[seam[1]].double())
    found, kind = truths.of(stream), stream.site.kind
    each = [torch.stack([rows(a[None], kind) for a in torch.cat(part)]).numpy() for part in (stitched, genuine)]
    s, y = (part.reshape(-1, part.shape[-1]) for part in each)
    a, b = s - s.mean(0), y - y.mean(0)
    assert found.relative_mse == pytest.approx(np.square(s - y).sum() / np.square(b).sum(), rel=1e-5)
    cka = np.square(a.T @ b).sum() / np.sqrt(np.square(a.T @ a).sum() * np.square(b.T @ b).sum())
    assert found.cka == pytest.approx(cka, rel=1e-5)
    values, vectors = np.linalg.eigh(stream.moments.yy.double().numpy() / stream.moments.n)
    kept = values > 1e-6 * values.clip(0).mean()
    whitener = vectors[:, kept] / np.sqrt(values[kept])
    far = [np.sqrt(np.square((part - stream.moments.mean_y.numpy()) @ whitener).sum(2).mean(1)) for part in each]
    lower = [np.sort(part)[(len(part) - 1) // 2] for part in far]  # as torch's median
    assert found.ood == pytest.approx(lower[0] / lower[1], rel=1e-5)
    assert found.ood_share == pytest.approx(100 * (far[0] > np.quantile(far[1], 0.99)).mean())
    assert found.collapsed_share == pytest.approx(100 * (far[0] < np.quantile(far[1], 0.01)).mean())


def test_an_activation_that_is_not_finite_takes_its_own_streams_along(networks):
    (one, below, above), (two, *_) = made(networks, ("one", "one")), made(networks, ("two", "two"))
    ends = [Ends(s, "low", "high", NetworkSender(networks[0]), networks[1]) for s in (one, two)]
    truths = Truths(ends)
    batch = batches()[0]
    with torch.no_grad():
        x, y = below(batch.inputs), above(batch.inputs)
    x["two"][4, 0, 0, 0] = float("nan")
    lost = truths.add({"low": x, "high": y}, batch)
    assert set(lost) == {id(two)}
    assert "net0@two hold NaN or infinity, first for the sample 4" in lost[id(two)]
    assert truths.of(one).relative_mse > 0


def test_a_map_that_changes_nothing_is_at_no_distance(networks):
    low = networks[0]
    stream = made([low, low], ("one", "one"))[0]
    stream.stitcher = Affine(stream.site, torch.eye(3), torch.zeros(3)).eval()
    truths = Truths([Ends(stream, "low", "low", NetworkSender(low), low)])
    with torch.no_grad():
        for batch in batches():
            truths.add({"low": low.taps(["one"])(batch.inputs)}, batch)
    found = truths.of(stream)
    assert (found.relative_mse, found.ood) == (0, 1)
    assert found.cka == pytest.approx(1)
