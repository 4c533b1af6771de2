"""Running statistics estimated on batches: the mean over them, all else as it was."""

import torch
from torch import nn

from modelstitch.engine.controls.calibrate import calibrate


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
