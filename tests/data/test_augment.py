"""Crop and flip against an obvious one-image-at-a-time reference."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

from modelstitch.data.augment import CropFlip


def test_every_result_is_one_of_the_possible_crops_and_all_occur():
    image = torch.rand(1, 3, 5, 5)
    augment = CropFlip(1, flip=True)
    out = augment(image.expand(600, -1, -1, -1), torch.Generator().manual_seed(0))
    padded = pad(image[0], (1, 1, 1, 1))
    crops = [padded[:, y : y + 5, x : x + 5] for y in range(3) for x in range(3)]
    possible = torch.stack([*crops, *[crop.flip(2) for crop in crops]])
    same = (out[:, None] == possible).flatten(2).all(2)
    assert bool((same.sum(1) == 1).all())
    assert bool((same.sum(0) > 10).all())


def test_seeded_and_told():
    images = torch.rand(8, 1, 8, 8)
    one, two = (CropFlip(1)(images, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(one, two)
    assert CropFlip(4, flip=True).recipe == "random crop after padding by 4, random horizontal flip"
