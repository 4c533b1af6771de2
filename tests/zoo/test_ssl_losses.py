"""Label-free losses against slow loops in float64."""

from __future__ import annotations

import math

import pytest
import torch

from modelstitch.zoo.ssl_losses import nt_xent, vicreg


def slow_nt_xent(one, two, temperature):
    z = [row / row.norm() for row in torch.cat([one, two]).double()]
    n, total = len(one), 0.0
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        others = sum(math.exp(float(z[i] @ z[k]) / temperature) for k in range(2 * n) if k != i)
        total -= math.log(math.exp(float(z[i] @ z[partner]) / temperature) / others)
    return total / (2 * n)


def slow_vicreg(one, two):
    n, d = one.shape
    same = sum(float((one[i, j] - two[i, j]) ** 2) for i in range(n) for j in range(d)) / (n * d)
    spread = crossed = 0.0
    for z in (one.double().numpy(), two.double().numpy()):
        mean = z.mean(0)
        for j in range(d):
            for k in range(d):
                c = sum((z[i, j] - mean[j]) * (z[i, k] - mean[k]) for i in range(n)) / (n - 1)
                if j == k:
                    spread += max(0.0, 1 - math.sqrt(c + 1e-4)) / d
                else:
                    crossed += c**2 / d
    return 25 * same + 25 * spread + crossed


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent(seed, temperature):
    torch.manual_seed(seed)
    one, two = torch.randn(2, 5, 3) * (seed + 0.1)
    assert float(nt_xent(one, two, temperature)) == pytest.approx(slow_nt_xent(one, two, temperature), rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_vicreg(seed):
    torch.manual_seed(seed)
    one, two = torch.randn(2, 6, 4) * (seed + 0.2)
    assert float(vicreg(one, two)) == pytest.approx(slow_vicreg(one, two), rel=1e-5)


def test_gradients_are_finite():
    one, two = torch.randn(2, 4, 3, requires_grad=True)
    for loss in (nt_xent, vicreg):
        grads = torch.autograd.grad(loss(one, two), [one, two], retain_graph=True)
        assert all(bool(torch.isfinite(grad).all()) for grad in grads)
