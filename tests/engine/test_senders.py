"""Senders in the layout that fits quickest: the same activations, in another order in memory."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import modelstitch as ms
from modelstitch import Network
from modelstitch.engine import senders
from modelstitch.engine.controls.classnoise import ClassNoise
from modelstitch.engine.senders import Company, NetworkSender, open_quick, open_whole, view_of
from modelstitch.errors import NetworkError, StitchError

LAYERS = ("stem", "block2")
CPU = torch.device("cpu")
SENDERS = {
    "network": lambda bottom, top, data: NetworkSender(bottom),
    "network with statistics of its own": lambda bottom, top, data: NetworkSender(bottom, own=LAYERS),
    "class noise": lambda bottom, top, data: ClassNoise(top, data),
}


@pytest.mark.parametrize("name", SENDERS)
def test_quick_activations_are_the_plain_ones_in_channels_last_memory(pair, digits, name):
    sender = SENDERS[name](*pair, digits)
    batch = next(iter(digits.batches("val", 32)))
    plain, quick = sender.open(LAYERS, CPU)(batch), open_quick(sender, LAYERS, CPU)(batch)
    assert plain.keys() == quick.keys() == set(LAYERS)
    for layer in LAYERS:
        assert torch.allclose(plain[layer], quick[layer], rtol=1e-4, atol=1e-5)
        assert quick[layer].is_contiguous(memory_format=torch.channels_last)
        assert not quick[layer].requires_grad


def test_a_company_has_the_layers_of_all_and_runs_each_once(pair, digits, monkeypatch):
    company = Company({network.name: network for network in pair})
    keys = [company.key(network.name, layer) for network in pair for layer in LAYERS]
    assert company.layer("one@block2") is pair[1].layer("block2")
    runs = []
    seen = senders.view_of
    monkeypatch.setattr(senders, "view_of", lambda network, *rest: runs.append(network.name) or seen(network, *rest))
    batch = next(iter(digits.batches("val", 8)))
    found = company.open([*keys, *keys], CPU)(batch)
    assert runs == ["zero", "one"]
    for network in pair:
        quick = open_quick(NetworkSender(network), LAYERS, CPU)(batch)
        assert all(torch.equal(found[f"{network.name}@{layer}"], quick[layer]) for layer in LAYERS)
    assert not company.gives(pair[0])
    with pytest.raises(StitchError, match="zero and one is no network and has no output"):
        open_whole(company, CPU)


class Net(nn.Module):
    """A convolution and an average over all positions, by a window that is read as a number, or not."""

    def __init__(self, fixed):
        super().__init__()
        self.conv, self.head, self.fixed = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 10), fixed

    def forward(self, x):
        found = torch.relu(self.conv(x))
        found = F.avg_pool2d(found, found.shape[3]) if self.fixed else F.adaptive_avg_pool2d(found, 1)
        return self.head(found[:, :, 0, 0])


def network(fixed, size, **options):
    return Network(Net(fixed).eval(), torch.zeros(2, 1, size, size), "net", **options)


@pytest.mark.slow
@pytest.mark.parametrize("call", ["stitch", "compare", "matrix", "similarity"])
def test_a_network_that_is_another_function_at_the_datas_size_is_refused(digits, call):
    one, two = network(True, 4), network(True, 8).named("two")
    args = (one, two, "conv", digits) if call == "stitch" else (one, two, digits)
    with pytest.raises(
        NetworkError, match=r"'net' was traced with samples of \(1, 4, 4\) and computes something else .* \(1, 8, 8\)"
    ):
        getattr(ms, call)(*args)


@pytest.mark.parametrize(
    ("fixed", "size", "view"), [(True, 8, None), (False, 8, None), (True, 4, lambda x: F.adaptive_avg_pool2d(x, 4))]
)
def test_others_are_taken(digits, fixed, size, view):
    found = network(fixed, size, view=view)
    stitched = ms.stitch(found, found, "conv", digits, family="identity", objective="match")
    assert stitched.penalty == 0


def test_a_module_that_refuses_the_size_itself_is_left_to_its_forward():
    class Strict(Net):
        def forward(self, x):
            assert x.shape[-1] == 4
            return super().forward(x)

    Network(Strict(False).eval(), torch.zeros(2, 1, 4, 4), "strict").check_sample(torch.zeros(2, 1, 8, 8))


@pytest.mark.slow
@pytest.mark.parametrize("call", ["stitch", "compare", "matrix", "similarity"])
def test_a_forgotten_view_is_told_in_both_sizes(digits, call):
    one, two = network(False, 8), network(False, 4).named("small")
    args = (one, two, "conv", digits) if call == "stitch" else (one, two, digits)
    with pytest.raises(
        NetworkError, match=r"'small' was traced with samples of \(1, 4, 4\), the data give \(1, 8, 8\): .*view="
    ):
        getattr(ms, call)(*args)


VIEWS = {
    "one sample lost": (lambda x: x[1:], r"The view of 'net' returned 1 samples for 2: expected one for each"),
    "numpy": (lambda x: x.numpy(), r"The view of 'net' returned numpy.ndarray: expected a tensor of 2 samples"),
    "one number": (lambda x: x.sum(), r"returned 1 samples for 2"),
    "it fails": (
        lambda x: x.image,
        r"fails on a batch of the data \(AttributeError: .*a tensor \(2, 1, 8, 8\) of torch.float32; give",
    ),
}


@pytest.mark.parametrize("case", VIEWS)
def test_what_a_view_returns_is_looked_at(digits, case):
    view, text = VIEWS[case]
    found = network(False, 8, view=view)
    with pytest.raises(NetworkError, match=text):
        ms.stitch(found, found, "conv", digits, objective="match")


def test_a_view_that_loses_a_sample_later_is_refused_there(digits):
    found = network(False, 8, view=lambda x: x if len(x) <= 2 else x[1:])
    with pytest.raises(NetworkError, match=r"returned \d+ samples for \d+"):
        ms.stitch(found, found, "conv", digits, objective="match")


def test_a_view_that_fails_names_the_network_and_the_samples(pair, digits):
    def view(x):
        raise ValueError("no camera")

    network = Network(pair[0].module, next(digits.batches("val", 2)).inputs, "viewed")
    network.view = view
    batch = next(digits.batches("test", 4))
    first, last = int(batch.ids[0]), int(batch.ids[-1])
    with pytest.raises(
        StitchError, match=rf"'viewed' fails on the samples {first} to {last} \(ValueError: no camera\): expected"
    ):
        view_of(network, batch, torch.device("cpu"))
