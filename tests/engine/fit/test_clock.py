"""How long the parts of a fit take: counts of forwards, and measured times that grow with the work."""

import torch

from modelstitch.engine.fit.clock import forward_seconds, product_seconds, through_tail
from modelstitch.engine.fit.options import FitSpec


def test_forwards_through_a_tail_are_counted():
    # 10 steps of 8 there and back, validation before the first step and after each five, the test once
    assert through_tail(10, 8, 5, val=100, test=30) == 2 * 10 * 8 + 3 * 100 + 30
    assert through_tail(0, 8, 5, val=100, test=30) == 130


def test_times_are_measured(pair, digits):
    network, cpu = pair[0], torch.device("cpu")
    found = forward_seconds(network, digits, FitSpec(batch_size=64), cpu)
    assert 0 < found < 1
    few = forward_seconds(network, digits.subset(20), FitSpec(batch_size=64), cpu)  # less than a batch
    assert 0 < few < 1
    assert 0 < product_seconds(network.layer("block1"), network.layer("block2"), cpu) < 1


def test_products_count_every_position(pair):
    layer = pair[0].layer("block1")
    pooled = pair[0].layer("head")
    cpu = torch.device("cpu")
    wide = min(product_seconds(layer, layer, cpu) for _ in range(3))
    narrow = min(product_seconds(layer, pooled, cpu) for _ in range(3))
    assert wide > narrow  # 64 positions against none
