"""The handwritten digits of scikit-learn: 1,797 real scans of 8x8 pixels, inside the package itself."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..augment import CropFlip
from ..data import SPLITS, Data
from ..subsets import Images, hold_out
from ..tasks import MULTI_LABEL

_TEST, _TEST_SEED = 597, 20210614  # one fixed test split, whatever the seed


def load_digits(*, seed: int = 0, limit: int | None = None) -> Data:
    """Digits as float32 images (n, 1, 8, 8) in [0, 1]: 1,000 to fit, 200 for validation, 597 to test."""
    pixels, labels = _read()
    inputs = pixels.view(-1, 1, 8, 8) / 16
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


TRAITS = {  # what may hold of a digit, and for which it does
    "even": (0, 2, 4, 6, 8),
    "above four": (5, 6, 7, 8, 9),
    "prime": (2, 3, 5, 7),
    "has a loop": (0, 6, 8, 9),
    "a power of two": (1, 2, 4, 8),
}


def load_traits(*, seed: int = 0, limit: int | None = None) -> Data:
    """The digits with five labels each that hold or not: even, above four, prime, has a loop, a power of two."""
    digits = load_digits(seed=seed, limit=limit)
    table = torch.tensor([[digit in those for those in TRAITS.values()] for digit in range(10)]).long()
    splits = (digits.dataset(split) for split in SPLITS)
    return Data(
        *(Images(split.inputs, table[split.labels]) for split in splits),
        name="digit-traits",
        classes=tuple(TRAITS),
        augment=digits.augment,
        task=MULTI_LABEL,
        split_rule=digits.split_rule,
    )


def packaged(*names: str, delimiter: str | None = None) -> list[Tensor]:
    """Tables of scikit-learn, float64, read off its own files: importing it, and SciPy with it, takes seconds.

    Nothing where a version keeps one of them elsewhere: then the package is to be asked.
    """
    found = find_spec("sklearn")
    for place in (found.submodule_search_locations or []) if found else []:
        files = [Path(place) / "datasets" / "data" / f"{name}.csv.gz" for name in names]
        if all(path.is_file() for path in files):
            return [torch.from_numpy(np.loadtxt(path, delimiter=delimiter)) for path in files]
    return []


def _read() -> tuple[Tensor, Tensor]:
    """Pixels (1797, 64), 0 to 16, and labels (1797,)."""
    for table in packaged("digits", delimiter=","):
        return table[:, :-1].float(), table[:, -1].long()
    from sklearn.datasets import load_digits as read

    bunch = read()
    return torch.tensor(bunch.data, dtype=torch.float32), torch.tensor(bunch.target)
