"""The paper's map: while it is fitted the norms use batch statistics; at eval it is one affine map."""

import pytest
import torch
from torch import nn

from modelstitch.errors import FitError
from modelstitch.moments.moments import Moments
from modelstitch.stitchers import Affine, Site
from modelstitch.stitchers.normaffine import NormAffineNorm


def problem():
    torch.manual_seed(0)
    x = torch.randn(300, 4) * torch.tensor([1.0, 5.0, 0.1, 2.0]) + 3
    return x, torch.relu(x @ torch.randn(4, 3)) + 0.1 * torch.randn(300, 3)


def test_solved_it_is_the_affine_solution():
    x, y = problem()
    moments, site = Moments.of(x, y), Site(4, 3, "vector")
    found = NormAffineNorm.solve(moments, site).eval()
    assert torch.allclose(found(x), Affine.solve(moments, site)(x), atol=1e-3)


def test_at_eval_it_is_its_affine_form():
    x, _ = problem()
    found = NormAffineNorm.random(Site(4, 3, "vector"), torch.Generator().manual_seed(0))
    found.train()
    for _ in range(5):
        found(x)  # statistics move
    found.eval()
    weight, bias = found.affine_form()
    assert torch.allclose(found(x).double(), x.double() @ weight.T + bias, atol=1e-4)


def test_while_it_is_fitted_its_output_is_normalised():
    x, _ = problem()
    found = NormAffineNorm.random(Site(4, 3, "vector"), torch.Generator().manual_seed(0)).train()
    y = found(x).detach()
    assert torch.allclose(y.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(y.std(0, correction=0), torch.ones(3), atol=1e-3)


def test_it_computes_what_torchs_layers_compute_on_maps():
    found = NormAffineNorm.random(Site(4, 3, "map"), torch.Generator().manual_seed(0)).train()
    plain = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3)).train()
    with torch.no_grad():
        plain[1].weight.copy_(found.affine.weight[:, :, None, None])
        plain[1].bias.copy_(found.affine.bias)
    x = torch.randn(6, 4, 5, 5)
    assert torch.allclose(found(x), plain(x), atol=1e-5)
    assert torch.allclose(found.norm_out.running_var, plain[2].running_var, atol=1e-5)
    assert torch.allclose(found.eval()(x), plain.eval()(x), atol=1e-5)


def test_one_row_has_no_spread():
    found = NormAffineNorm(Site(4, 3, "vector")).train()
    with pytest.raises(FitError, match="A batch of one row has no spread to normalise by: expected 2 rows or more"):
        found(torch.randn(1, 4))
    assert found.eval()(torch.randn(1, 4)).shape == (1, 3)
