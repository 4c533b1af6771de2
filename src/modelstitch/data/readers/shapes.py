"""Squares and discs on noise, drawn here: images of 32x32 pixels with the class of each pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data import Data
from ..subsets import Images
from ..tasks import DENSE

_SIZE, _SEED = 32, 20210614
_COUNTS = {"fit": 500, "val": 100, "test": 300}


def load_shapes(*, seed: int = 0, limit: int | None = None) -> Data:
    """Images (n, 1, 32, 32) in [0, 1] and maps (n, 32, 32): 0 nothing, 1 square, 2 disc; the task is dense.

    500 to fit, 100 for validation, 300 to test. The test split is the same whatever the seed.
    """
    found = {
        "fit": draw(_COUNTS["fit"] if limit is None else max(1, limit - limit // 6), _SEED + 1 + seed),
        "val": draw(_COUNTS["val"] if limit is None else max(1, limit // 6), _SEED - 1 - seed),
        "test": draw(_COUNTS["test"] if limit is None else min(limit, _COUNTS["test"]), _SEED),
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
