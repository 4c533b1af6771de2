"""Losses of learning without labels, on projections of two views of the same samples."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss, normalize, relu


def nt_xent(one: Tensor, two: Tensor, temperature: float = 0.5) -> Tensor:
    """SimCLR's loss (Chen et al. 2020, eq. 1), mean over the 2n views.

    Args:
        one, two: projections (n, d) of two views of the same n samples.
        temperature: divides the cosines.
    """
    n = len(one)
    z = normalize(torch.cat([one, two]).float(), dim=1)
    logits = z @ z.T / temperature
    logits.fill_diagonal_(float("-inf"))  # a view is no candidate for itself
    partner = torch.arange(2 * n, device=z.device).roll(n)
    return cross_entropy(logits, partner)


def vicreg(
    one: Tensor,
    two: Tensor,
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
) -> Tensor:
    """VICReg's loss (Bardes, Ponce and LeCun 2022, eq. 6): equal views, spread and decorrelated dimensions.

    Args:
        one, two: projections (n, d) of two views of the same n samples.
    """
    one, two = one.float(), two.float()
    spread = correlation = torch.zeros((), device=one.device)
    for z in (one, two):
        n, d = z.shape
        centred = z - z.mean(0)
        spread = spread + relu(1 - (z.var(0) + 1e-4).sqrt()).mean()
        matrix = centred.T @ centred / (n - 1)
        off_diagonal = matrix.pow(2).sum() - matrix.diagonal().pow(2).sum()
        correlation = correlation + off_diagonal / d
    return invariance * mse_loss(one, two) + variance * spread + covariance * correlation
