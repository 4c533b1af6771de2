"""Networks in another type than their samples: the view turns real numbers into it, and nothing else."""

import pickle

import pytest
import torch
from torch import nn

from modelstitch.models.typed import Typed, typed
from modelstitch.views import Normalise

X = torch.rand(2, 3, 4, 4)


def test_the_usual_type_changes_nothing():
    view = Normalise([0.5], [0.5])
    assert typed(nn.Linear(2, 2), X, view) == (X, view)
    assert typed(nn.Linear(2, 2), X, None) == (X, None)


def test_real_numbers_are_cast_and_whole_ones_are_not():
    example, view = typed(nn.Linear(2, 2).bfloat16(), {"x": X, "ids": torch.tensor([1])}, None)
    assert example["x"].dtype == torch.bfloat16
    assert example["ids"].dtype == torch.int64
    assert view({"x": X, "ids": torch.tensor([1])})["x"].dtype == torch.bfloat16


def test_the_networks_own_view_comes_first():
    _, view = typed(nn.Linear(2, 2).half(), X, Normalise([0.5], [0.25]))
    assert torch.equal(view(X), Normalise([0.5], [0.25])(X).half())
    assert view.describe() == {**Normalise([0.5], [0.25]).describe(), "dtype": "float16"}


@pytest.mark.parametrize(
    "module", [nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).half()), nn.ReLU()], ids=["two types", "no numbers"]
)
def test_where_no_one_type_is_there_nothing_is_cast(module):
    assert typed(module, X, None) == (X, None)


def test_whole_numbers_alone_need_no_type():
    ids = torch.tensor([[1, 2]])
    assert typed(nn.Embedding(3, 2).bfloat16(), ids, None) == (ids, None)


def test_it_travels():
    view = pickle.loads(pickle.dumps(Typed(Normalise([0.5], [0.5]), "bfloat16")))
    assert view(X).dtype == torch.bfloat16
