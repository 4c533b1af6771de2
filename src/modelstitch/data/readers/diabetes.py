"""The diabetes table of scikit-learn: 442 patients, 10 measurements, the disease a year later; inside the package."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data import Data
from ..subsets import balanced_order
from ..tasks import REGRESSION
from .digits import packaged

_TEST, _SEED = 142, 20210614  # one fixed test split, whatever the seed


def load_diabetes(*, seed: int = 0, limit: int | None = None) -> Data:
    """Rows of 10 numbers, each of mean 0 and variance 1 over all patients: 250 to fit, 50 for validation, 142 to test.

    The label is one number from 25 to 346, so that the task is regression.
    """
    inputs, labels = _read()
    inputs = ((inputs - inputs.mean(0)) / inputs.std(0, correction=0)).float()
    order = balanced_order(torch.zeros(len(labels), dtype=torch.int64), _SEED)
    test, train = order[:_TEST], order[_TEST:]
    if limit is not None:
        train, test = train[:limit], test[:limit]
    drawn = train[balanced_order(torch.zeros(len(train), dtype=torch.int64), seed)]
    held = max(1, len(train) // 6)
    return Data(
        *((inputs[ids], labels[ids]) for ids in (drawn[held:], drawn[:held], test)),
        name="diabetes",
        task=REGRESSION,
        split_rule=f"a fixed test split of {_TEST}, one in six of the rest for validation (seed {seed})",
    )


def _read() -> tuple[Tensor, Tensor]:
    """Measurements (442, 10) as they were taken, and labels (442,)."""
    tables = packaged("diabetes_data_raw", "diabetes_target")
    if tables:
        return tables[0], tables[1].float()
    from sklearn.datasets import load_diabetes as read

    bunch = read(scaled=False)
    return torch.tensor(bunch.data), torch.tensor(bunch.target, dtype=torch.float32)
