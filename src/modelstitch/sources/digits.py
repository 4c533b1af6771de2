"""The handwritten digits of scikit-learn: 1,797 real scans of 8x8 pixels, inside the package itself."""

from __future__ import annotations

import torch

from .augment import CropFlip
from .data import Data
from .splits import hold_out
from .views import Images

_TEST, _TEST_SEED = 597, 20210614  # one fixed test split, whatever the seed


def load_digits(*, seed: int = 0, limit: int | None = None) -> Data:
    """Digits as float32 images (n, 1, 8, 8) in [0, 1]: 1,000 to fit, 200 for validation, 597 to test."""
    from sklearn.datasets import load_digits as read

    bunch = read()
    inputs = torch.tensor(bunch.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(bunch.target)
    train, test = hold_out(labels, _TEST, _TEST_SEED)
    if limit is not None:
        train, test = train[:limit], test[:limit]
    fit, val = hold_out(labels[train], max(1, len(train) // 6), seed)
    splits = (Images(inputs[ids], labels[ids]) for ids in (train[fit], train[val], test))
    return Data(
        *splits,
        name="digits",
        classes=[str(digit) for digit in range(10)],
        augment=CropFlip(1),
        split_rule=f"class-balanced: a fixed test split of {_TEST}, one in six of the rest for validation "
        f"(seed {seed})",
    )
