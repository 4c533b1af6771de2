"""Senders in the layout that fits quickest: the same activations, in another order in memory."""

import pytest
import torch

from modelstitch import Network
from modelstitch.engine import senders
from modelstitch.engine.controls.classnoise import ClassNoise
from modelstitch.engine.senders import Company, NetworkSender, open_quick, open_whole, view_of
from modelstitch.errors import StitchError

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
