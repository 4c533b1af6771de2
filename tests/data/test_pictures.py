"""Samples as small images."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

import modelstitch as ms
from modelstitch.data.pictures import pictures


def seen(images, ids):
    labels = torch.arange(len(images)) % 2
    data = ms.Data(**{split: (images.clone(), labels.clone()) for split in ("fit", "val", "test")})
    found = pictures(data, ids)
    assert list(found) == ids
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(found[i].partition(",")[2])))) for i in ids]


@pytest.mark.parametrize(
    ("images", "shade"),
    [
        (torch.full((4, 1, 5, 6), 0.5), 128),
        (torch.full((4, 3, 5, 6), 7, dtype=torch.uint8), 7),
        (torch.linspace(-2, 2, 4)[:, None, None, None].expand(4, 3, 5, 6), 255),
    ],
    ids=["from 0 to 1", "bytes", "normalised"],
)
def test_pixels_are_those_of_the_sample(images, shade):
    (first, last) = seen(images, [1, 3])
    assert first.shape[:2] == last.shape[:2] == (5, 6)
    assert int(last.max()) == int(last.min()) == shade


def test_large_images_are_reduced():
    (image,) = seen(torch.rand(2, 3, 400, 200), [0])
    assert image.shape == (96, 48, 3)
