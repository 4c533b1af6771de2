"""How much of a batch's gradient is signal, and how much slower steps should be for the rest."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

LEAST = 0.25  # of the rate: a start that is as good as its goal gives noise alone
POWER = 6  # of the share: the full rate where the gradient is nearly free of noise


def signal(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """The share of a batch's squared gradient that is the whole data's: |G|^2 / E|g|^2, from two batches at the same weights.

    The product of two independent gradients has the mean |G|^2. In the words of McCandlish et al. 2018 (An Empirical Model of
    Large-Batch Training, section 2) it is 1 / (1 + B_noise / B), for the simple noise scale.

    Args:
        one, other: gradients of the same parameters on the two batches.

    Returns:
        Between 0 and 1; 1 where both are zero.
    """
    product = sum(float((a.double() * b.double()).sum()) for a, b in zip(one, other))
    size = sum(float(a.double().square().sum() + b.double().square().sum()) for a, b in zip(one, other)) / 2
    return max(0.0, product / size) if size > 0 else 1.0


def pace(share: float) -> float:
    """What the rate is multiplied with where ``share`` of the gradient is signal: its sixth power, at least 1/4.

    For plain gradient descent the best rate is proportional to the share itself (section 2 there). Whitened Adam steps want
    the full rate where the closed form is far from its goal and the gradient clean, and a quarter of it already where a third
    is noise. From two batches a share of two thirds is known to about a tenth, so that between the ends the rate is rough, and
    differs from seed to seed; near 1 and below a half it is not. docs/fitting.md has what was measured.
    """
    return max(LEAST, share**POWER)
