"""A view in words: the same in every run, and other for whatever would let a network see other inputs."""

import functools
import sys

import numpy as np
import pytest
import torch
from torchvision import transforms

from modelstitch.models.token_view import TokenView
from modelstitch.support.user_code import in_words
from modelstitch.views import Normalise
from others import told

SCALE = [0.5]
MEAN = torch.tensor([0.5])


def halved(x, by=2):
    return x / by


class View:
    """A user's own, with a list on the class and a value on the object."""

    mean = [0.5]  # noqa: RUF012

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return (x - self.mean[0]) * self.factor


class Other(View):
    mean = [0.4]  # noqa: RUF012


def by_closure(value):
    return lambda x: x * value


DIFFERENT = [
    None,
    lambda x: x / 255,
    lambda x: x / 256,
    lambda x: x * SCALE[0],
    lambda x: x - MEAN,
    halved,
    functools.partial(halved, by=3),
    functools.partial(halved, by=4),
    View(1.0),
    View(2.0),
    View(torch.ones(2)),
    View(torch.zeros(2)),
    View(torch.zeros(1, 2)),
    View(np.zeros(2)),
    Other(1.0),
    View(3.0).__call__,
    by_closure(1.0),
    by_closure(2.0),
    by_closure([1.0]),
    by_closure({"a": 1}),
    by_closure({1, 2}),
    by_closure({1, 3}),
    transforms.Compose([transforms.Resize(8)]),
    transforms.Compose([transforms.Resize(9)]),
    transforms.Normalize([0.5], [1.0]),
    Normalise(0.5, 1.0),
    Normalise(0.5, 2.0),
    Normalise(0.5, 1.0, size=8),
    TokenView(("input_ids",)),
    TokenView(("ids",)),
]


def test_views_that_differ_are_called_differently():
    found = [in_words(view) for view in DIFFERENT]
    assert len(set(found)) == len(found), found


def test_a_list_counts_by_what_is_in_it_now():
    scale = [0.5]
    view = by_closure(scale)
    before = in_words(view)
    scale[0] = 0.25
    assert in_words(view) != before
    scale[0] = 0.5
    assert in_words(view) == before


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (None, ""),
        (
            Normalise(0.5, 1.0, size=8),
            "Normalise {'mean': (0.5,), 'std': (1.0,), 'size': (8, 8), 'interpolation': 'bilinear'}",
        ),
    ],
)
def test_this_packages_own_views_are_told_by_their_values(view, words):
    assert in_words(view) == words


def test_a_view_that_holds_itself_has_an_end():
    view = View(1.0)
    view.factor = [view, {"again": view}]
    assert in_words(view) == in_words(view)


@pytest.mark.slow
def test_another_process_says_the_same(tmp_path):
    here = __file__.rpartition("/")[0]
    code = f"import sys\nsys.path[:0] = {[here, *sys.path]}\nimport test_user_code as t\n"
    code += "print(hash('a'))\nprint([t.in_words(v) for v in t.DIFFERENT])"
    seed, words = told(code, folder=tmp_path).splitlines()
    assert int(seed) != hash("a")  # what is unordered there is in another order
    assert words == str([in_words(v) for v in DIFFERENT])
