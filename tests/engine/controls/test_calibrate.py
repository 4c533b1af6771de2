"""Running statistics estimated on batches: the mean over them, all else as it was."""

import torch
from torch import nn

from modelstitch.engine.controls.calibrate import FRESH, BatchStatistics, calibrate, frozen_norms, reset


class Named(nn.Module):
    """Takes its input by position or by name."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(3, momentum=0.3), nn.Dropout(0.9)

    def forward(self, x, shift=0.0):
        return self.norm(self.drop(x) + shift)


BATCHES = [torch.randn(16, 3, generator=torch.Generator().manual_seed(i)) + i for i in range(4)]


def wanted():
    return torch.stack([x.mean(0) for x in BATCHES]).mean(0), torch.stack([x.var(0) for x in BATCHES]).mean(0)


def test_statistics_are_means_over_the_batches():
    forms = {"positions": lambda x: x, "tuples": lambda x: (x - 1, 1.0), "names": lambda x: {"x": x - 1, "shift": 1.0}}
    for form in forms.values():
        module = Named().eval()
        before = module.norm.weight.clone()
        calibrate(module, [form(x) for x in BATCHES])
        mean, var = wanted()
        assert torch.allclose(module.norm.running_mean, mean, atol=1e-5)  # dropout did not act
        assert torch.allclose(module.norm.running_var, var, atol=1e-5)
        assert module.norm.momentum == 0.3
        assert not any(part.training for part in module.modules())
        assert torch.equal(module.norm.weight, before)
        assert module.norm.weight.grad is None


def test_a_module_in_training_stays_so():
    module = Named().train()
    calibrate(module, BATCHES)
    assert all(part.training for part in module.modules())


def test_without_such_layers_no_batch_is_read():
    calibrate(nn.Linear(3, 3), (1 / 0 for _ in range(1)))


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
