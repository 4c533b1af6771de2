"""The small vision transformer, built by timm."""

import sys

import pytest
import torch

from modelstitch.errors import MissingExtraError
from modelstitch.zoo.nets import build


def test_without_timm_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm.models.vision_transformer", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'modelstitch\[timm\]'"):
        build("vit")


@pytest.mark.slow
def test_images_of_another_size_and_patch():
    net = build("vit?dim=12&depth=1&heads=2&patch=2&size=8&in_channels=1&classes=5").eval()
    assert net.patch_embed.num_patches == 16
    assert net(torch.rand(2, 1, 8, 8)).shape == (2, 5)
