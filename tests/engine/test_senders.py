"""Senders in the layout that fits quickest: the same activations, in another order in memory."""

import pytest
import torch

from modelstitch.engine.controls.classnoise import ClassNoise
from modelstitch.engine.senders import NetworkSender, open_quick

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
