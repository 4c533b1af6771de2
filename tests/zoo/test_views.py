"""Random views: in range, seeded, different each time, and what they keep."""

from __future__ import annotations

import pytest
import torch

from modelstitch.zoo.views import ColourViews, DigitViews, GreyViews, _turn, quarter_turns

SHAPES = [(DigitViews(), (16, 1, 8, 8)), (ColourViews(), (16, 3, 32, 32)), (GreyViews(), (16, 1, 28, 28))]


@pytest.mark.parametrize(("views", "shape"), SHAPES)
def test_views(views, shape):
    images = torch.rand(shape)
    before = images.clone()
    generator = torch.Generator().manual_seed(0)
    one, two = views(images, generator), views(images, generator)
    again = views(images, torch.Generator().manual_seed(0))
    assert one.shape == images.shape
    assert 0 <= one.min() <= one.max() <= 1
    assert torch.equal(one, again)
    assert all(not torch.equal(a, b) for a, b in zip(one, two))
    assert torch.equal(images, before)
    assert views.recipe


def test_a_view_is_most_often_nearest_to_an_image_of_its_digit():
    from modelstitch.data.load import load_data

    batch = next(load_data("digits").batches("fit", 1000))
    seen = DigitViews()(batch.inputs, torch.Generator().manual_seed(1)).flatten(1)
    nearest = torch.cdist(seen, batch.inputs.flatten(1)).argmin(1)
    assert (batch.labels[nearest] == batch.labels).float().mean() > 0.5  # chance is 0.1


def test_grey_views_mirror_half_and_keep_the_ground_dark():
    images = torch.zeros(400, 1, 12, 12)
    images[:, :, 2:-2, 1:5] = 1  # left of the middle
    seen = GreyViews()(images, torch.Generator().manual_seed(0))
    left, right = seen[..., :6].sum((1, 2, 3)), seen[..., 6:].sum((1, 2, 3))
    assert 0.3 < (right > left).float().mean() < 0.7
    assert GreyViews()(torch.zeros(4, 1, 12, 12), torch.Generator()).max() == 0


def test_quarter_turns():
    images = torch.rand(4, 1, 5, 5)
    out = quarter_turns(images, torch.arange(4))
    for i in range(4):
        assert torch.equal(out[i], torch.rot90(images[i], i, (1, 2)))


def test_hue_keeps_grey_and_lengths():
    turn = _turn(torch.linspace(-3, 3, 7))
    assert torch.allclose(turn @ turn.transpose(1, 2), torch.eye(3).expand(7, 3, 3), atol=1e-6)
    assert torch.allclose(turn @ torch.ones(3), torch.ones(7, 3), atol=1e-6)
