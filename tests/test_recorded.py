"""A recorded step is the step itself; on a GPU only, since there is nothing to record on a CPU."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from modelstitch.recorded import Recorded

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")


def test_replayed_steps_are_the_plain_ones():
    torch.manual_seed(0)
    batches = [(torch.randn(16, 6, device="cuda"), torch.arange(16, device="cuda") % 3) for _ in range(4)]
    plain = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).cuda()
    twin = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).cuda()
    twin.load_state_dict(plain.state_dict())
    recorded = Recorded(lambda x, y: cross_entropy(twin(x), y), batches[0], [twin], nullcontext)
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), twin.state_dict().values()))
    assert not recorded.takes([batches[0][0][:5], batches[0][1][:5]])
    rules = [torch.optim.SGD(module.parameters(), 0.1, momentum=0.9) for module in (plain, twin)]
    for x, y in batches:
        rules[0].zero_grad()
        loss = cross_entropy(plain(x), y)
        loss.backward()
        assert torch.allclose(recorded(x, y), loss, atol=1e-6)
        for rule in rules:
            rule.step()
    for one, other in zip(plain.state_dict().values(), twin.state_dict().values()):
        assert torch.allclose(one.float(), other.float(), atol=1e-5)
