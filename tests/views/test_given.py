"""What is given as view=: transforms of libraries and functions of a batch; and views as plain values, and back."""

from __future__ import annotations

import functools
import json
import pickle
from typing import Any

import numpy as np
import pytest
import timm
import torch
import transformers
from PIL import Image
from torch import nn
from torchvision import models, transforms
from torchvision.transforms import v2

import modelstitch as ms
from modelstitch.errors import DataError, NetworkError
from modelstitch.support.user_code import in_words
from modelstitch.views import Normalise, PerSample, Published, as_view, plain_view, published, view_of_plain

RANDOM = np.random.default_rng(0)
PICTURES = [
    Image.fromarray(RANDOM.integers(0, 256, (7, 9, 3)).astype(np.uint8)).resize((40, 28), Image.Resampling.BICUBIC)
    for _ in range(3)
]
BYTES = torch.stack([torch.from_numpy(np.array(p)).permute(2, 0, 1) for p in PICTURES])
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)

OF_PICTURES: dict[str, Any] = {
    "v1": transforms.Compose(
        [transforms.Resize(16), transforms.CenterCrop(16), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    ),
    "v2": v2.Compose(
        [v2.Resize(16), v2.CenterCrop(16), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    ),
    "timm": timm.data.create_transform(24, crop_pct=0.9),
    "weights": models.ResNet18_Weights.DEFAULT.transforms(crop_size=16, resize_size=20),
    "lambda inside": transforms.Compose([transforms.ToTensor(), transforms.Lambda(lambda x: 2 * x)]),
    "blur without a range": transforms.Compose([transforms.GaussianBlur(3, 1.0), transforms.ToTensor()]),
}
OF_TENSORS: dict[str, Any] = {
    "uint8": transforms.Compose([transforms.ConvertImageDtype(torch.float32), transforms.Normalize(MEAN, STD)]),
    "modules in a row": nn.Sequential(transforms.CenterCrop(8), transforms.ConvertImageDtype(torch.float32)),
}


@pytest.mark.parametrize("name", OF_PICTURES)
def test_transforms_of_pictures(name: str) -> None:
    view = as_view(OF_PICTURES[name])
    expected = torch.stack([torch.as_tensor(OF_PICTURES[name](p)) for p in PICTURES])
    for raw in (BYTES, BYTES.float() / 255, list(BYTES)):
        found = view(raw)
        assert type(found) is torch.Tensor
        assert torch.equal(found, expected)
    assert in_words(view) == in_words(as_view(OF_PICTURES[name]))


def test_the_surroundings_change_nothing() -> None:
    views = [as_view(OF_PICTURES["v1"]), as_view(transformers.ViTImageProcessor(size={"height": 16, "width": 16}))]
    expected = [view(BYTES) for view in views]
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            found = [view(BYTES) for view in views]
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(one, other) for one, other in zip(found, expected))


@pytest.mark.parametrize("name", OF_TENSORS)
def test_transforms_of_tensors(name: str) -> None:
    expected = torch.stack([OF_TENSORS[name](one) for one in BYTES])
    assert torch.equal(as_view(OF_TENSORS[name])(BYTES.float() / 255), expected)


def test_a_transform_of_floats() -> None:
    x = torch.rand(2, 3, 6, 6)
    assert torch.equal(as_view(transforms.Normalize(MEAN, STD))(x), transforms.Normalize(MEAN, STD)(x))


def test_grey_is_rgb_where_a_transform_needs_three_channels() -> None:
    grey = BYTES[:, :1]
    rgb = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    assert torch.equal(as_view(rgb)(grey), as_view(rgb)(grey.expand(-1, 3, -1, -1)))
    one = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])
    assert as_view(one)(grey).shape == grey.shape


def test_processors_of_transformers() -> None:
    processor = transformers.ViTImageProcessor(size={"height": 16, "width": 16})
    view = as_view(processor)
    assert isinstance(view, Published)
    assert torch.equal(view(BYTES), processor(images=PICTURES, return_tensors="pt")["pixel_values"])


def test_functions_of_a_batch_are_left_as_they_are() -> None:
    def halved(x: torch.Tensor) -> torch.Tensor:
        return x / 2

    net = ms.Network(nn.Flatten(), torch.zeros(2, 3, 4, 4), "flat", view=halved)
    assert net.view is halved
    assert net.has_view
    assert "halved" in net.view_in_words
    net.view = Normalise(0.5, 0.5)
    assert net.view_in_words == "Normalise(mean=(0.5,), std=(0.5,))"
    net.view = None
    assert not net.has_view


RANDOM_ONES = {
    "RandomCrop": transforms.Compose([transforms.RandomCrop(16), transforms.ToTensor()]),
    "RandomHorizontalFlip": v2.Compose([v2.Compose([v2.RandomHorizontalFlip(0.5)]), v2.ToImage()]),
    "ColorJitter": transforms.Compose([transforms.ColorJitter(0.3), transforms.ToTensor()]),
    "RandAugment": v2.Compose([v2.RandAugment(), v2.ToImage()]),
    "GaussianBlur": transforms.Compose([transforms.GaussianBlur(3), transforms.ToTensor()]),
    "RandomResizedCropAndInterpolation": timm.data.create_transform(
        16, is_training=True, auto_augment="rand-m9-mstd0.5"
    ),
}


