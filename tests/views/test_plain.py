"""Views as plain values and back: the same pixels; nothing but known views is made of a file."""

import json

import pytest
import torch

from modelstitch.errors import NetworkError
from modelstitch.views import Normalise, plain_view, published, view_of_plain

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
