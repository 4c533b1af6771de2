"""Data that need no file of the user's: digits and diabetes, which scikit-learn brings, and shapes, drawn here."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..batch import CropFlip
from ..data import SPLITS, Data
from ..subsets import FIXED_SEED, Images, balanced_order, hold_out
from ..tasks import DENSE, MULTI_LABEL, REGRESSION

_TEST, _PATIENTS = 597, 142  # of one fixed test split each, whatever the seed


def load_digits(*, seed: int = 0, limit: int | None = None) -> Data:
    """Digits as float32 images (n, 1, 8, 8) in [0, 1]: 1,000 to fit, 200 for validation, 597 to test."""
    pixels, labels = _read_digits()
    inputs = pixels.view(-1, 1, 8, 8) / 16
    train, test = hold_out(labels, _TEST, FIXED_SEED)
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


def _read_digits() -> tuple[Tensor, Tensor]:
    """Pixels (1797, 64), 0 to 16, and labels (1797,)."""
    for table in packaged("digits", delimiter=","):
        return table[:, :-1].float(), table[:, -1].long()
    from sklearn.datasets import load_digits as read

    bunch = read()
    return torch.tensor(bunch.data, dtype=torch.float32), torch.tensor(bunch.target)


def load_diabetes(*, seed: int = 0, limit: int | None = None) -> Data:
    """Rows of 10 numbers, each of mean 0 and variance 1 over all patients: 250 to fit, 50 for validation, 142 to test.

    The label is the disease a year later, one number from 25 to 346, so that the task is regression.
    """
    inputs, labels = _read_diabetes()
    inputs = ((inputs - inputs.mean(0)) / inputs.std(0, correction=0)).float()
    order = balanced_order(torch.zeros(len(labels), dtype=torch.int64), FIXED_SEED)
    test, train = order[:_PATIENTS], order[_PATIENTS:]
    if limit is not None:
        train, test = train[:limit], test[:limit]
    drawn = train[balanced_order(torch.zeros(len(train), dtype=torch.int64), seed)]
    held = max(1, len(train) // 6)
    return Data(
        *((inputs[ids], labels[ids]) for ids in (drawn[held:], drawn[:held], test)),
        name="diabetes",
        task=REGRESSION,
        split_rule=f"a fixed test split of {_PATIENTS}, one in six of the rest for validation (seed {seed})",
    )


def _read_diabetes() -> tuple[Tensor, Tensor]:
    """Measurements (442, 10) as they were taken, and labels (442,)."""
    tables = packaged("diabetes_data_raw", "diabetes_target")
    if tables:
        return tables[0], tables[1].float()
    from sklearn.datasets import load_diabetes as read

    bunch = read(scaled=False)
    return torch.tensor(bunch.data), torch.tensor(bunch.target, dtype=torch.float32)


_SIZE = 32
_COUNTS = {"fit": 500, "val": 100, "test": 300}


def load_shapes(*, seed: int = 0, limit: int | None = None) -> Data:
    """Images (n, 1, 32, 32) in [0, 1] and maps (n, 32, 32): 0 nothing, 1 square, 2 disc; the task is dense.

    500 to fit, 100 for validation, 300 to test. The test split is the same whatever the seed.
    """
    found = {
        "fit": draw(_COUNTS["fit"] if limit is None else max(1, limit - limit // 6), FIXED_SEED + 1 + seed),
        "val": draw(_COUNTS["val"] if limit is None else max(1, limit // 6), FIXED_SEED - 1 - seed),
        "test": draw(_COUNTS["test"] if limit is None else min(limit, _COUNTS["test"]), FIXED_SEED),
    }
    return Data(
        *(Images(images, maps) for images, maps in found.values()),
        name="shapes",
        classes=("nothing", "square", "disc"),
        task=DENSE,
        split_rule=f"each split drawn by a seed of its own, that of the test split fixed (seed {seed})",
    )


def draw(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw n images with three shapes each, the later over the earlier, and the class of each pixel."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(_SIZE).view(1, -1, 1)
    columns = torch.arange(_SIZE).view(1, 1, -1)
    maps = torch.zeros(n, _SIZE, _SIZE, dtype=torch.int64)
    shades = 0.3 * torch.ones(n, _SIZE, _SIZE)
    for _ in range(3):
        y, x = (torch.randint(4, _SIZE - 4, (n, 1, 1), generator=generator) for _ in range(2))
        size = torch.randint(3, 8, (n, 1, 1), generator=generator)
        kind = torch.randint(1, 3, (n, 1, 1), generator=generator)
        square = ((rows - y).abs() < size) & ((columns - x).abs() < size)
        disc = (rows - y) ** 2 + (columns - x) ** 2 < (size + 1) ** 2
        inside = torch.where(kind == 1, square, disc)
        maps = torch.where(inside, kind, maps)
        shades = torch.where(inside, 0.45 + 0.4 * torch.rand((n, 1, 1), generator=generator), shades)
    noise = 0.1 * torch.randn((n, _SIZE, _SIZE), generator=generator)
    return (shades + noise).clamp(0, 1)[:, None], maps