class Held:
    """A user's own view, with a transform inside."""

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.transform(one) for one in x])


INSIDE: dict[str, Any] = {
    "a function": lambda t: lambda x: t(x),
    "an object": Held,
    "its method": lambda t: Held(t).__call__,
    "a partial": lambda t: functools.partial(Held.__call__, Held(t)),
}


@pytest.mark.parametrize("name", ["RandomCrop", "RandomHorizontalFlip"])
@pytest.mark.parametrize("around", INSIDE)
def test_random_transforms_inside_others_are_refused(name: str, around: str) -> None:
    with pytest.raises(NetworkError, match=rf"The view draws at random \({name}\)"):
        as_view(INSIDE[around](RANDOM_ONES[name]))
    fixed = INSIDE[around](OF_TENSORS["uint8"])
    assert as_view(fixed) is fixed


@pytest.mark.parametrize("name", RANDOM_ONES)
def test_random_transforms_are_refused(name: str) -> None:
    with pytest.raises(NetworkError, match=rf"The view draws at random \({name}\): .*augment= of the data"):
        ms.Network(nn.Flatten(), torch.zeros(2, 3, 4, 4), view=RANDOM_ONES[name])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            (MEAN, STD),
            r"The view is of type tuple: expected Normalise\(mean, std\), .*; for a mean and a std write Normalise",
        ),
        ({"input_size": (3, 4, 4)}, r"of type dict: .*write timm.data.create_transform\(\*\*config\)"),
        (models.ResNet18_Weights.DEFAULT, r"write weights.transforms\(\)"),
        ("imagenet", "The view is of type str: expected Normalise"),
    ],
)
def test_what_is_no_view(given: Any, text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        ms.Network(nn.Flatten(), torch.zeros(2, 3, 4, 4), view=given)


@pytest.mark.parametrize(
    ("transform", "text"),
    [
        (
            transforms.Compose([transforms.PILToTensor()]),
            "makes no floating-point tensor of an image .a Pillow image: it returns a tensor of torch.uint8",
        ),
        (v2.Compose([v2.ToImage(), v2.ToPILImage()]), "a Pillow image: it returns Image"),
    ],
)
def test_transforms_that_do_not_end_in_floats(transform: Any, text: str) -> None:
    with pytest.raises(DataError, match=text) as caught:
        as_view(transform)(BYTES)
    assert "\n" not in str(caught.value)


def test_sizes_must_come_out_equal() -> None:
    view = as_view(transforms.Compose([transforms.ToTensor()]))
    with pytest.raises(DataError, match="gives images of 2 sizes"):
        view([BYTES[0], BYTES[1, :, :10]])


def test_pickled() -> None:
    view = as_view(OF_PICTURES["v1"])
    assert isinstance(view, PerSample)
    assert torch.equal(pickle.loads(pickle.dumps(view))(BYTES), view(BYTES))
    assert repr(view).startswith("PerSample(Compose( Resize(")


TIMM = {"input_size": (3, 32, 32), "interpolation": "bicubic", "mean": (0.5,) * 3, "std": (0.2,) * 3, "crop_pct": 0.9}
VIEWS = {
    "numbers": lambda: Normalise((0.1, 0.2, 0.3), 2.0),
    "resized": lambda: Normalise(0.5, 0.25, size=(20, 24), interpolation="bicubic"),
    "timm": lambda: published("timm", TIMM),
    "transformers": lambda: published(
        "transformers", {"image_processor_class": "ViTImageProcessor", "size": {"height": 9, "width": 9}}
    ),
}


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
def test_there_and_back(make):
    view = make()
    again = view_of_plain(json.loads(json.dumps(plain_view(view))))
    images = torch.rand(2, 3, 40, 30)
    assert again == view
    assert torch.equal(again(images), view(images))


def test_code_has_no_plain_values():
    class Mine(Normalise):
        def __call__(self, inputs):
            return inputs

    assert plain_view(torch.neg) is None
    assert plain_view(Mine(0.0, 1.0)) is None


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"view": "builtins.exec"}, "is unknown: expected 'normalise' or 'published'"),
        ({"view": "published", "library": "os", "settings": {}, "channels": 3}, "is unknown"),
        ({"view": "normalise", "mean": [0], "std": [-1], "size": None, "interpolation": "nearest"}, "a std above 0"),
        ({"view": "normalise"}, "cannot be made"),
        ({"view": "published", "library": "timm", "settings": {"code": 1}, "channels": 3}, "cannot be made"),
        (
            {
                "view": "published",
                "library": "transformers",
                "settings": {"image_processor_class": "pipeline"},
                "channels": 3,
            },
            "none of transformers' own",
        ),
    ],
)
def test_anything_else_is_refused(values, why):
    with pytest.raises(NetworkError, match=why) as error:
        view_of_plain(values)
    assert "\n" not in str(error.value)
