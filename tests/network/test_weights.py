"""A hash of weights: by name, shape, type and bytes; wherever they lie."""

import copy

import torch
from torch import nn

from modelstitch.network.weights import fingerprint, origin_of


def made():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_any_change_of_a_weight_or_buffer_is_another_hash():
    module = made()
    found = {fingerprint(module)}
    assert fingerprint(copy.deepcopy(module)) in found
    for change in (
        lambda m: m[0].weight.data[0, 0].add_(1e-3),
        lambda m: m[1].running_mean.add_(1.0),
        lambda m: m.double(),
        lambda m: m.append(nn.ReLU()).append(nn.Linear(1, 1)),
    ):
        other = copy.deepcopy(module)
        change(other)
        found.add(fingerprint(other))
    assert len(found) == 5


def test_a_shape_without_numbers_has_a_hash_too():
    assert len(fingerprint(made().to("meta"))) == 16


def test_where_weights_come_from_is_kept_with_their_hash():
    module = made()
    assert origin_of(module, None) is None
    assert origin_of(module, "random, seed 0") == ("random, seed 0", fingerprint(module))
