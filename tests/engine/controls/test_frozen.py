"""BatchNorm layers that hold everything as buffers: found, reset, and given statistics like any other."""

import torch
from torch import nn

from modelstitch.engine.controls.frozen import FRESH, BatchStatistics, frozen_norms, reset


class Frozen(nn.Module):
    """As detectors write it."""

    def __init__(self, channels):
        super().__init__()
        for name, value in FRESH.items():
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, x):
        shape = (1, -1, *[1] * (x.ndim - 2))
        scale = self.weight / (self.running_var + 1e-5).sqrt()
        return x * scale.view(shape) + (self.bias - self.running_mean * scale).view(shape)


def test_only_layers_that_hold_all_four_as_buffers_are_found():
    module = nn.Sequential(nn.BatchNorm2d(3), Frozen(4), nn.Sequential(Frozen(5)), nn.Conv2d(1, 1, 1))
    assert list(frozen_norms(module)) == ["1", "2.0"]


def test_a_reset_layer_passes_values_on():
    norm = Frozen(3)
    for name in FRESH:
        norm.get_buffer(name).copy_(torch.rand(3) + 1)
    reset(norm)
    x = torch.randn(2, 3, 4, 4)
    assert torch.allclose(norm(x), x, atol=1e-4)


def test_statistics_are_those_of_a_batchnorm_without_momentum():
    batches = [torch.randn(8, 3, 5, 5, generator=torch.Generator().manual_seed(i)) * (i + 1) + i for i in range(3)]
    known, norm = nn.BatchNorm2d(3, momentum=None).train(), Frozen(3)
    statistics = BatchStatistics(norm)
    for x in batches:
        assert torch.allclose(norm(x), known(x), atol=1e-4)  # each batch by its own
    statistics.close()
    assert torch.allclose(norm.running_mean, known.running_mean, atol=1e-5)
    assert torch.allclose(norm.running_var, known.running_var, atol=1e-4)
    norm(batches[0])
    assert torch.allclose(norm.running_mean, known.running_mean, atol=1e-5)  # closed: it looks no more


def test_a_layer_that_saw_nothing_keeps_what_it_has():
    norm = Frozen(3)
    norm.running_mean.fill_(7)
    statistics = BatchStatistics(norm)
    norm(torch.randn(1, 3))  # one number a channel has no variance
    statistics.close()
    assert norm.running_mean.tolist() == [7.0] * 3
