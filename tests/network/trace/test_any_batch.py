"""A branch on the batch size is refused where it changes what is computed, and allowed where it does not."""

import pytest
import torch
from torch import nn

from modelstitch import Network
from modelstitch.errors import TraceError


class Branches(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.body, self.head, self.way = nn.Linear(6, 6), nn.Linear(6, 4), forward

    def forward(self, x):
        return self.way(self, self.body(x))


def centred_if_large(net, h):
    return net.head(h - h.mean(0) if h.shape[0] > 16 else h)


def flipped_if_large(net, h):
    return net.head(h.flip(0) if h.shape[0] > 16 else h)


def in_pieces_if_large(net, h):
    return net.head(h) if h.shape[0] <= 16 else torch.cat([net.head(piece) for piece in h.split(16)])


def refuses_if_large(net, h):
    assert h.shape[0] <= 16
    return net.head(h)


def beyond_all(net, h):
    return net.head(h * 2 if h.shape[0] > 100_000 else h)


REFUSED = {
    "traced below": (centred_if_large, torch.ones(4, 6), "more than 16"),
    "traced with one sample": (flipped_if_large, torch.ones(1, 6), "more than 16"),
    "traced with zeros": (centred_if_large, torch.zeros(2, 6), "more than 16"),
    "traced above": (centred_if_large, torch.ones(40, 6), "fewer than 17"),
    "keyword inputs": (centred_if_large, {"x": torch.ones(4, 6)}, "more than 16"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_branch_that_changes_numbers_is_refused(case):
    forward, example, words = REFUSED[case]
    with pytest.raises(
        TraceError, match=rf"'net' computes something else in batches of {words} samples than in others"
    ):
        Network(Branches(forward).eval(), example, "net")


@pytest.mark.parametrize("forward", [in_pieces_if_large, refuses_if_large, beyond_all])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_branch_that_changes_none_is_allowed(forward, dtype):
    module, x = Branches(forward).to(dtype).eval(), torch.rand(16, 6, dtype=dtype)
    assert torch.equal(Network(module, x[:4])(x), module(x))


def less_the_mean(net, h):
    return net.head(h - h.mean(0))


def shifted(net, h):
    return net.head(h + h.roll(1, 0))


def sorted_by_sum(net, h):
    return net.head(h[h.sum(1).argsort()])


def one_for_all(net, h):
    return net.head(h.mean(0)).expand(h.size(0), -1)


def viewed_for_transposed(net, h):
    return net.head(h.T.reshape(h.shape))


def scaled_by_largest(net, h):
    return net.head(h / h.abs().max())


@pytest.mark.parametrize(
    "forward", [less_the_mean, shifted, sorted_by_sum, one_for_all, viewed_for_transposed, scaled_by_largest]
)
@pytest.mark.parametrize("n", [2, 4])
def test_samples_that_are_mixed_are_refused(forward, n):
    torch.manual_seed(0)  # an order that is there by chance is no mixing
    with pytest.raises(
        TraceError, match="'net' mixes the samples of a batch: what it gives for one depends on the others"
    ):
        Network(Branches(forward).eval(), torch.rand(n, 6), "net")


def test_norms_of_the_batch_are_named():
    module = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6, track_running_stats=False), nn.Linear(6, 3))
    with pytest.raises(TraceError, match=r"mixes the samples of a batch \(its part '1' has track_running_stats=False"):
        Network(module, torch.rand(4, 6), "net")
    Network(nn.Sequential(nn.Conv1d(2, 6, 1), nn.InstanceNorm1d(6)), torch.rand(4, 2, 5))  # over one sample
