"""Normalise(mean, std): what a network sees of raw samples."""

from __future__ import annotations

import pickle

import pytest
import torch
import torch.nn.functional as F

from modelstitch import Normalise
from modelstitch.errors import DataError, NetworkError

PLAIN = Normalise((0.0,) * 3, (1.0,) * 3, size=8)


def test_each_channel_by_its_own_numbers() -> None:
    x = torch.rand(2, 3, 8, 8)
    mean, std = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1), torch.tensor([0.5, 0.25, 2.0]).view(1, 3, 1, 1)
    for given in ([0.1, 0.2, 0.3], torch.tensor([0.1, 0.2, 0.3]), (0.1, 0.2, 0.3)):
        assert torch.equal(Normalise(given, (0.5, 0.25, 2.0))(x), (x - mean) / std)
    assert torch.equal(Normalise(0.5, 0.25)(x), (x - 0.5) / 0.25)
    assert torch.equal(Normalise(0.5, [0.1, 0.2, 0.4])(x)[:, 2], (x[:, 2] - 0.5) / 0.4)
    vectors = torch.rand(5, 3)
    assert torch.equal(Normalise([0.1, 0.2, 0.3], 2)(vectors), (vectors - mean.flatten()) / 2)


def test_bytes_are_scaled() -> None:
    x = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(PLAIN(x), x.float() / 255)
    assert torch.equal(Normalise(0.0, 1.0)(x), x.float() / 255)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 24), (30, 20), (4, 4), (4, 6), (9, 8)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
def test_any_size_becomes_the_networks(height: int, width: int, mode: str) -> None:
    view = Normalise((0.0,) * 3, (1.0,) * 3, 8, mode)
    found = view(torch.rand(2, 3, height, width))
    assert found.shape == (2, 3, 8, 8)
    assert 0 <= found.min() <= found.max() <= 1
    assert torch.allclose(view(torch.full((1, 3, height, width), 0.25)), torch.tensor(0.25))


def test_the_shorter_side_is_resized_and_the_middle_cut_out() -> None:
    x = torch.rand(1, 3, 16, 32)
    expected = F.interpolate(x, (8, 16), mode="bilinear", antialias=True)[:, :, :, 4:12]
    assert torch.equal(PLAIN(x), expected)
    several = [x[0], torch.rand(3, 20, 10), torch.rand(3, 8, 8)]
    found = PLAIN(several)
    assert found.shape == (3, 3, 8, 8)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[2], several[2])


def test_grey_is_repeated() -> None:
    grey = torch.rand(2, 1, 8, 8)
    assert torch.equal(PLAIN(grey), grey.expand(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (torch.rand(2, 4, 8, 8), "The network takes 3 channels, found images with 4: expected 1 or 3"),
        (torch.rand(3, 8, 8), r"expected as a tensor \(n, channels, height, width\): found \(3, 8, 8\)"),
        ([1, 2], "found list"),
        (torch.ones(2, 3, 8, 8, dtype=torch.int64), "of type torch.int64: expected uint8, or floating-point"),
    ],
)
def test_refuses_samples(inputs: object, text: str) -> None:
    with pytest.raises(DataError, match=text):
        PLAIN(inputs)


@pytest.mark.parametrize(
    ("mean", "std", "options", "text"),
    [
        (0.5, 0.0, {}, "a std above 0 for each channel"),
        ((0.5, 0.5), (1, 1, 1), {}, "a mean and a std above 0 for each channel"),
        ("grey", 1, {}, "The mean 'grey' cannot be used: expected a number for each channel"),
        (float("nan"), 1, {}, "The mean nan cannot be used"),
        (0.5, 1, {"size": "big"}, r"The size 'big' cannot be used: expected \(height, width\)"),
        (0.5, 1, {"interpolation": "lanczos"}, "The interpolation 'lanczos' is unknown"),
    ],
)
def test_refuses_numbers(mean: object, std: object, options: dict[str, object], text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        Normalise(mean, std, **options)


def test_it_is_a_value() -> None:
    one = Normalise([0.5] * 3, 0.25, size=(8, 6))
    assert one == Normalise((0.5, 0.5, 0.5), (0.25,) * 3, (8, 6)) != Normalise(0.5, 0.25)
    assert pickle.loads(pickle.dumps(one)) == one
    assert repr(Normalise(0.5, 0.25)) == "Normalise(mean=(0.5,), std=(0.25,))"
    assert one.describe() == {
        "view": "normalise",
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "size": [8, 6],
        "interpolation": "bilinear",
    }


def test_numbers_for_pixels_up_to_255_are_told():
    for view in (Normalise([123.7, 116.3, 103.5], [58.4, 57.1, 57.4]), Normalise(0, 255)):
        with pytest.raises(
            DataError, match=r"belong to pixels in \[0, 255\], the images are in \[0, 1\].*divide mean and std by 255"
        ):
            view(torch.rand(2, 3, 4, 4))
        view(torch.rand(2, 3, 4, 4) * 255)
    Normalise(3.5, 4.0)(torch.rand(2, 6))  # no images
