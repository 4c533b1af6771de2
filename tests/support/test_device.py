"""The device behind a name, and nests of tensors brought there."""

from collections import UserDict

import pytest
import torch

from modelstitch.errors import StudyError
from modelstitch.support.device import pick_device, to_device

META = torch.device("meta")  # a device that every machine has beside the CPU


def test_a_device_by_its_name():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", ""])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(StudyError, match=f"The device {name!r} cannot be used: expected 'cpu', 'cuda' or 'auto'"):
        pick_device(name)


def test_every_tensor_of_a_nest_is_moved():
    x = torch.ones(2)
    moved = to_device(UserDict(a=x, b=(x, {"c": x}), words="text"), META)
    assert type(moved) is dict
    assert [moved["a"].device, moved["b"][0].device, moved["b"][1]["c"].device] == [META] * 3
    assert moved["words"] == "text"
    assert x.device.type == "cpu"
