"""What a network sees of an image: size, crop, channels, normalisation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from modelstitch.errors import DataError
from modelstitch.sources.image_view import ImageView

PLAIN = ImageView((8, 8), (0.0,) * 3, (1.0,) * 3)


def test_the_right_size_is_only_normalised() -> None:
    x = torch.rand(2, 3, 8, 8)
    view = ImageView((8, 8), (0.1, 0.2, 0.3), (0.5, 0.25, 2.0))
    mean, std = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1), torch.tensor([0.5, 0.25, 2.0]).view(1, 3, 1, 1)
    assert torch.equal(view(x), (x - mean) / std)


def test_bytes_are_scaled() -> None:
    x = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(PLAIN(x), x.float() / 255)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 24), (30, 20), (4, 4), (4, 6), (9, 8)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
def test_any_size_becomes_the_networks(height: int, width: int, mode: str) -> None:
    view = ImageView((8, 8), (0.0,) * 3, (1.0,) * 3, mode)
    found = view(torch.rand(2, 3, height, width))
    assert found.shape == (2, 3, 8, 8)
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.allclose(view(torch.full((1, 3, height, width), 0.25)), torch.tensor(0.25))


def test_the_shorter_side_is_resized_and_the_middle_cut_out() -> None:
    x = torch.rand(1, 3, 16, 32)
    expected = F.interpolate(x, (8, 16), mode="bilinear", antialias=True)[:, :, :, 4:12]
    assert torch.equal(PLAIN(x), expected)


def test_the_crop_applies_to_larger_images_alone() -> None:
    view = ImageView((8, 8), (0.0,) * 3, (1.0,) * 3, crop=0.8)
    large, small = torch.rand(1, 3, 20, 20), torch.rand(1, 3, 4, 4)
    assert torch.equal(view(large), F.interpolate(large, (10, 10), mode="bilinear", antialias=True)[:, :, 1:9, 1:9])
    assert torch.equal(view(small), PLAIN(small))


def test_channels() -> None:
    grey = torch.rand(2, 1, 8, 8)
    assert torch.equal(PLAIN(grey), grey.expand(2, 3, 8, 8))
    colour = torch.rand(2, 3, 8, 8)
    assert torch.equal(ImageView((8, 8), (0.0,), (1.0,))(colour), colour.mean(1, keepdim=True))
    with pytest.raises(DataError, match="The network takes 3 channels, found images with 4: expected 1 or 3"):
        PLAIN(torch.rand(2, 4, 8, 8))


def test_refuses_what_is_no_batch_of_images() -> None:
    with pytest.raises(DataError, match=r"expected as a tensor \(n, channels, height, width\): found \(3, 8, 8\)"):
        PLAIN(torch.rand(3, 8, 8))
    with pytest.raises(DataError, match="found list"):
        PLAIN([1, 2])


def test_describe() -> None:
    assert ImageView((8, 6)).describe() == {
        "view": "image", "size": [8, 6], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "crop": 1.0,
    }  # fmt: skip
